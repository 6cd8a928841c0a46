"""From a stream of dictionaries to record batches of one schema, for readers whose values carry their own types.

It knows no file format. The rows are read twice: once to learn the types, once to store the values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from tonggan.data.source import BATCH_BYTES, BATCH_ROWS
from tonggan.errors import DataError

_TYPES = {
    str: "texts",
    int: "whole numbers",
    float: "fractions",
    bool: "true and false",
    list: "lists",
    dict: "objects",
}


@dataclass(frozen=True)
class Record:
    """One row: its values by column, where it stands (``"line 7"``), and about how many bytes it takes."""

    values: Mapping[str, Any]
    place: str
    num_bytes: int


def infer_schema(records: Iterator[Record], *, who: str) -> pa.Schema:
    """The columns of all records in order of appearance, with the narrowest type that holds every value.

    Whole numbers and fractions become fractions; a key that a record lacks is a missing value.

    Raises:
        DataError: a column mixes types, e.g. texts and numbers.
    """
    schema = pa.schema([])
    for group in _groups(records):
        names = dict.fromkeys(name for record in group for name in record.values)
        found = pa.schema([(name, _array(group, name, None, who=who).type) for name in names])
        try:
            schema = pa.unify_schemas([schema, found], promote_options="permissive")
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise _mixed(f"{who}, {_range(group)}", got=" ".join(str(error).split())) from error
    return schema


def batches_of(records: Iterator[Record], schema: pa.Schema, *, who: str) -> Iterator[pa.RecordBatch]:
    """The records as record batches of ``schema``."""
    for group in _groups(records):
        columns = [_array(group, field.name, field.type, who=who) for field in schema]
        yield pa.record_batch(columns, schema=schema)


def _groups(records: Iterator[Record]) -> Iterator[list[Record]]:
    group: list[Record] = []
    num_bytes = 0
    for record in records:
        group.append(record)
        num_bytes += record.num_bytes
        if len(group) >= BATCH_ROWS or num_bytes >= BATCH_BYTES:
            yield group
            group = []
            num_bytes = 0
    if group:
        yield group


def _array(group: list[Record], name: str, wanted: pa.DataType | None, *, who: str) -> pa.Array:
    values = [record.values.get(name) for record in group]
    try:
        return pa.array(values, wanted)
    except (ValueError, TypeError, OverflowError) as error:  # Arrow's own errors are subclasses of the first two
        types = dict.fromkeys(_TYPES.get(type(value), type(value).__name__) for value in values if value is not None)
        got = " ".join(str(error).split()) if len(types) == 1 else f"values of several types: {', '.join(types)}"
        raise _mixed(f"{who}, {_range(group)}, column '{name}'", got=got) from error


def _range(group: list[Record]) -> str:
    return f"{group[0].place} to {group[-1].place}"


def _mixed(who: str, *, got: str) -> DataError:
    return DataError(
        who,
        got=got,
        expected="values of one type in a column",
        remedy="Write all values the same way, e.g. all as texts",
    )


def from_records(
    records: Callable[[], Iterator[Record]], *, who: str, types: Callable[[], Iterator[Record]] | None = None
) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Schema and batches of the rows that ``records()`` gives anew at each call.

    Args:
        records: starts the stream of rows.
        who: names the table in an error.
        types: starts a cheaper stream with the same types, where there is one.
    """
    schema = infer_schema((types or records)(), who=who)
    return schema, batches_of(records(), schema, who=who)
