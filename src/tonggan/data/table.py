"""A table of any size, memory-mapped from one Arrow file: columns by name, rows by number.

It reads what a reader has stored; it neither guesses what a column means nor decodes pictures or sounds.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tonggan.errors import DataError


class Table:
    """Rows and named columns in an Arrow IPC file.

    The file stays on disk: only what is asked for becomes Python values. Reading from several threads is safe.

    Args:
        path: the Arrow file.
        base: the folder that relative paths in the columns start at.
        source: what the user called the table, for messages.
        fingerprint: a hash of the content.
    """

    def __init__(self, path: Path, *, base: Path, source: str, fingerprint: str) -> None:
        self.base = base
        self.source = source
        self.fingerprint = fingerprint
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        self._schema: pa.Schema = reader.schema
        self._batches: list[pa.RecordBatch] = [reader.get_batch(index) for index in range(reader.num_record_batches)]
        # _starts[i] is the number of the first row of batch i; one more entry holds the number of all rows.
        self._starts = np.cumsum([0, *(batch.num_rows for batch in self._batches)])

    @property
    def names(self) -> list[str]:
        """The columns, in their order."""
        return list(self._schema.names)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __repr__(self) -> str:
        return f"Table({self.source!r}, rows={len(self)}, columns={self.names})"

    def require(self, name: str) -> None:
        """Check that there is a column ``name``.

        Raises:
            DataError: there is none; the message suggests the nearest names.
        """
        if name in self._schema.names:
            return
        folded = {other.casefold(): other for other in self.names}
        near = [folded[match] for match in difflib.get_close_matches(name.casefold(), folded, n=3)]
        shown = ", ".join(f"'{other}'" for other in self.names[:20]) + (", …" if len(self.names) > 20 else "")
        raise DataError(
            f"table {self.source}",
            got=f"no column '{name}'",
            expected=f"one of {shown}",
            remedy=f"Did you mean {' or '.join(repr(other) for other in near)}" if near else "Check the column's name",
        )

    def column_type(self, name: str) -> pa.DataType:
        """The Arrow type of a column."""
        self.require(name)
        return self._schema.field(name).type

    def num_missing(self, name: str) -> int:
        """How many rows have no value in a column; takes no time, because Arrow stores it."""
        self.require(name)
        return sum(batch.column(name).null_count for batch in self._batches)

    def values(self, name: str, rows: NDArray[np.integer[Any]] | None = None) -> list[Any]:
        """The Python values of a column at ``rows``, in their order; of all rows if None. A missing value is None."""
        self.require(name)
        if rows is None:
            return [value for values in self.iterate(name) for value in values]
        rows = np.asarray(rows, dtype=np.int64)
        assert rows.size == 0 or (rows.min() >= 0 and rows.max() < len(self)), "a row number is out of range"
        # Batch by batch in ascending order, so that each is looked up once and the disk is read forwards.
        order = np.argsort(rows, kind="stable")
        ascending = rows[order]
        bounds = np.searchsorted(ascending, self._starts)
        found: list[Any] = []
        for index in np.flatnonzero(np.diff(bounds)):
            local = ascending[bounds[index] : bounds[index + 1]] - self._starts[index]
            found.extend(self._batches[index].column(name).take(pa.array(local)).to_pylist())
        result: list[Any] = [None] * len(found)
        for position, value in zip(order.tolist(), found, strict=True):
            result[position] = value
        return result

    def iterate(self, name: str, batch_size: int = 8192) -> Iterator[list[Any]]:
        """The values of a column in row order, in lists of at most ``batch_size`` that are never empty."""
        self.require(name)
        for batch in self._batches:
            column = batch.column(name)
            for start in range(0, len(column), batch_size):
                yield column.slice(start, batch_size).to_pylist()
