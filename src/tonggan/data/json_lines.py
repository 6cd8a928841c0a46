"""JSON Lines files: one object a line, its keys the columns; or one document that holds all rows.

A document has to be held in memory whole, so only files up to 64 MiB may be one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa

from tonggan.data.records import Record, from_records
from tonggan.data.source import TableSource, reading
from tonggan.data.text_file import TextFile, inspect_text
from tonggan.errors import DataError

_MAX_DOCUMENT = 64 << 20  # bytes


def read_json_lines(path: Path, encoding: str | None = None) -> TableSource:
    """The table in a JSON file; numbers, texts, lists and nested objects keep their types.

    Args:
        path: the file.
        encoding: the one that the user names; found by evidence if None.

    Raises:
        DataError: the file is empty, has no legal encoding, or (while its rows are read) holds a line that is no
            JSON object, or values of different types in one column.
    """
    text = inspect_text(path, kind="json", declared=encoding)

    def read() -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        return from_records(lambda: _records(path, text), who=f"file {path}")

    return TableSource(
        name=str(path), base=path.parent, fingerprint=text.fingerprint, read=read, findings=lambda: text.findings
    )


def _records(path: Path, text: TextFile) -> Iterator[Record]:
    with reading(path), path.open(encoding=text.encoding, errors=text.errors) as file:
        if path.stat().st_size <= _MAX_DOCUMENT and (rows := _whole(file)):
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


def _whole(file: TextIO) -> list[dict[str, Any]] | None:
    """The rows of a file that is one document: a list of objects, or what pandas writes; None for JSON Lines."""
    try:
        document = json.load(file, object_pairs_hook=_object)
    except (ValueError, RecursionError):  # an object or a list in each line, or a damaged one
        return None
    if isinstance(document, list):
        return document if all(isinstance(row, dict) for row in document) else None
    values = list(document.values()) if isinstance(document, dict) else []
    if not values or not all(isinstance(each, dict) and each and each.keys() == values[0].keys() for each in values):
        return None
    if all(key.isdecimal() for key in document):
        return values  # DataFrame.to_json(orient="index")
    if all(key.isdecimal() for key in values[0]):
        return [{name: cells[row] for name, cells in document.items()} for row in values[0]]  # DataFrame.to_json()
    return None


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
