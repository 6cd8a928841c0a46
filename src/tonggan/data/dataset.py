"""Rows of a table as batches of Arrays: each input's values by row number, its modality's collation, and the target.

It keeps row numbers, slots and the target in memory, never the values: pictures and sounds come from the mapped
decode cache, texts and cells from the mapped table. The order of rows is the loader's business.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tonggan.data.cache import DecodeCache
from tonggan.data.scan import MediaColumn
from tonggan.data.table import Table
from tonggan.modalities.base import MediaModality, Modality
from tonggan.modalities.table import TableRow
from tonggan.tokens import Arrays, Batch


class Source(ABC):
    """Where one input of a model comes from."""

    modality: Modality[Any]

    @abstractmethod
    def items(self, rows: NDArray[np.int64]) -> Sequence[Any]:
        """What ``modality.collate`` reads, for each of ``rows`` of the table."""

    def shared(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:  # noqa: ARG002
        """Fewer rows that show all that ``rows`` show, and for each of ``rows`` which of them; None if all differ."""
        return None


@dataclass(frozen=True)
class MediaSource(Source):
    """A scanned column of pictures or recordings."""

    modality: MediaModality[Any]
    column: MediaColumn
    cache: DecodeCache

    def items(self, rows: NDArray[np.int64]) -> Sequence[NDArray[Any] | None]:
        return self.cache.read(self.column.slots[rows])

    def shared(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        slots, first, index = np.unique(self.column.slots[rows], return_index=True, return_inverse=True)
        return (rows[first], index) if len(slots) < len(rows) else None


@dataclass(frozen=True)
class TextSource(Source):
    """The column ``name`` of texts."""

    modality: Modality[Any]
    table: Table
    name: str

    def items(self, rows: NDArray[np.int64]) -> Sequence[str | None]:
        return self.table.values(self.name, rows)


@dataclass(frozen=True)
class CellSource(Source):
    """The number and category columns that a ``TableRow`` reads together."""

    modality: TableRow
    table: Table

    def items(self, rows: NDArray[np.int64]) -> Sequence[Mapping[str, Any]]:
        names = self.modality.columns
        columns = [self.table.values(name, rows) for name in names]
        return [dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True)]


@dataclass(frozen=True)
class Dataset:
    """Some rows of one table, with the inputs and the target of a model.

    Attributes:
        inputs: the source of each input, by input name.
        rows: int64 ``[N]``, row numbers of the table.
        target: ``[N, ...]``, encoded by the task; None where there is none to compare with.
        groups: int64 ``[N]``; rows with an equal number go into the same batch, so that what they share is encoded
            once. None mixes all rows.
        auxiliary: further targets ``[N, ...]`` that training may learn from as well, by name.
        numbers: int64, for each row of the table its number in the user's own table, counted from 1; None where the
            two tables are the same.
    """

    inputs: Mapping[str, Source]
    rows: NDArray[np.int64]
    target: Tensor | None = None
    groups: NDArray[np.int64] | None = None
    auxiliary: Mapping[str, Tensor] = field(default_factory=dict)
    numbers: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        assert self.target is None or len(self.target) == len(self.rows), "target and rows differ in length"

    def __len__(self) -> int:
        return len(self.rows)

    def numbers_of(self, rows: NDArray[np.int64]) -> list[int]:
        """How the user's own table counts ``rows`` of the table, from 1; for messages."""
        numbers: list[int] = (rows + 1 if self.numbers is None else self.numbers[rows]).tolist()
        return numbers

    @property
    def has_cells(self) -> bool:
        """Whether an input has single cells that can be hidden."""
        return any(isinstance(source, CellSource) for source in self.inputs.values())

    def batch(
        self,
        positions: NDArray[np.int64],
        *,
        generator: torch.Generator | None = None,
        hidden: NDArray[np.bool_] | None = None,
    ) -> Batch:
        """The rows at ``positions`` (0 to N - 1) as one batch.

        With a ``generator`` rows are randomly varied, and those where ``hidden`` [B] is True lose some of their cells
        and words.
        """
        rows = self.rows[positions]
        arrays: dict[str, Arrays] = {}
        for name, source in self.inputs.items():
            shared = source.shared(rows)
            made = source.modality.collate(source.items(rows if shared is None else shared[0]))
            if generator is not None:
                made = source.modality.augment(made, generator)
                if hidden is not None:
                    made = source.modality.hide(made, torch.from_numpy(hidden), generator)
            arrays[name] = made if shared is None else replace(made, index=torch.from_numpy(shared[1]))
        target = None if self.target is None else self.target[torch.from_numpy(positions)]
        auxiliary = {name: values[torch.from_numpy(positions)] for name, values in self.auxiliary.items()}
        return Batch(torch.from_numpy(rows), arrays, target, auxiliary)

    def take(self, positions: NDArray[np.int64]) -> Dataset:
        """The data set of the rows at ``positions`` only."""
        target = None if self.target is None else self.target[torch.from_numpy(positions)]
        groups = None if self.groups is None else self.groups[positions]
        auxiliary = {name: values[torch.from_numpy(positions)] for name, values in self.auxiliary.items()}
        return replace(self, rows=self.rows[positions], target=target, groups=groups, auxiliary=auxiliary)
