"""One sheet of an Excel workbook (``.xlsx``, ``.xlsm``) as a table, and a table as a workbook, by openpyxl.

Numbers stay numbers (12 % is 0.12, as Excel stores it), dates become ISO text as from other readers, and formulas are
read by the values that Excel stored beside them.
"""

from __future__ import annotations

import datetime
import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa

from tonggan.data.findings import Finding
from tonggan.data.header import column_names
from tonggan.data.source import STORED_AS, TableSource, blocks_of, fingerprint_of, reading
from tonggan.errors import DataError
from tonggan.wording import listed

MAX_ROWS = 1_048_576
"""What a sheet holds, its header included."""

_ERRORS = frozenset({"#N/A", "#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#SPILL!", "#CALC!"})
_MERGED = re.compile(rb'<mergeCell ref="([A-Z]+)(\d+):([A-Z]+)(\d+)"')
_WITHOUT_VALUE = re.compile(rb'<c r="([A-Z]+\d+)"[^>]*><f[^>]*(?:/>|>[^<]*</f>)(?:<v\s*/>|<v></v>)?</c>')
_SHORTEST_ROWS = 1 << 15  # of a record batch


def read_workbook(path: Path, sheet: str | None = None) -> TableSource:
    """The table in one sheet, whose first row that is not blank holds the column names.

    Args:
        path: the workbook.
        sheet: its name; the first one that is visible and has rows if None.

    Raises:
        DataError: openpyxl is not installed, the file is damaged or has no such sheet, a header cell is merged, or a
            formula has no stored value.
    """
    require_openpyxl(path)
    findings: list[Finding] = []

    def read() -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        rows, found = _rows_of(path, sheet)
        findings.extend(found)
        return _table_of(path, rows, findings)

    fingerprint = fingerprint_of(blocks_of(path), kind=f"workbook#{sheet or ''}")
    return TableSource(
        name=str(path) if sheet is None else f"{path}#{sheet}",
        base=path.parent,
        fingerprint=fingerprint,
        read=read,
        findings=lambda: findings,
    )


