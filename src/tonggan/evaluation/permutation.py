"""What a model loses when an input, or one column of a table, comes from another row (Breiman 2001).

Each batch is encoded twice, with its own values and with those of other rows; what is shuffled is then mixed in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

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
    model: Model, task: Task, dataset: Dataset, *, seed: int, batch_size: int, progress: Progress | None
) -> dict[str, list[ColumnImportance]]:
    """By input that is a table, the importance of its columns on rows of ``dataset``, the greatest first."""
    columns = {
        (name, column): places
        for name, names in table_columns(dataset).items()
        for column, places in zip(names, dataset.inputs[name].modality.positions, strict=True)
    }
    if not columns:
        return {}
    generator = np.random.default_rng(seed)
    # Every column takes a pass of its own over the rows.
    num_rows = max(_MIN_ROWS, min(task.max_audited_passes // len(columns), _MAX_ROWS))
    sample = dataset.take(np.sort(generator.permutation(len(dataset))[:num_rows]))
    full, shuffled = _with_shuffled_columns(
        model, task, sample, columns=columns, generator=generator, batch_size=batch_size, progress=progress
    )
    sign = 1.0 if task.greater_is_better else -1.0
    draws = score_draws(full, seed=seed, repeats=_DRAWS)
    found: dict[str, list[ColumnImportance]] = {}
    for table, column in columns:
        measure = shuffled.pop((table, column))  # what its draws prepare is gone with it
        lost = sign * (full.score() - measure.score())
        other = score_draws(measure, seed=seed, repeats=_DRAWS)
        found.setdefault(table, []).append(
            ColumnImportance(column, lost, gain_interval(draws, other, greater_is_better=task.greater_is_better))
        )
    return {name: sorted(each, key=lambda column: -column.importance) for name, each in found.items()}


def _with_shuffled_columns(
    model: Model,
    task: Task,
    dataset: Dataset,
    *,
    columns: Mapping[tuple[str, str], Sequence[int]],
    generator: np.random.Generator,
    batch_size: int,
    progress: Progress | None,
) -> tuple[Measure, dict[tuple[str, str], Measure]]:
    """What the model is worth, and with each of ``columns``, which cells it has, from another row."""
    full: list[Measure] = []
    shuffled: dict[tuple[str, str], list[Measure]] = {key: [] for key in columns}
    for answering, part in by_fold(model, dataset):
        pairs = _paired_batches(part, generator, batch_size=batch_size, progress=progress, label="columns")
        with evaluating(answering) as device:
            for batch, other_batch in pairs:
                inputs, others = batch.to(device).inputs, other_batch.to(device).inputs
                encoded = answering.encode(inputs)
                full.append(measure_encoded(answering, task, encoded, batch))
                for (name, column), cells in columns.items():
                    mixed = answering.encode_input(name, _with_cells(inputs[name], others[name], cells=cells))
                    measure = measure_encoded(answering, task, {**encoded, name: mixed}, batch)
                    shuffled[name, column].append(measure)
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
