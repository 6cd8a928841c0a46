"""The floor of a run: features of its rows, members fitted to them and chosen, and the network weighed beside them."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tonggan.data.dataset import Dataset
from tonggan.data.split import num_groups
from tonggan.decoders import TARGET
from tonggan.evaluation.predict import iterate_batches, predict_rows
from tonggan.evaluation.report import MemberSummary
from tonggan.floor.base import Floats, Goal
from tonggan.floor.choice import network_weight
from tonggan.floor.ensemble import Ensemble, load_members, store_members
from tonggan.floor.features import Reading
from tonggan.floor.fitting import Fitted, fit_members, none_fits
from tonggan.floor.reader import Reader
from tonggan.models import FusedModel
from tonggan.progress import Progress
from tonggan.runs.loading import FEATURES, Data
from tonggan.runs.plan import Plan
from tonggan.runs.splits import cut_folds
from tonggan.runs.trainings import with_inputs
from tonggan.tasks import LabelTask, Regress, Task
from tonggan.tokens import Arrays, Prediction
from tonggan.training.budget import describe_seconds
from tonggan.training.checkpoint import load_checkpoint, save_checkpoint

# Of the floor's time, for frozen encoders; how long they take is tried on a few rows. They may take longer after all.
_READING_SHARE, _LONGEST_READING_SHARE, _PROBED_ROWS = 0.5, 0.7, 64
# Of each part; more would take hours and gigabytes for vectors, and add little to members that are this simple.
_MOST_READ_ROWS = 50_000


@dataclass(frozen=True, eq=False)
class Rows:
    """What members learn from, or are chosen by: features and targets of some rows of a run."""

    features: Mapping[str, Reading]
    targets: Arrays

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True, eq=False)
class Floor:
    """The members of a run.

    Attributes:
        ensemble: of those that were kept.
        members: all that were tried.
        score: of the members without a network, on the rows by which they were chosen.
        num_rows: how many these are.
        seconds: that reading features and fitting took.
    """

    ensemble: Ensemble
    members: list[MemberSummary]
    score: float
    num_rows: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "members": [asdict(each) for each in self.members],
            "score": self.score,
            "rows": self.num_rows,
            "seconds": self.seconds,
        }


def fit_floor(
    plan: Plan,
    data: Data,
    *,
    seconds: float,
    progress: Progress,
    only: str | None = None,
    members: Collection[str] | None = None,
) -> Floor:
    """The members of ``plan.recipe.floor`` that pay, which read all inputs or the ``only`` one.

    Args:
        plan: with a floor.
        data: its rows.
        seconds: for all of it, ``inf`` without a limit.
        progress: told of every step.
        only: the only input that is read.
        members: the names of those that are tried; all by default.

    Raises:
        CannotFitError: no member suits these rows.
        MissingExtraError, DataError: a frozen encoder cannot be opened.
    """
    started = time.monotonic()
    floor, task = plan.recipe.floor, data.task
    assert floor is not None, "the plan has a floor"
    tried = {name: config for name, config in floor.members.items() if members is None or name in members}
    if not tried:
        raise none_fits("no input of cells, of texts, or with pretrained weights")
    readers = {name: reader for name, reader in data.readers.items() if only in (None, name)}
    splits = ("train",) if floor.folds else ("train", "valid")
    datasets = [data.datasets[split] for split in splits]
    if any(reader.weights is not None for reader in readers.values()):
        datasets = [_sampled(dataset, plan, progress) for dataset in datasets]
    _leave_out_slow(readers, datasets[0], seconds=_READING_SHARE * seconds, progress=progress)
    late = started + _LONGEST_READING_SHARE * seconds
    rows = _read(readers, [with_inputs(dataset, only) for dataset in datasets], late=late, progress=progress)
    assert plan.task.form is not None, "a task with a floor predicts classes, labels or numbers"
    goal = Goal(plan.task.form, len(task.labels))
    fitted = fit_members(
        tried,
        rows.features,
        _targets(rows.targets.values, task),
        _weights(rows.targets.values, task),
        goal,
        folds=_folds(plan, data, [dataset.rows for dataset in datasets]),
        most=floor.max_members,
        seed=plan.recipe.seed,
        seconds=seconds - (time.monotonic() - started),
        progress=progress,
    )
    return _told(fitted, readers, rows.targets, task, goal, seconds=time.monotonic() - started)


def _sampled(dataset: Dataset, plan: Plan, progress: Progress) -> Dataset:
    """At the most so many rows as frozen encoders read."""
    found = dataset.sample(_MOST_READ_ROWS, seed=plan.recipe.seed)
    if found is not dataset:
        progress.say(f"Members read {len(found):,} of {len(dataset):,} rows, chosen at random.")
    return found


def _leave_out_slow(readers: dict[str, Reader], dataset: Dataset, *, seconds: float, progress: Progress) -> None:
    """Let inputs do without vectors, the slowest first, whose frozen encoders would take longer than ``seconds``."""
    if math.isinf(seconds):
        return
    expected = {}
    rows = np.random.default_rng(0).permutation(len(dataset))
    for name, reader in readers.items():
        if reader.weights is not None:
            for part in (rows[:_PROBED_ROWS], rows[_PROBED_ROWS : 2 * _PROBED_ROWS]):  # of which the first one opens it
                started = time.monotonic()
                if len(part):
                    reader.read(with_inputs(dataset, name).batch(part).inputs[name])
            expected[name] = (time.monotonic() - started) * len(dataset) / max(1, len(part))
    while expected and sum(expected.values()) > seconds:
        slowest = max(expected, key=expected.__getitem__)
        progress.say(
            f"The time limit leaves no time for the {describe_seconds(expected.pop(slowest))} that "
            f"'{readers[slowest].weights}' takes to read '{slowest}'; members do without its vectors."
        )
        readers[slowest] = readers[slowest].without_vectors()


def _read(readers: dict[str, Reader], datasets: Sequence[Dataset], *, late: float, progress: Progress) -> Rows:
    """The rows of all ``datasets``; without the vectors that are not read by ``late`` of ``time.monotonic``."""
    found: dict[str, list[Reading]] = {name: [] for name in readers}
    targets = []
    for batch in chain(*(iterate_batches(dataset, progress=progress, label=FEATURES) for dataset in datasets)):
        if time.monotonic() > late:
            _leave_out_vectors(readers, found, progress)
        for name, reader in readers.items():
            arrays = batch.inputs[name]
            reading = reader.read(arrays)
            found[name].append(reading if arrays.index is None else reading.take(arrays.index))
        targets.append(batch.targets[TARGET].values)
    features = {name: Reading.cat(parts) for name, parts in found.items()}
    return Rows(features, Arrays.whole(torch.cat(targets)))


def _leave_out_vectors(readers: dict[str, Reader], found: dict[str, list[Reading]], progress: Progress) -> None:
    """Let all inputs do without vectors, in what is read already, too."""
    for name, reader in readers.items():
        if reader.weights is not None:
            progress.say(
                f"'{reader.weights}' takes longer to read '{name}' than the time limit allows; "
                "members do without its vectors."
            )
            readers[name] = reader.without_vectors()
            found[name] = [replace(reading, vectors=None) for reading in found[name]]


def _folds(
    plan: Plan, data: Data, parts: Sequence[NDArray[np.int64]]
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Positions of rows to learn from and to choose by: the folds of the training part, or training and validation.

    Args:
        plan: of the run.
        data: of the run.
        parts: which rows of their tables were read.
    """
    recipe, floor = plan.recipe, plan.recipe.floor
    learned = np.arange(len(parts[0]))
    if len(parts) > 1:
        return [(learned, np.arange(len(learned), len(learned) + len(parts[1])))]
    assert floor is not None, "the plan has a floor"
    assert floor.folds, "folds, as the validation part was not read"
    count = min(floor.folds, len(learned))
    if count < 2:
        return [(learned, learned)]
    table, rows, source = data.tables["train"], parts[0], recipe.data
    if source.group is not None:
        groups = num_groups(table.values(source.group, rows))
        count = min(count, groups)
        if groups < 2:  # what is validated on is another group all the same
            count, source = 2, source.model_copy(update={"group": None})
    return cut_folds(table, rows, source, target=recipe.target, count=count, seed=recipe.seed)