def write_workbook(path: Path, table: pa.Table) -> None:
    """``table`` as the only sheet of a new workbook. Texts stay texts, also where they begin with ``=``.

    Raises:
        DataError: openpyxl is not installed, or the table has more rows than a sheet holds.
    """
    require_openpyxl(path)
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    if table.num_rows >= MAX_ROWS:
        raise DataError(
            f"file {path}",
            got=f"{table.num_rows:,} rows",
            expected=f"at most {MAX_ROWS - 1:,}, which is what a sheet holds",
            remedy="Write .csv or .parquet",
        )
    book = Workbook(write_only=True)
    sheet = book.create_sheet("predictions")

    def cell(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        made = WriteOnlyCell(sheet, ILLEGAL_CHARACTERS_RE.sub("", value))
        made.data_type = "s"
        return made

    sheet.append([cell(name) for name in table.column_names])
    for batch in table.to_batches(max_chunksize=_SHORTEST_ROWS):
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            sheet.append([cell(value) for value in row])
    book.save(path)


def require_openpyxl(path: Path) -> None:
    """Raise DataError, with what to install, where the workbook ``path`` can be neither read nor written."""
    try:
        import openpyxl  # noqa: F401
    except ImportError as error:
        raise DataError(
            f"file {path}",
            got="no package 'openpyxl'",
            expected="it to be installed, to read and write Excel workbooks",
            remedy='Run: pip install "tonggan[excel]"',
        ) from error


def _rows_of(path: Path, sheet: str | None) -> tuple[list[tuple[Any, ...]], list[Finding]]:
    """The rows of the sheet, and what is to be said of the others."""
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    with reading(path), path.open("rb") as head:
        if head.read(4) == b"\xd0\xcf\x11\xe0":
            raise _damaged(path, "an encrypted workbook, or one of the format before 2007")
    try:
        # A file that is not called .xlsx is read only where it is open.
        with path.open("rb") as file, closing(load_workbook(file, read_only=True, data_only=True)) as book:
            visible = [each.title for each in book.worksheets if each.sheet_state == "visible"]
            if sheet is not None and sheet not in [each.title for each in book.worksheets]:
                raise DataError(
                    f"file {path}",
                    got=f"no sheet '{sheet}'",
                    expected="one of " + ", ".join(f"'{each.title}'" for each in book.worksheets),
                    remedy=f"Name one of them, e.g. {path.name}#{book.worksheets[0].title}",
                )
            found = {name: _filled_rows(book[name]) for name in ([sheet] if sheet else visible)}
            filled = [name for name, rows in found.items() if rows]
            if not filled:
                return [], []
            filled.sort(key=lambda name: len(found[name]) < 2)  # A cover sheet may have a title and nothing below.
            _check_sheet(path, book[filled[0]], header=_header_row(book[filled[0]]))
    except (zipfile.BadZipFile, InvalidFileException, KeyError, ValueError) as error:
        raise _damaged(path, " ".join(str(error).split()) or "a damaged file") from error
    if len(filled) == 1:
        return found[filled[0]], []
    others, others_zh = listed(filled[1:], limit=len(filled))
    finding = Finding(
        "warning",
        None,
        None,
        0,
        message=f"{path.name} has several sheets; '{filled[0]}' is read, and {others} not.",
        message_zh=f"{path.name} 有多个工作表；读取的是“{filled[0]}”，未读取{others_zh}。",
        remedy=f"Name another one behind '#', e.g. {path.name}#{filled[1]}",
        remedy_zh=f"如需读取其他工作表，请在“#”后写明，例如 {path.name}#{filled[1]}",
    )
    return found[filled[0]], [finding]


def _filled_rows(sheet: Any) -> list[tuple[Any, ...]]:
    return [row for _, row in _numbered_rows(sheet)]


def _header_row(sheet: Any) -> int:
    """The number of the first row that is not blank, from 1."""
    return next((number for number, _ in _numbered_rows(sheet)), 1)


def _numbered_rows(sheet: Any) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """The rows that are not blank. A stray cell may stand a million rows below, and those between are one object."""
    blank: tuple[Any, ...] | None = None
    for number, row in enumerate(sheet.iter_rows(values_only=True), 1):
        if row is blank:
            continue
        if all(map(_is_blank, row)):
            blank = row
        else:
            yield number, row


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _check_sheet(path: Path, sheet: Any, *, header: int) -> None:
    """Raise DataError where the sheet's own file shows merged header cells, or formulas without a stored value."""
    with zipfile.ZipFile(path) as archive:
        content = archive.read(sheet._worksheet_path.lstrip("/"))
    for left, top, right, bottom in _MERGED.findall(content):
        if int(top) <= header <= int(bottom):
            raise DataError(
                f"file {path}, sheet '{sheet.title}'",
                got=f"merged cells {left.decode()}{top.decode()}:{right.decode()}{bottom.decode()} in its header",
                expected="one name above each column, in one row",
                remedy="Unmerge the cells in Excel and give each column its own name",
            )
    if without := _WITHOUT_VALUE.findall(content):
        raise DataError(
            f"file {path}, sheet '{sheet.title}'",
            got=f"{len(without):,} formulas without a stored value, e.g. in {without[0].decode()}",
            expected="a workbook that Excel or LibreOffice has computed",
            remedy="Open the file there and save it, or replace the formulas by their values",
        )


def _damaged(path: Path, got: str) -> DataError:
    return DataError(
        f"file {path}", got=got, expected="a whole .xlsx workbook", remedy="Save it again as .xlsx without a password"
    )


def _table_of(
    path: Path, rows: Sequence[tuple[Any, ...]], findings: list[Finding]
) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    header, *body = rows or [()]
    width = max((index for row in rows for index, value in enumerate(row, 1) if not _is_blank(value)), default=0)
    titles = ["" if _is_blank(value) else str(_plain(value)) for value in (*header, *[None] * width)[:width]]
    names, found = column_names(titles, file=path.name)
    findings.extend(found)
    if not names:
        return pa.schema([]), iter(())
    arrays = []
    fields = []
    for index, name in enumerate(names):
        values = [row[index] if index < len(row) else None for row in body]
        field, array = _column(name, [None if _is_blank(value) or value in _ERRORS else value for value in values])
        fields.append(field)
        arrays.append(array)
    schema = pa.schema(fields)
    return schema, iter(pa.table(arrays, schema=schema).to_batches(max_chunksize=_SHORTEST_ROWS))


def _column(name: str, values: list[Any]) -> tuple[pa.Field, pa.Array]:
    """The values in the one type that holds them all; texts where they are of several."""
    kinds = {type(value) for value in values if value is not None}
    if kinds and kinds <= {int, float}:
        return _field(name, pa.float64() if float in kinds else pa.int64(), None), pa.array(
            values, pa.float64() if float in kinds else pa.int64()
        )
    if kinds == {bool}:
        return _field(name, pa.bool_(), None), pa.array(values, pa.bool_())
    if kinds == {datetime.timedelta}:
        seconds = [None if value is None else value.total_seconds() for value in values]
        return _field(name, pa.float64(), "duration"), pa.array(seconds, pa.float64())
    is_dated = bool(kinds) and kinds <= {datetime.datetime, datetime.date}
    texts = pa.array([None if value is None else str(_plain(value)) for value in values], pa.string())
    stored = "time" if kinds == {datetime.time} else None
    if is_dated:
        stored = "date" if all(text is None or len(text) == 10 for text in texts.to_pylist()) else "timestamp"
    return _field(name, pa.string(), stored or "untyped"), texts


def _field(name: str, kind: pa.DataType, stored: str | None) -> pa.Field:
    return pa.field(name, kind, metadata=None if stored is None else {STORED_AS: stored})


def _plain(value: Any) -> Any:
    """3.0 as 3, and a time stamp at midnight as its day."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    return value
