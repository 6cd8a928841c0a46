"""CSV and TSV files: every value is text, a blank one is missing, and nothing is left out without a word.

Nothing is converted to numbers here: ``00123`` stays as it is until a column's kind says what it means.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NoReturn

import pyarrow as pa

from tonggan.data.findings import Finding, Severity
from tonggan.data.header import column_names
from tonggan.data.source import BATCH_BYTES, BATCH_ROWS, STORED_AS, TableSource, check_names, reading
from tonggan.data.text_file import TextFile, inspect_text
from tonggan.errors import DataError

# The csv module refuses values above 131,072 characters unless told otherwise. A value above this limit comes
# almost always from a quotation mark that is never closed.
_MAX_CHARACTERS = 1 << 26
_SEPARATORS = (",", ";", "\t", "|")
_NO_SEPARATOR = "\x1f"  # of files with one column: no text holds it
_NUM_LOOKED_AT = 50  # rows, before the separator is settled
_MAX_RAGGED = 0.05  # of the rows; above, the separator or the header is not what it seems
_NUM_SHOWN = 5

Row = tuple[int, list[str]]
"""The number of the line that a row starts in, and its values."""


def read_delimited(path: Path, encoding: str | None = None) -> TableSource:
    """The table in a CSV or TSV file with column names in its first line, behind comments and Excel's ``sep=;``.

    A ``.tsv`` file is separated by tabs; any other by whichever of comma, semicolon, tab and bar divides its first rows
    most evenly. A row that is too short is filled up with missing values, one that is too long is kept without values;
    both are told, and are an error where they are many.

    Args:
        path: the file.
        encoding: the one that the user names; found by evidence if None.

    Raises:
        DataError: the file is empty, its encoding is not sure, or (while its rows are read) many rows have too few or
            too many values, or a quotation mark is not closed.
    """
    csv.field_size_limit(max(csv.field_size_limit(), _MAX_CHARACTERS))
    text = inspect_text(path, kind=f"delimited{path.suffix.lower()}", declared=encoding)
    findings = list(text.findings)

    def read() -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        layout = _look(path, text)
        rows = _rows(path, text, layout)
        _, header = next(rows, (0, []))
        if layout.has_row_names:
            header = ["", *header]
        names, found = column_names(header, file=path.name)
        check_names(names, who=f"file {path}")
        findings.extend([*_told_of(layout, path.name), *found])
        schema = pa.schema([pa.field(name, pa.string(), metadata={STORED_AS: "untyped"}) for name in names])
        return schema, _Reading(path, schema, findings).batches(rows)

    return TableSource(
        name=str(path), base=path.parent, fingerprint=text.fingerprint, read=read, findings=lambda: findings
    )


@dataclass(frozen=True)
class _Layout:
    """How a file is laid out.

    Attributes:
        separator: between values.
        num_skipped: lines before the header: comments and ``sep=;``.
        num_comments: how many of them begin with ``#``.
        has_row_names: whether rows have one value more than the header has names, as R writes tables.
    """

    separator: str
    num_skipped: int
    num_comments: int
    has_row_names: bool


def _told_of(layout: _Layout, file: str) -> Iterator[Finding]:
    """What a person should know of the lines around the header."""
    if layout.num_comments:
        yield Finding(
            "note",
            None,
            None,
            layout.num_comments,
            message=f"{file} begins with {layout.num_comments:,} lines of comments, which are passed over.",
            message_zh=f"{file} 以 {layout.num_comments:,} 行注释开头，已跳过。",
            remedy="Nothing to do",
            remedy_zh="无需处理",
        )
    if layout.has_row_names:
        yield Finding(
            "note",
            None,
            None,
            0,
            message=f"The rows of {file} have one value more than its header has names; the first is taken for "
            "the row's name, 'column_1'.",
            message_zh=f"{file} 的每一行都比表头多一个值；第一个值被当作行名“column_1”。",
            remedy="Put a name for it before the others in the first line",
            remedy_zh="请在第一行最前面为它加上列名",
        )


def _look(path: Path, text: TextFile) -> _Layout:
    """The layout that the first rows show."""
    with reading(path), _opened(path, text) as file:
        lines = list(islice(file, _NUM_LOOKED_AT * 4))
    start = next((index for index, line in enumerate(lines) if line.strip()), 0)
    declared = None
    if lines[start:] and lines[start].lower().startswith("sep=") and len(lines[start].strip()) == 5:
        declared = lines[start].strip()[4]
        start += 1
    separator = declared or ("\t" if path.suffix.lower() == ".tsv" else None)
    start = _after_comments(lines, start, separator)
    if separator is None:
        separator = max(_SEPARATORS, key=lambda each: _evenness(lines[start:], each))
        header = _some_rows(lines[start:], separator)[:1]  # A quoted name may hold line breaks.
        if lines[start:] and (len(header[0]) < 2 if header else separator not in lines[start]):
            separator = _NO_SEPARATOR
    rows = _some_rows(lines[start:], separator)
    width = len(rows[0]) if rows else 0
    names = {row[0] for row in rows[1:]}
    has_row_names = (
        len(rows) > 2 and len(names) == len(rows) - 1 and all(len(row) == width + 1 and row[-1] for row in rows[1:])
    )
    num_comments = sum(line.startswith("#") for line in lines[:start])
    return _Layout(separator, start, num_comments, has_row_names)


def _after_comments(lines: list[str], start: int, separator: str | None) -> int:
    """The line of the header: behind lines that begin with ``#`` and are divided in another way than what follows."""
    end = start
    while end < len(lines) and (lines[end].startswith("#") or not lines[end].strip()):
        end += 1
    if start < end < len(lines):
        marks = [separator] if separator else _SEPARATORS
        last = max(index for index in range(start, end) if lines[index].startswith("#")) if end > start else start
        if any(mark in lines[end] and lines[last].count(mark) == lines[end].count(mark) for mark in marks):
            return last  # "#id,name" is a header
        return end
    return start


