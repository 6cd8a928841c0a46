"""What a model loses when an input, or one column of a table, comes from another row (Breiman 2001).

Each batch is encoded twice, with its own values and with those of other rows; what is shuffled is then mixed in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tonggan.data.dataset import Dataset
from tonggan.evaluation.intervals import interval, resample
from tonggan.evaluation.predict import evaluating, iterate_batches
from tonggan.modalities.table import TableRow
from tonggan.models.fused import FusedModel
from tonggan.progress import Progress
from tonggan.tasks.base import Task
from tonggan.tokens import Arrays

# Every column takes a pass of its own over the rows; to write a text is a pass for each of its tokens.
_MAX_PASSES, _MAX_WRITTEN = 40_000, 1_000
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


def table_columns(dataset: Dataset) -> dict[str, list[str]]:
    """By input that is a table, its columns."""
    modalities = {name: source.modality for name, source in dataset.inputs.items()}
    return {name: modality.columns for name, modality in modalities.items() if isinstance(modality, TableRow)}


def column_importance(
    model: FusedModel, task: Task, dataset: Dataset, *, seed: int, batch_size: int, progress: Progress | None
) -> dict[str, list[ColumnImportance]]:
    """By input that is a table, the importance of its columns on rows of ``dataset``, the greatest first."""
    columns = {
        (name, column): place for name, names in table_columns(dataset).items() for place, column in enumerate(names)
    }
    if not columns:
        return {}
    generator = np.random.default_rng(seed)
    passes = (_MAX_PASSES if task.text is None else _MAX_WRITTEN) // len(columns)
    num_rows = max(_MIN_ROWS, min(passes, _MAX_ROWS))
    sample = dataset.take(np.sort(generator.permutation(len(dataset))[:num_rows]))
    target, full, shuffled = _with_shuffled_columns(
        model, sample, columns=columns, generator=generator, batch_size=batch_size, progress=progress
    )
    sign = 1.0 if task.greater_is_better else -1.0
    score, name = task.score(full, target), task.score_name
    draws = resample(task, full, target, seed=seed, repeats=_DRAWS, only=name).get(name, np.empty(0))
    found: dict[str, list[ColumnImportance]] = {}
    for (table, column), outputs in shuffled.items():
        lost = sign * (score - task.score(outputs, target))
        other = resample(task, outputs, target, seed=seed, repeats=_DRAWS, only=name).get(name, np.empty(0))
        paired = 0 < len(draws) == len(other)
        found.setdefault(table, []).append(
            ColumnImportance(column, lost, interval(sign * (draws - other)) if paired else None)
        )
    return {name: sorted(each, key=lambda column: -column.importance) for name, each in found.items()}


def _with_shuffled_columns(
    model: FusedModel,
    dataset: Dataset,
    *,
    columns: Mapping[tuple[str, str], int],
    generator: np.random.Generator,
    batch_size: int,
    progress: Progress | None,
) -> tuple[Tensor, Tensor, dict[tuple[str, str], Tensor]]:
    """Targets, the model's outputs, and those with each of ``columns``, cells by their place, from another row."""
    encoders = dict(zip(model.names, model.encoders, strict=True))
    targets: list[Tensor] = []
    full: list[Tensor] = []
    shuffled: dict[tuple[str, str], list[Tensor]] = {key: [] for key in columns}
    permuted = dataset.take(_other_rows(len(dataset), generator))
    own = iterate_batches(dataset, batch_size=batch_size, progress=progress, label="columns")
    other = iterate_batches(permuted, batch_size=batch_size, progress=None, label="columns")
    with evaluating(model) as device:
        for batch, other_batch in zip(own, other, strict=True):
            assert batch.target is not None, "only rows with a target can be audited"
            targets.append(batch.target)
            inputs, others = batch.to(device).inputs, other_batch.to(device).inputs
            tokens = model.encode(inputs)
            full.append(model.decode(model.fuse(tokens)).float().cpu())
            for (name, column), place in columns.items():
                mixed = encoders[name](_with_column(inputs[name], others[name], place=place))
                shuffled[name, column].append(model.decode(model.fuse({**tokens, name: mixed})).float().cpu())
    return torch.cat(targets), torch.cat(full), {key: torch.cat(parts) for key, parts in shuffled.items()}


def _with_column(own: Arrays, other: Arrays, *, place: int) -> Arrays:
    """``own`` cells ``[B, C]`` with the column at ``place`` from the rows of ``other``."""
    chosen = torch.arange(own.values.shape[1], device=own.values.device) == place
    return replace(
        own, values=torch.where(chosen, other.values, own.values), mask=torch.where(chosen, other.mask, own.mask)
    )


def shuffled_outputs(
    model: FusedModel,
    dataset: Dataset,
    *,
    groups: Mapping[str, tuple[str, ...]],
    seed: int,
    batch_size: int,
    progress: Progress | None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The targets, and by group the outputs when its inputs come from another row of the whole split.

    One permutation serves every group, so that each batch is encoded twice, whatever the number of inputs.
    """
    generator = np.random.default_rng(seed)
    permuted = dataset.take(_other_rows(len(dataset), generator))
    targets: list[Tensor] = []
    outputs: dict[str, list[Tensor]] = {group: [] for group in groups} if len(groups) > 1 else {}
    own = iterate_batches(dataset, batch_size=batch_size, progress=progress, label="shuffled inputs")
    other = iterate_batches(permuted, batch_size=batch_size, progress=None, label="shuffled inputs")
    with evaluating(model) as device:
        for batch, other_batch in zip(own, other, strict=True):
            assert batch.target is not None, "only rows with a target can be audited"
            targets.append(batch.target)
            if not outputs:
                continue
            tokens, other_tokens = model.encode(batch.to(device).inputs), model.encode(other_batch.to(device).inputs)
            for group, parts in outputs.items():
                mixed = {**tokens, **{name: other_tokens[name] for name in groups[group]}}
                parts.append(model.decode(model.fuse(mixed)).float().cpu())
    return torch.cat(targets), {group: torch.cat(parts) for group, parts in outputs.items()}


def _other_rows(num_rows: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """A random permutation, one cycle through all rows, so that no row keeps its own place."""
    order = generator.permutation(num_rows)
    other = np.empty_like(order)
    other[order] = np.roll(order, 1)
    return other
