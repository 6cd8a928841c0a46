"""The trainings of a run: the model of all inputs, and for the audit one of each input alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from tonggan.data.dataset import Dataset
from tonggan.decoders import LinearHeadConfig, Vector
from tonggan.evaluation.audit import input_kinds
from tonggan.evaluation.subsets import group_inputs
from tonggan.models import FusedModel
from tonggan.progress import Progress
from tonggan.runs.prepare import Prepared
from tonggan.runs.start import Start
from tonggan.tasks import Task
from tonggan.training import Budget, Following, TrainingResult, train
from tonggan.training.supervised import Supervised, loaders
from tonggan.training.world import World


def new_model(
    prepared: Prepared, start: Start, *, only: str | None = None, progress: Progress | None = None
) -> FusedModel:
    """A model of all inputs or of the ``only`` one, with seeded random weights where it starts from no other run's."""
    recipe = prepared.recipe
    modalities = {name: part for name, part in prepared.modalities.items() if only in (None, name)}
    config = recipe.model.model_copy(update={"encoders": {name: recipe.model.encoders[name] for name in modalities}})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = config.build(modalities, answer=prepared.task.answer)
    start.give(model, config=recipe.model, modalities=prepared.modalities, progress=progress)
    return model


def train_model(
    model: FusedModel,
    prepared: Prepared,
    *,
    folder: Path,
    budget: Budget,
    progress: Progress,
    following: Following | None = None,
    only: str | None = None,
) -> TrainingResult:
    """Train ``model``, which reads all inputs or the ``only`` one, or go on with what ``folder`` holds of that."""
    parts = {split: with_inputs(prepared.datasets[split], only) for split in ("train", "valid")}
    recipe = prepared.recipe
    learned, valid = loaders(parts["train"], parts["valid"], config=recipe.training, seed=recipe.seed)
    return train(
        _objective(model, prepared, only=only),
        learned,
        valid=valid,
        config=recipe.training,
        folder=folder,
        seed=recipe.seed,
        budget=budget,
        following=following,
        progress=progress,
    )


def _objective(model: FusedModel, prepared: Prepared, *, only: str | None) -> Supervised:
    """The task, with the auxiliary targets of the model's inputs."""
    auxiliaries = {name: each for name, each in prepared.auxiliaries.items() if only in (None, each.input)}
    recipe = prepared.recipe
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        heads = {
            name: LinearHeadConfig().build(recipe.model.dim, answer=_vector(each.task))
            for name, each in auxiliaries.items()
        }
    return Supervised(model, prepared.task, auxiliaries=auxiliaries, heads=heads)


def _vector(task: Task) -> Vector:
    answer = task.answer
    assert isinstance(answer, Vector), "an auxiliary target is a class, labels or a number"
    return answer


def with_inputs(dataset: Dataset, only: str | None) -> Dataset:
    """``dataset`` with all inputs, or the ``only`` one."""
    if only is None:
        return dataset
    return replace(dataset, inputs={only: dataset.inputs[only]})


def num_alone(prepared: Prepared) -> int:
    """On how many inputs a model of its own is to be trained for the audit: all or none."""
    inputs = list(prepared.modalities)
    grouped = len(group_inputs(input_kinds(prepared.datasets["valid"]))) != len(inputs)
    return 0 if not prepared.recipe.audit_alone or len(inputs) < 2 or grouped else len(inputs)


def train_alone(
    prepared: Prepared,
    start: Start,
    training: TrainingResult,
    *,
    folder: Path,
    budget: Budget,
    progress: Progress,
    processes: World,
) -> dict[str, FusedModel]:
    """By input, a model trained on that input alone in the same way, where time allows it in full."""
    models: dict[str, FusedModel] = {}
    for place, name in enumerate(list(prepared.modalities)[: num_alone(prepared)]):
        allowed = Budget(None if budget.seconds is None else budget.end - budget.elapsed)
        if processes.agreed(float(training.seconds < allowed.left)):
            progress.say(f"For the audit: a model trained on '{name}' alone")
            model = new_model(prepared, start, only=name)
            result = train_model(
                model, prepared, folder=folder / str(place), budget=allowed, progress=progress, only=name
            )
            if result.stopped_by != "time":
                models[name] = model
        if name not in models:
            progress.say(f"No time is left to train a model on '{name}' alone; the audit does without.")
    return models
