"""The trainings of a network: of all inputs, and for the audit of each input alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from tonggan.data.dataset import Dataset
from tonggan.decoders import LinearHeadConfig, Vector
from tonggan.evaluation.audit import input_kinds
from tonggan.evaluation.subsets import group_inputs
from tonggan.models import FusedModel
from tonggan.progress import Progress
from tonggan.runs.loading import Data
from tonggan.runs.plan import Plan
from tonggan.runs.start import Start
from tonggan.tasks import Task
from tonggan.training import Budget, Following, TrainingResult, train
from tonggan.training.supervised import Supervised, loaders
from tonggan.training.world import World

_ADAPTED_ROWS = 500


@dataclass(frozen=True)
class Trained:
    """A network, and how it became what it is."""

    model: FusedModel
    result: TrainingResult


def new_model(
    plan: Plan, data: Data, start: Start, *, only: str | None = None, progress: Progress | None = None
) -> FusedModel:
    """A model of all inputs or of the ``only`` one, with seeded random weights where it starts from no other run's."""
    recipe = plan.recipe
    modalities = {name: part for name, part in data.modalities.items() if only in (None, name)}
    config = recipe.model.model_copy(update={"encoders": {name: recipe.model.encoders[name] for name in modalities}})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = config.build(modalities, answer=data.task.answer)
    _adapt(model, data.datasets["train"], seed=recipe.seed)
    start.give(model, config=recipe.model, modalities=data.modalities, progress=progress)
    return model


def _adapt(model: FusedModel, dataset: Dataset, *, seed: int) -> None:
    """Let encoders compute of some rows what does not learn with the task."""
    for name, encoder in zip(model.names, model.encoders, strict=True):
        if getattr(encoder, "adapts", False):
            rows = with_inputs(dataset, name).sample(getattr(encoder, "adapted_rows", _ADAPTED_ROWS), seed=seed)
            arrays = rows.batch(np.arange(len(rows))).inputs[name]
            cast("Any", encoder).adapt(arrays.expand())


def train_one(
    model: FusedModel,
    plan: Plan,
    data: Data,
    *,
    folder: Path,
    budget: Budget,
    progress: Progress,
    following: Following | None = None,
    only: str | None = None,
) -> Trained:
    """Train ``model``, which reads all inputs or the ``only`` one, or go on with what ``folder`` holds of that."""
    result = train_objective(
        partial(Supervised, model, data.task),
        plan,
        data,
        folder=folder,
        budget=budget,
        progress=progress,
        following=following,
        only=only,
    )
    return Trained(model, result)


def train_objective(
    make: Callable[..., Supervised],
    plan: Plan,
    data: Data,
    *,
    folder: Path,
    budget: Budget,
    progress: Progress,
    following: Following | None = None,
    only: str | None = None,
) -> TrainingResult:
    """Train the objective that ``make`` makes of the auxiliary targets and their heads, on the rows of ``data``."""
    parts = {split: with_inputs(data.datasets[split], only) for split in ("train", "valid")}
    recipe = plan.recipe
    learned, valid = loaders(parts["train"], parts["valid"], config=recipe.training, seed=recipe.seed)
    return train(
        _objective(make, plan, data, only=only),
        learned,
        valid=valid,
        config=recipe.training,
        folder=folder,
        seed=recipe.seed,
        budget=budget,
        following=following,
        progress=progress,
    )


def _objective(make: Callable[..., Supervised], plan: Plan, data: Data, *, only: str | None) -> Supervised:
    """The task, with the auxiliary targets of the model's inputs."""
    auxiliaries = {name: each for name, each in data.auxiliaries.items() if only in (None, each.input)}
    recipe = plan.recipe
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        heads = {
            name: LinearHeadConfig().build(recipe.model.dim, answer=_vector(each.task))
            for name, each in auxiliaries.items()
        }
        return make(auxiliaries=auxiliaries, heads=heads)


def _vector(task: Task) -> Vector:
    answer = task.answer
    assert isinstance(answer, Vector), "an auxiliary target is a class, labels or a number"
    return answer


def with_inputs(dataset: Dataset, only: str | None) -> Dataset:
    """``dataset`` with all inputs, or the ``only`` one."""
    if only is None:
        return dataset
    return replace(dataset, inputs={only: dataset.inputs[only]})


def inputs_alone(plan: Plan, data: Data) -> list[str]:
    """On which inputs a model of its own is to be trained for the audit: all or none, of answers in a picture that."""
    inputs = list(data.modalities)
    grouped = len(group_inputs(input_kinds(data.datasets["valid"]))) != len(inputs)
    if not plan.recipe.audit_alone or len(inputs) < 2 or grouped:
        return []
    picture = data.task.target.follows
    return inputs if picture is None else [picture]


def study_alone(
    plan: Plan,
    data: Data,
    start: Start,
    whole: Trained,
    *,
    folder: Path,
    budget: Budget,
    progress: Progress,
    processes: World,
) -> dict[str, Trained]:
    """By input, a model trained on that input alone as the ``whole`` one on all, where time allows it in full."""
    found: dict[str, Trained] = {}
    for place, name in enumerate(inputs_alone(plan, data)):
        allowed = Budget(None if budget.seconds is None else budget.end - budget.elapsed)
        if processes.agreed(float(whole.result.seconds < allowed.left)):
            progress.say(f"For the audit: a model trained on '{name}' alone")
            model = new_model(plan, data, start, only=name)
            trained = train_one(
                model, plan, data, folder=folder / str(place), budget=allowed, progress=progress, only=name
            )
            if trained.result.stopped_by != "time":
                found[name] = trained
        if name not in found:
            progress.say(f"No time is left to train a model on '{name}' alone; the audit does without.")
    return found