def _targets(values: Tensor, task: Task) -> NDArray[np.float64] | NDArray[np.int64]:
    """Targets as members read them; numbers beyond the limits of what counts are brought to them."""
    if isinstance(task, Regress):
        low, high = task.limits
        return values.clamp(low, high).double().numpy()
    return values.double().numpy() if values.is_floating_point() else values.flatten().numpy()


def _weights(values: Tensor, task: Task) -> Floats:
    """[N]: how much each row counts, of a mean of 1."""
    if isinstance(task, LabelTask) and task.weights is not None and task.weights.dim() == 1:
        weights: Floats = task.weights.double().numpy()[values.flatten().numpy()]
        weights /= weights.mean()
        return weights
    return np.ones(len(values))


def _told(
    fitted: Fitted, readers: Mapping[str, Reader], targets: Arrays, task: Task, goal: Goal, *, seconds: float
) -> Floor:
    known = {TARGET: targets.take(torch.from_numpy(fitted.rows))}

    def score(predictions: Floats) -> float:
        return task.measure(Prediction({"outputs": goal.outputs(predictions)}), known).score()

    members = [
        MemberSummary(
            each.name,
            None if each.predictions is None else score(each.predictions),
            each.weight,
            each.seconds,
            each.problem,
        )
        for each in fitted.tried
    ]
    ensemble = Ensemble(readers, goal=goal, bags=fitted.bags)
    return Floor(ensemble, members, score(fitted.predictions), len(fitted.rows), seconds)


