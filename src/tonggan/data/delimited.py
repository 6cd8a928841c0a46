"""CSV and TSV files: every value is text, a blank one is missing, and a wrong row is named by its line.

Nothing is converted to numbers here: ``00123`` stays as it is until a column's kind says what it means.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pyarrow as pa

from tonggan.data.source import BATCH_BYTES, BATCH_ROWS, STORED_AS, TableSource, check_names, reading
from tonggan.data.text_file import inspect_text
from tonggan.errors import DataError

# The csv module refuses values above 131,072 characters unless told otherwise. A value above this limit comes
# almost always from a quotation mark that is never closed.
_MAX_CHARACTERS = 1 << 26
_SEPARATORS = (",", ";", "\t")


def read_delimited(path: Path) -> TableSource:
    """The table in a CSV or TSV file with column names in its first line.

    A ``.tsv`` file is separated by tabs; any other by whichever of comma, semicolon and tab its first line holds most.

    Raises:
        DataError: the file is empty, has no legal encoding, repeats a column's name, or (while its rows are
            read) has a row with too few or too many values or a quotation mark that is not closed.
    """
    csv.field_size_limit(max(csv.field_size_limit(), _MAX_CHARACTERS))
    encoding, fingerprint = inspect_text(path, kind=f"delimited{path.suffix.lower()}")
    with _opened(path, encoding) as file:
        first_line = next((line for line in file if line.strip()), "")
    separator = "\t" if path.suffix.lower() == ".tsv" else max(_SEPARATORS, key=first_line.count)

    def read() -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        rows = _rows(path, encoding, separator)
        _, header = next(rows, (0, []))
        names = [name.strip() or f"column_{position}" for position, name in enumerate(header, start=1)]
        check_names(names, who=f"file {path}")
        schema = pa.schema([pa.field(name, pa.string(), metadata={STORED_AS: "untyped"}) for name in names])
        return schema, _batches(path, rows, schema)

    return TableSource(name=str(path), base=path.parent, fingerprint=fingerprint, read=read)


def _opened(path: Path, encoding: str) -> io.TextIOWrapper:
    with reading(path):
        return path.open(encoding=encoding, newline="")


def _rows(path: Path, encoding: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not blank, with the number of the line it starts in."""
    with reading(path), _opened(path, encoding) as file:
        reader = csv.reader(file, delimiter=separator, strict=True)
        start = 1
        try:
            for row in reader:
                if row:
                    yield start, row
                start = reader.line_num + 1
        except csv.Error as error:
            _refuse(path, start, got=str(error), expected="quotation marks in pairs")


def _batches(path: Path, rows: Iterator[tuple[int, list[str]]], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    width = len(schema)
    pending: list[list[str]] = []
    num_characters = 0
    for line, row in rows:
        if len(row) != width:
            _refuse(path, line, got=f"{len(row)} values", expected=f"{width}, one for each column")
        pending.append(row)
        num_characters += sum(map(len, row))
        if len(pending) >= BATCH_ROWS or num_characters >= BATCH_BYTES:
            yield _batch(pending, schema)
            pending.clear()
            num_characters = 0
    if pending:
        yield _batch(pending, schema)


def _batch(rows: list[list[str]], schema: pa.Schema) -> pa.RecordBatch:
    columns = [pa.array([value or None for value in column], pa.string()) for column in zip(*rows, strict=True)]
    return pa.record_batch(columns, schema=schema)


def _refuse(path: Path, line: int, *, got: str, expected: str) -> NoReturn:
    raise DataError(
        f"file {path}, line {line}",
        got=got,
        expected=expected,
        remedy="Correct the line; put a value that holds the separator or a quotation mark in quotation marks, "
        "and double those inside it",
    )
