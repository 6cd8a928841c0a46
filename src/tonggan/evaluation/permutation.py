"""What a model loses when an input, or one column of a table, comes from another row (Breiman 2001).

Each batch is encoded twice, with its own values and with those of other rows; what is shuffled is then mixed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from tonggan.data.dataset import Dataset
from tonggan.evaluation.bootstrap import gain_interval, score_draws
from tonggan.evaluation.predict import by_fold, evaluating, iterate_batches
from tonggan.evaluation.subsets import measure_encoded
from tonggan.models.base import Model
from tonggan.progress import Progress
from tonggan.tasks.base import Task
from tonggan.tasks.measure import Measure
from tonggan.tokens import Arrays, Batch

_MAX_ROWS, _MIN_ROWS = 2_000, 100
_DRAWS = 300
_MOST_DRAWN = 100  # columns, the most important ones, whose losses have intervals

Floats: TypeAlias = NDArray[np.float64]
Column: TypeAlias = tuple[str, str]
"""Input and name."""


@dataclass(frozen=True)
class ColumnImportance:
    """How much worse the full model's score is when ``column`` comes from another row.

    Columns that say the same share their importance: with one of them shuffled, the model still reads the other.

    Attributes:
        column: its name.
        importance: the loss of score; more is always worse to lose, also where a small score is better.
        interval: 95 %, from a paired bootstrap over the rows.
    """

    column: str
    importance: float
    interval: tuple[float, float] | None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self) | {"interval": None if self.interval is None else list(self.interval)}


def table_columns(dataset: Dataset) -> dict[str, Sequence[str]]:
    """By input that is a table, its columns."""
    return {name: source.modality.cells for name, source in dataset.inputs.items() if source.modality.cells}


def column_importance(
    model: Model,
    task: Task,
    dataset: Dataset,
    *,
    seed: int,
    batch_size: int,
    progress: Progress | None,
    enough: Callable[[], bool] = lambda: False,
) -> dict[str, list[ColumnImportance]]:
    """By input that is a table, the importance of its columns on rows of ``dataset``, the greatest first.

    Every column takes a pass of its own over the rows: of more columns than there can be passes, those are tried whose
    cells go most along with what the model predicts.

    Args:
        model: that reads the columns.
        task: that it was trained for.
        dataset: rows with a target.
        seed: of the shuffles and of the bootstrap.
        batch_size: rows at a time.
        progress: told of every batch.
        enough: asked after each pass of a batch whether to leave it at those so far.
    """
    columns = {
        (name, column): places
        for name, names in table_columns(dataset).items()
        for column, places in zip(names, dataset.inputs[name].modality.positions, strict=True)
    }
    if not columns:
        return {}
    generator = np.random.default_rng(seed)
    most = max(1, task.max_audited_passes // _MIN_ROWS)
    num_rows = max(_MIN_ROWS, min(task.max_audited_passes // len(columns), _MAX_ROWS))
    sample = dataset.take(np.sort(generator.permutation(len(dataset))[:num_rows]))
    if len(columns) > most:
        columns = _most_alike(model, sample, columns, most=most)
    full, shuffled = _with_shuffled_columns(
        model, task, sample, columns=columns, generator=generator, batch_size=batch_size, progress=progress,
        enough=enough,
    )  # fmt: skip
    sign = 1.0 if task.greater_is_better else -1.0
    lost = {column: sign * (full.score() - measure.score()) for column, measure in shuffled.items()}
    draws = score_draws(full, seed=seed, repeats=_DRAWS)
    found: dict[str, list[ColumnImportance]] = {}
    for place, column in enumerate(sorted(lost, key=lambda column: -lost[column])):
        measure = shuffled.pop(column)  # what its draws prepare is gone with it
        interval = None
        if place < _MOST_DRAWN and not enough():
            other = score_draws(measure, seed=seed, repeats=_DRAWS)
            interval = gain_interval(draws, other, greater_is_better=task.greater_is_better)
        found.setdefault(column[0], []).append(ColumnImportance(column[1], lost[column], interval))
    return found


def _most_alike(
    model: Model, dataset: Dataset, columns: Mapping[Column, Sequence[int]], *, most: int
) -> dict[Column, Sequence[int]]:
    """So many of ``columns`` at ``most``, in their order: those whose cells tell most of what ``model`` predicts."""
    sizes = {name: np.array(dataset.inputs[name].modality.sizes) for name, _ in columns}
    cells: dict[str, list[Floats]] = {name: [] for name in sizes}
    predicted = []
    for answering, part in by_fold(model, dataset):
        with evaluating(answering) as device:
            for batch in iterate_batches(part, progress=None, label="columns"):
                inputs = batch.to(device).inputs
                prediction = answering.answer(answering.encode(inputs), inputs).cpu()
                if not isinstance(prediction.outputs.get("outputs"), torch.Tensor):
                    return dict(list(columns.items())[:most])  # no numbers that cells could go along with
                predicted.append(prediction["outputs"].double().flatten(1).numpy())
                for name, parts in cells.items():
                    own = batch.inputs[name]
                    parts.append(np.where(own.mask, own.values.double(), np.nan))
    outputs = np.concatenate(predicted)
    told = {name: _shares_told(np.concatenate(cells[name]), sizes[name], outputs) for name in sizes}
    strength = {(name, column): told[name][list(places)].max(initial=0.0) for (name, column), places in columns.items()}
    chosen = set(sorted(columns, key=lambda column: -strength[column])[:most])
    return {column: places for column, places in columns.items() if column in chosen}


def _shares_told(cells: Floats, sizes: NDArray[np.int64], outputs: Floats) -> Floats:
    """``[C]``: the greatest share of an output's variance that a cell tells, of a number by a line through it."""
    centered = outputs - outputs.mean(0)
    whole = np.maximum(np.square(centered).sum(0), 1e-12)
    known = ~np.isnan(cells)
    held = np.where(known, cells, 0.0)
    held = np.where(known, held - held.sum(0) / np.maximum(known.sum(0), 1), 0.0)
    lines = np.square(held.T @ centered) / np.maximum(np.square(held).sum(0), 1e-12)[:, None] / whole
    told = np.asarray(lines.max(1))
    for column in np.flatnonzero(sizes):
        names, places = np.unique(np.nan_to_num(cells[:, column], nan=-1.0), return_inverse=True)
        means = np.eye(len(names))[places].T @ centered / np.bincount(places)[:, None]
        left = np.square(centered - means[places]).sum(0) / whole
        # Many names tell much of few rows by chance alone.
        told[column] = 1 - left.min() * (len(cells) - 1) / max(len(cells) - len(names), 1)
    return told