def _some_rows(lines: list[str], separator: str) -> list[list[str]]:
    try:
        rows = [row for row in csv.reader(lines, delimiter=separator) if row]
    except csv.Error:
        return []
    return rows[:_NUM_LOOKED_AT]


def _evenness(lines: list[str], separator: str) -> tuple[float, int]:
    """How many of the rows have as many values as the header, and how many those are; for one, nothing is divided."""
    rows = _some_rows(lines, separator)
    if not rows or len(rows[0]) < 2:
        return 0.0, 0
    width = len(rows[0])
    even = sum(len(row) in (width, width + 1) for row in rows[1:]) / max(len(rows) - 1, 1)
    return round(even, 1) + 0.01, width


def _opened(path: Path, text: TextFile) -> io.TextIOWrapper:
    with reading(path):
        return path.open(encoding=text.encoding, errors=text.errors, newline="")


def _rows(path: Path, text: TextFile, layout: _Layout) -> Iterator[Row]:
    """Each row with the number of the line it starts in; a blank line is a row without values."""
    with reading(path), _opened(path, text) as file:
        for _ in islice(file, layout.num_skipped):
            pass
        reader = csv.reader(file, delimiter=layout.separator, strict=True)
        start = layout.num_skipped + 1
        seen = False
        try:
            for row in reader:
                seen = seen or bool(row)
                if seen:
                    yield start, row
                start = layout.num_skipped + reader.line_num + 1
        except csv.Error as error:
            _refuse(path, start, got=str(error), expected="quotation marks in pairs")


