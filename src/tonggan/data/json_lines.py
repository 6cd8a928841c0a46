"""JSON Lines files: one object a line, its keys the columns; or one list of such objects.

A list has to be held in memory whole, so that only files up to 64 MiB may be one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from tonggan.data.records import Record, from_records
from tonggan.data.source import TableSource, reading
from tonggan.data.text_file import TextFile, inspect_text
from tonggan.errors import DataError

_MAX_LIST = 64 << 20  # bytes


def read_json_lines(path: Path, encoding: str | None = None) -> TableSource:
    """The table in a JSON Lines file; numbers, texts, lists and nested objects keep their types.

    Args:
        path: the file.
        encoding: the one that the user names; found by evidence if None.

    Raises:
        DataError: the file is empty, has no legal encoding, or (while its rows are read) holds a line that is no
            JSON object, or values of different types in one column.
    """
    text = inspect_text(path, kind="json_lines", declared=encoding)

    def read() -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        return from_records(lambda: _records(path, text), who=f"file {path}")

    return TableSource(
        name=str(path), base=path.parent, fingerprint=text.fingerprint, read=read, findings=lambda: text.findings
    )


def _records(path: Path, text: TextFile) -> Iterator[Record]:
    with reading(path), path.open(encoding=text.encoding, errors=text.errors) as file:
        if path.stat().st_size <= _MAX_LIST and file.read(1024).lstrip()[:1] == "[":
            file.seek(0)
            try:
                rows = json.load(file, object_pairs_hook=_object)
            except (ValueError, RecursionError):
                rows = None  # one list in each line, or a damaged one
            if isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows):
                size = path.stat().st_size // len(rows)
                yield from (Record(row, place=f"object {number}", num_bytes=size) for number, row in enumerate(rows, 1))
                return
        file.seek(0)
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                values = json.loads(line, object_pairs_hook=_object)
            except (ValueError, RecursionError) as error:
                raise _refusal(path, number, got=str(error)) from error
            if not isinstance(values, dict):
                raise _refusal(path, number, got=f"a {type(values).__name__}")
            yield Record(values, place=f"line {number}", num_bytes=len(line))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The mapping of a JSON object; ValueError where a key occurs twice, as one of its values would be lost."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key '{next(key for key in keys if keys.count(key) > 1)}' twice in one object")
    return found


def _refusal(path: Path, line: int, *, got: str) -> DataError:
    return DataError(
        f"file {path}, line {line}",
        got=got,
        expected="one whole JSON object in each line",
        remedy='Write JSON Lines, e.g. {"image": "1.png", "label": "cat"}',
    )