def _with_shuffled_columns(
    model: Model,
    task: Task,
    dataset: Dataset,
    *,
    columns: Mapping[Column, Sequence[int]],
    generator: np.random.Generator,
    batch_size: int,
    progress: Progress | None,
    enough: Callable[[], bool],
) -> tuple[Measure, dict[Column, Measure]]:
    """What the model is worth, and with each of ``columns``, which cells it has, from another row.

    Of the first batch as many columns are kept as there is time for, and then whole batches of all of these.
    """
    full: list[Measure] = []
    shuffled: dict[Column, list[Measure]] = {key: [] for key in columns}
    for answering, part in by_fold(model, dataset):
        pairs = _paired_batches(part, generator, batch_size=batch_size, progress=progress, label="columns")
        with evaluating(answering) as device:
            for batch, other_batch in pairs:
                inputs, others = batch.to(device).inputs, other_batch.to(device).inputs
                encoded = answering.encode(inputs)
                whole = measure_encoded(answering, task, encoded, batch)
                measured: dict[Column, Measure] = {}
                for name, column in shuffled:
                    mixed = answering.encode_input(
                        name, _with_cells(inputs[name], others[name], cells=columns[name, column])
                    )
                    measured[name, column] = measure_encoded(answering, task, {**encoded, name: mixed}, batch)
                    if enough():
                        break
                if not full:
                    shuffled = {key: [] for key in measured}
                elif len(measured) < len(shuffled):
                    break
                full.append(whole)
                for key, parts in shuffled.items():
                    parts.append(measured[key])
                if enough():
                    break
        if enough():
            break
    return Measure.cat(full), {key: Measure.cat(parts) for key, parts in shuffled.items()}


def _with_cells(own: Arrays, other: Arrays, *, cells: Sequence[int]) -> Arrays:
    """``own`` cells ``[B, C]`` with those at the positions ``cells`` from the rows of ``other``."""
    chosen = torch.zeros(own.values.shape[1], dtype=torch.bool)
    chosen[list(cells)] = True
    chosen = chosen.to(own.values.device)
    return replace(
        own, values=torch.where(chosen, other.values, own.values), mask=torch.where(chosen, other.mask, own.mask)
    )


def shuffle_inputs(
    model: Model,
    task: Task,
    dataset: Dataset,
    *,
    groups: Mapping[str, tuple[str, ...]],
    seed: int,
    batch_size: int,
    progress: Progress | None,
) -> dict[str, Measure]:
    """By group, what the model is worth when the group's inputs come from another row of the whole split.

    One permutation serves every group, so that each batch is encoded twice, whatever the number of inputs. There is
    nothing to compare where there is one group alone.
    """
    if len(groups) < 2:
        return {}
    shuffled: dict[str, list[Measure]] = {group: [] for group in groups}
    generator = np.random.default_rng(seed)
    for answering, part in by_fold(model, dataset):
        pairs = _paired_batches(part, generator, batch_size=batch_size, progress=progress, label="shuffled inputs")
        with evaluating(answering) as device:
            for batch, other_batch in pairs:
                inputs, others = batch.to(device).inputs, other_batch.to(device).inputs
                encoded, exchanged = answering.encode(inputs), answering.encode(others)
                for group, parts in shuffled.items():
                    mixed = {**encoded, **{name: exchanged[name] for name in groups[group]}}
                    parts.append(measure_encoded(answering, task, mixed, batch))
    return {group: Measure.cat(parts) for group, parts in shuffled.items()}


def _paired_batches(
    dataset: Dataset, generator: np.random.Generator, *, batch_size: int, progress: Progress | None, label: str
) -> Iterator[tuple[Batch, Batch]]:
    """Each batch of ``dataset``, and one of other rows."""
    permuted = dataset.take(_other_rows(len(dataset), generator))
    own = iterate_batches(dataset, batch_size=batch_size, progress=progress, label=label)
    return zip(own, iterate_batches(permuted, batch_size=batch_size, progress=None, label=label), strict=True)


def _other_rows(num_rows: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """A random permutation, one cycle through all rows, so that no row keeps its own place."""
    order = generator.permutation(num_rows)
    other = np.empty_like(order)
    other[order] = np.roll(order, 1)
    return other
