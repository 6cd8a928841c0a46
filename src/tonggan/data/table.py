"""A table of any size, memory-mapped from one Arrow file: columns by name, rows by number.

It reads what a reader has stored; it neither guesses what a column means nor decodes pictures or sounds.
"""

from __future__ import annotations

import copy
import difflib
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tonggan.data.findings import Finding
from tonggan.data.source import STORED_AS
from tonggan.errors import DataError


def spread(count: int, limit: int) -> NDArray[np.int64]:
    """At most ``limit`` of the places 0 to ``count`` - 1, evenly spread and ascending."""
    return np.unique(np.linspace(0, count - 1, min(count, limit)).astype(np.int64)) if count else np.arange(0)


class Table:
    """Rows and named columns in an Arrow IPC file.

    The file stays on disk: only what is asked for becomes Python values. Reading from several threads is safe.

    Args:
        path: the Arrow file.
        base: the folder that relative paths in the columns start at.
        source: what the user called the table, for messages.
        fingerprint: a hash of the content.
        findings: what a person should know of how it was read.
    """

    def __init__(
        self, path: Path, *, base: Path, source: str, fingerprint: str, findings: Sequence[Finding] = ()
    ) -> None:
        self.findings = findings
        self.base = base
        self.source = source
        self.fingerprint = fingerprint
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        self._schema: pa.Schema = reader.schema
        self._batches: list[pa.RecordBatch] = [reader.get_batch(index) for index in range(reader.num_record_batches)]
        # _starts[i] is the stored row that batch i starts with; one more entry holds the number of all.
        self._starts = np.cumsum([0, *(batch.num_rows for batch in self._batches)])
        self._selected: NDArray[np.int64] | None = None

    @property
    def names(self) -> list[str]:
        """The columns, in their order."""
        return list(self._schema.names)

    def __len__(self) -> int:
        return int(self._starts[-1]) if self._selected is None else len(self._selected)

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
        near = [f"'{folded[match]}'" for match in difflib.get_close_matches(name.casefold(), folded, n=3)]
        shown = ", ".join(f"'{other}'" for other in self.names[:20]) + (", …" if len(self.names) > 20 else "")
        raise DataError(
            f"table {self.source}",
            got=f"no column '{name}'",
            expected=f"one of {shown}",
            remedy=f"Check the name; the nearest is {' or '.join(near)}" if near else "Check the name",
        )

    def column_type(self, name: str) -> pa.DataType:
        """The Arrow type of a column."""
        self.require(name)
        return self._schema.field(name).type

    def stored_as(self, name: str) -> str | None:
        """What a column was to its reader: ``date``, ``timestamp``, ``time``, ``duration``, or ``untyped`` in CSV."""
        self.require(name)
        stored: bytes | None = (self._schema.field(name).metadata or {}).get(STORED_AS)
        return None if stored is None else stored.decode()

    @property
    def row_numbers(self) -> NDArray[np.int64]:
        """int64 ``[N]``: the place of each row in the user's own table, counted from 1 below its header."""
        stored = np.arange(len(self), dtype=np.int64) if self._selected is None else self._selected
        return stored + 1

    def select(self, rows: NDArray[np.integer[Any]]) -> Table:
        """The table of these rows in this order, without a copy of their values."""
        chosen = self._stored(np.asarray(rows, dtype=np.int64))
        table = copy.copy(self)
        table._selected = chosen
        table.fingerprint = hashlib.sha256(self.fingerprint.encode() + chosen.tobytes()).hexdigest()[:32]
        return table

    def with_absent(self, names: Sequence[str]) -> Table:
        """The table with further columns ``names`` that are missing in every row."""
        table = copy.copy(self)
        for name in names:
            table._schema = table._schema.append(pa.field(name, pa.null()))
        table._batches = [
            pa.record_batch([*batch.columns, *(pa.nulls(len(batch)) for _ in names)], schema=table._schema)
            for batch in self._batches
        ]
        return table

    def renamed(self, name: str, to: str) -> Table:
        """The table whose column ``name`` is called ``to``."""
        self.require(name)
        names = [to if each == name else each for each in self.names]
        table = copy.copy(self)
        table._batches = [batch.rename_columns(names) for batch in self._batches]
        table._schema = pa.schema([field.with_name(each) for field, each in zip(self._schema, names, strict=True)])
        return table

    def values(self, name: str, rows: NDArray[np.integer[Any]] | None = None) -> list[Any]:
        """The Python values of a column at ``rows``, in their order; of all rows if None. A missing value is None."""
        if rows is None:
            return [value for values in self.iterate(name) for value in values]
        self.require(name)
        stored = self._stored(np.asarray(rows, dtype=np.int64))
        # Batch by batch in ascending order, so that each is looked up once and the disk is read forwards.
        order = np.argsort(stored, kind="stable")
        ascending = stored[order]
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
        if self._selected is not None:
            for start in range(0, len(self), batch_size):
                yield self.values(name, np.arange(start, min(start + batch_size, len(self))))
            return
        for batch in self._batches:
            column = batch.column(name)
            for start in range(0, len(column), batch_size):
                yield column.slice(start, batch_size).to_pylist()

    def _stored(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The numbers of ``rows`` in the file."""
        assert rows.size == 0 or (rows.min() >= 0 and rows.max() < len(self)), "a row number is out of range"
        return rows if self._selected is None else self._selected[rows]