def keep_floor(path: Path, floor: Floor) -> None:
    """Write the members to ``path``, so that an interruption, or a full disk at the end of a run, costs none of them.

    Raises:
        TrainingError: the file cannot be written.
    """
    plain, tensors = store_members(floor.ensemble)
    readers = {name: reader.weights is not None for name, reader in floor.ensemble.readers.items()}
    save_checkpoint(path, tensors=tensors, state={**floor.to_dict(), "ensemble": plain, "readers": readers})


def kept_floor(path: Path, data: Data) -> Floor | None:
    """What ``keep_floor`` wrote for the same run; None where there is no such file.

    Raises:
        TrainingError: the file is damaged.
    """
    if not path.exists():
        return None
    tensors, state = load_checkpoint(path)
    readers = {
        name: data.readers[name] if has_vectors else data.readers[name].without_vectors()
        for name, has_vectors in state["readers"].items()
    }
    ensemble = load_members(state["ensemble"], tensors, readers, [])
    members = [MemberSummary(**each) for each in state["members"]]
    return Floor(ensemble, members, state["score"], state["rows"], state["seconds"])


def join_network(floor: Floor, network: FusedModel, data: Data, *, seconds: float, progress: Progress) -> Floor:
    """``floor`` with ``network`` as one more member where the validation part says that it pays, else without.

    Args:
        floor: none of whose members has learned from the validation part.
        network: trained.
        data: of the run.
        seconds: that training the network took.
        progress: told of every batch.
    """
    valid, task, goal = data.datasets["valid"], data.task, floor.ensemble.goal
    batches = iterate_batches(replace(valid, inputs={}), progress=None, label=FEATURES)
    targets = Arrays.whole(torch.cat([batch.targets[TARGET].values for batch in batches]))
    outputs = [
        torch.cat(predict_rows(model, valid, read=lambda found: found["outputs"], progress=progress))
        for model in (floor.ensemble, network)
    ]
    own, other = map(goal.predictions, outputs)
    weight = network_weight(own, other, _targets(targets.values, task), _weights(targets.values, task), goal)
    score = task.measure(Prediction({"outputs": outputs[1]}), {TARGET: targets}).score()
    members = [replace(each, weight=(1 - weight) * each.weight) for each in floor.members]
    ensemble = floor.ensemble.with_network(network, weight) if weight else floor.ensemble
    told = [*members, MemberSummary("fused network", score, weight, seconds)]
    return Floor(ensemble, told, floor.score, floor.num_rows, floor.seconds)
