"""Rows of a table as batches of Arrays: each input's and target's values by row number, collated by its modality.

It keeps row numbers and slots in memory, never the values: pictures and sounds come from the mapped decode cache, texts
and cells from the mapped table. The order of rows is the loader's business.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tonggan.data.cache import DecodeCache
from tonggan.data.scan import MediaColumn
from tonggan.data.table import Table
from tonggan.modalities.base import ColumnConfig, Modality
from tonggan.tokens import Arrays, Batch

_ROWS_AT_ONCE = 8_192


class Source(ABC):
    """Where one input of a model comes from, or one target."""

    modality: Modality[Any]

    @abstractmethod
    def items(self, rows: NDArray[np.int64]) -> Sequence[Any]:
        """What ``modality.collate`` reads, for each of ``rows`` of the table."""

    def shared(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:  # noqa: ARG002
        """Fewer rows that show all that ``rows`` show, and for each of ``rows`` which of them; None if all differ."""
        return None

    def collate(self, rows: NDArray[np.int64]) -> Arrays:
        """The Arrays of ``rows`` of the table."""
        return self.modality.collate(self.items(rows))

    def stream(self, rows: NDArray[np.int64]) -> Iterator[Any]:
        """``items`` of ``rows``, not all in memory at once."""
        for first in range(0, len(rows), _ROWS_AT_ONCE):
            yield from self.items(rows[first : first + _ROWS_AT_ONCE])


@dataclass(frozen=True)
class MediaSource(Source):
    """A scanned column of pictures, recordings or masks."""

    modality: Modality[Any]
    column: MediaColumn
    cache: DecodeCache

    def items(self, rows: NDArray[np.int64]) -> Sequence[NDArray[Any] | None]:
        return self.cache.read(self.column.slots[rows])

    def shared(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        slots, first, index = np.unique(self.column.slots[rows], return_index=True, return_inverse=True)
        return (rows[first], index) if len(slots) < len(rows) else None

    def collate(self, rows: NDArray[np.int64]) -> Arrays:
        arrays = super().collate(rows)
        extents = self.column.extents
        return arrays if extents is None else replace(arrays, extent=torch.from_numpy(extents[rows]))


@dataclass(frozen=True)
class ColumnSource(Source):
    """What the input ``name`` reads of the cells of a table."""

    modality: Modality[Any]
    table: Table
    name: str

    def items(self, rows: NDArray[np.int64]) -> Sequence[Any]:
        return self.modality.gather(self.name, lambda column: self.table.values(column, rows))


@dataclass(frozen=True)
class TargetSource(Source):
    """The cells of target columns, each as its kind reads them: of one column the values, of several rows by column."""

    modality: Modality[Any]
    table: Table
    columns: Mapping[str, ColumnConfig]

    def items(self, rows: NDArray[np.int64]) -> Sequence[Any]:
        columns = self.columns.items()
        values = [[config.read(cell) for cell in self.table.values(name, rows)] for name, config in columns]
        if len(values) == 1:
            return values[0]
        return [dict(zip(self.columns, row, strict=True)) for row in zip(*values, strict=True)]

    def check(self, rows: NDArray[np.int64]) -> None:
        """Raise the DataError of a row that cannot be collated, before it comes up in the middle of a training."""
        for first in range(0, len(rows), _ROWS_AT_ONCE):
            self.collate(rows[first : first + _ROWS_AT_ONCE])


@dataclass(frozen=True)
class Dataset:
    """Some rows of one table, with the inputs and the targets of a model.

    Attributes:
        inputs: the source of each input, by input name.
        rows: int64 ``[N]``, row numbers of the table.
        targets: the source of each target, by its name in a Batch; none where there is nothing to compare with.
        groups: int64 ``[N]``; rows with an equal number go into the same batch, so that what they share is encoded
            once. None mixes all rows.
        folds: int64 ``[N]``, which of several models has not learned from each row, and answers it; None where one
            model answers all.
        numbers: int64, for each row of the table its number in the user's own table, counted from 1; None where the
            two tables are the same.
    """

    inputs: Mapping[str, Source]
    rows: NDArray[np.int64]
    targets: Mapping[str, Source] = field(default_factory=dict)
    groups: NDArray[np.int64] | None = None
    folds: NDArray[np.int64] | None = None
    numbers: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def numbers_of(self, rows: NDArray[np.int64]) -> list[int]:
        """How the user's own table counts ``rows`` of the table, from 1; for messages."""
        numbers: list[int] = (rows + 1 if self.numbers is None else self.numbers[rows]).tolist()
        return numbers

    @property
    def has_cells(self) -> bool:
        """Whether an input has single cells that can be hidden."""
        return any(source.modality.cells for source in self.inputs.values())

    def batch(self, positions: NDArray[np.int64]) -> Batch:
        """The rows at ``positions`` (0 to N - 1) as one batch, as they are."""
        rows = self.rows[positions]
        inputs: dict[str, Arrays] = {}
        for name, source in self.inputs.items():
            shared = source.shared(rows)
            made = source.collate(rows if shared is None else shared[0])
            inputs[name] = made if shared is None else replace(made, index=torch.from_numpy(shared[1]))
        targets = {name: self._target(source, rows, inputs) for name, source in self.targets.items()}
        return Batch(torch.from_numpy(rows), inputs, targets)

    def _target(self, source: Source, rows: NDArray[np.int64], inputs: Mapping[str, Arrays]) -> Arrays:
        """The target of ``rows``, as their pictures were fitted where it follows one."""
        arrays, picture = source.collate(rows), source.modality.follows
        if picture is None or picture not in inputs:
            return arrays
        extent = inputs[picture].expand().extent
        assert extent is not None, "pictures that others follow know their extent"
        return source.modality.fitted(arrays, extent)

    def vary(self, batch: Batch, generator: torch.Generator, *, hidden: NDArray[np.bool_] | None = None) -> Batch:
        """``batch`` randomly varied, what belongs together alike; all randomness is drawn from ``generator``.

        The rows where ``hidden`` [B] is True also lose some of their cells and words.
        """
        followers: dict[str, list[str]] = {}
        for name, source in self.targets.items():
            if source.modality.follows is not None:
                followers.setdefault(source.modality.follows, []).append(name)
        inputs, targets = dict(batch.inputs), dict(batch.targets)
        for name, arrays in batch.inputs.items():
            modality = self.inputs[name].modality
            # Each row's boxes are its own, so rows that share a picture are varied apart where boxes follow it.
            whole = arrays.expand() if name in followers else arrays
            movement = modality.movement(whole, generator) if name in followers else None
            made = modality.vary(whole, generator, movement=movement)
            if hidden is not None:
                made = modality.hide(made, torch.from_numpy(hidden), generator)
            inputs[name] = made
            if movement is not None:
                for target in followers[name]:
                    targets[target] = self.targets[target].modality.follow(targets[target], movement)
        return Batch(batch.rows, inputs, targets)

    def sample(self, max_rows: int, *, seed: int) -> Dataset:
        """The data set, or a random ``max_rows`` of its rows where it has more."""
        if len(self) <= max_rows:
            return self
        return self.take(np.sort(np.random.default_rng(seed).permutation(len(self))[:max_rows]))

    def take(self, positions: NDArray[np.int64]) -> Dataset:
        """The data set of the rows at ``positions`` only."""
        groups = None if self.groups is None else self.groups[positions]
        folds = None if self.folds is None else self.folds[positions]
        return replace(self, rows=self.rows[positions], groups=groups, folds=folds)