class _Reading:
    """One pass over the rows: record batches, and what a person should know in the end."""

    def __init__(self, path: Path, schema: pa.Schema, findings: list[Finding]) -> None:
        self._path = path
        self._schema = schema
        self._findings = findings
        self._lines: dict[str, list[int]] = {"short": [], "long": [], "blank": [], "NUL": []}
        self._num_rows = 0
        self._ragged = 0  # values of the first such row

    def batches(self, rows: Iterator[Row]) -> Iterator[pa.RecordBatch]:
        pending: list[list[str]] = []
        num_characters = 0
        for row in self._even(rows):
            pending.append(row)
            num_characters += sum(map(len, row))
            if len(pending) >= BATCH_ROWS or num_characters >= BATCH_BYTES:
                yield self._batch(pending)
                pending.clear()
                num_characters = 0
        if pending:
            yield self._batch(pending)
        self._tell()

    def _even(self, rows: Iterator[Row]) -> Iterator[list[str]]:
        """The rows, each with a value for each column."""
        width = len(self._schema)
        blank: list[int] = []
        for line, row in rows:
            if not row:
                blank.append(line)
                continue
            # Blank lines at the end are none; of a file with one column they are missing values.
            self._lines["blank"] += blank
            if width == 1:
                self._num_rows += len(blank)
                yield from ([""] for _ in blank)
            blank = []
            self._num_rows += 1
            yield self._fitted(line, row, width)

    def _fitted(self, line: int, row: list[str], width: int) -> list[str]:
        if any("\0" in value for value in row):
            self._lines["NUL"].append(line)
            row = [value.replace("\0", "") for value in row]
        while len(row) > width and not row[-1].strip():  # separators at the end of the line
            row = row[:-1]
        if len(row) == width:
            return row
        kind = "short" if len(row) < width else "long"
        if not self._ragged:
            self._ragged = len(row)
        self._lines[kind].append(line)
        return row + [""] * (width - len(row)) if kind == "short" else [""] * width

    def _batch(self, rows: list[list[str]]) -> pa.RecordBatch:
        columns = [pa.array([value or None for value in column], pa.string()) for column in zip(*rows, strict=True)]
        return pa.record_batch(columns, schema=self._schema)

    def _tell(self) -> None:
        ragged = sorted(self._lines["short"] + self._lines["long"])
        if len(ragged) > _MAX_RAGGED * self._num_rows:
            count, several = self._ragged, f"{len(ragged):,} of {self._num_rows:,}"
            _refuse(
                self._path,
                ragged[0],
                got=f"{count} values (and so on in {several} rows)" if len(ragged) > 1 else f"{count} values",
                expected=f"{len(self._schema)}, one for each column",
            )
        file = self._path.name
        for kind, (said, said_zh, remedy, remedy_zh) in _SAID.items():
            lines = self._lines[kind]
            if not lines:
                continue
            first, more = [str(line) for line in lines[:_NUM_SHOWN]], len(lines) > _NUM_SHOWN
            where, where_zh = ", ".join(first) + ", …" * more, "、".join(first) + "等" * more
            severity: Severity = "note" if kind == "blank" else "warning"
            message = f"{file}: {said.format(count=f'{len(lines):,}')} (line {where})."
            message_zh = f"{file}：{said_zh.format(count=f'{len(lines):,}')}（第 {where_zh} 行）。"
            self._findings.append(
                Finding(
                    severity,
                    None,
                    None,
                    len(lines),
                    message,
                    message_zh,
                    remedy,
                    remedy_zh,
                )
            )


_SAID = {
    "short": (
        "{count} rows have fewer values than there are columns; the last ones count as missing",
        "{count} 行的值比列少；缺少的值按缺失处理",
        "Complete these lines",
        "请补全这些行",
    ),
    "long": (
        "{count} rows have more values than there are columns, so that it is not known which is which; "
        "all their values count as missing",
        "{count} 行的值比列多，无法判断各值属于哪一列；整行按缺失处理",
        "Put values that hold the separator in quotation marks",
        "请给含有分隔符的值加上引号",
    ),
    "blank": (
        "{count} lines are blank; in a file with one column they are missing values, else they are passed over",
        "{count} 个空行；单列文件中按缺失值处理，否则跳过",
        "Nothing to do",
        "无需处理",
    ),
    "NUL": (
        "{count} rows hold NUL bytes, which are left out",
        "{count} 行含有 NUL 字节，已去除",
        "Write the file again; it may be damaged",
        "请重新导出该文件；它可能已损坏",
    ),
}


def _refuse(path: Path, line: int, *, got: str, expected: str) -> NoReturn:
    raise DataError(
        f"file {path}, line {line}",
        got=got,
        expected=expected,
        remedy="Correct the line; put a value that holds the separator or a quotation mark in quotation marks, "
        "and double those inside it",
    )
