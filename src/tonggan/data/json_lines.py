"""JSON Lines files: one object a line, its keys the columns.

One JSON document that spans lines is not read: it would have to be held in memory whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from tonggan.data.records import Record, from_records
from tonggan.data.source import TableSource, reading
from tonggan.data.text_file import inspect_text
from tonggan.errors import DataError


def read_json_lines(path: Path) -> TableSource:
    """The table in a JSON Lines file; numbers, texts, lists and nested objects keep their types.

    Raises:
        DataError: the file is empty, has no legal encoding, or (while its rows are read) holds a line that is no
            JSON object, or values of different types in one column.
    """
    encoding, fingerprint = inspect_text(path, kind="json_lines")

    def read() -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        return from_records(lambda: _records(path, encoding), who=f"file {path}")

    return TableSource(name=str(path), base=path.parent, fingerprint=fingerprint, read=read)


def _records(path: Path, encoding: str) -> Iterator[Record]:
    with reading(path), path.open(encoding=encoding) as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                values = json.loads(line)
            except (json.JSONDecodeError, RecursionError) as error:
                raise _refusal(path, number, got=str(error)) from error
            if not isinstance(values, dict):
                raise _refusal(path, number, got=f"a {type(values).__name__}")
            yield Record(values, place=f"line {number}", num_bytes=len(line))


def _refusal(path: Path, line: int, *, got: str) -> DataError:
    return DataError(
        f"file {path}, line {line}",
        got=got,
        expected="one whole JSON object in each line",
        remedy='Write JSON Lines, e.g. {"image": "1.png", "label": "cat"}',
    )
