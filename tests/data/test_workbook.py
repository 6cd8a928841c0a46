import datetime
import zipfile

import openpyxl
import pyarrow as pa
import pytest

from tonggan.data.readers import open_table
from tonggan.data.workbook import write_workbook
from tonggan.errors import DataError


def save(path, sheets):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return book, path


def columns(source, tmp_path):
    table = open_table(source, cache=tmp_path / "cache")
    return {name: table.values(name) for name in table.names}


def test_values_keep_their_types(tmp_path):
    rows = [
        ["id", "price", "share", "day", "at", "ok", "mixed", "code", None],
        [1, 1.5, 0.12, datetime.date(2024, 3, 5), datetime.datetime(2024, 3, 5, 10, 30), True, 3, "007", None],
        [2, 2, None, datetime.date(2024, 3, 6), None, False, "x", "008", "#N/A"],
        [None] * 9,
    ]
    book, path = save(tmp_path / "a.xlsx", {"Data": rows})
    book["Data"]["C2"].number_format = "0 %"
    book.save(path)
    assert columns(path, tmp_path) == {
        "id": [1, 2],
        "price": [1.5, 2.0],
        "share": [0.12, None],
        "day": ["2024-03-05", "2024-03-06"],
        "at": ["2024-03-05 10:30:00", None],
        "ok": [True, False],
        "mixed": ["3", "x"],
        "code": ["007", "008"],
        "column_9": [None, None],
    }
    table = open_table(path, cache=tmp_path / "cache")
    assert (table.stored_as("day"), table.stored_as("at")) == ("date", "timestamp")


def test_a_sheet_by_its_name_and_what_is_said_of_the_others(tmp_path):
    book, path = save(
        tmp_path / "a.xlsx",
        {"Empty": [], "Title": [["A report"]], "Hidden": [["h"], [0]], "One": [["a"], [1]], "Zwei 2": [["b"], [2]]},
    )
    book["Hidden"].sheet_state = "hidden"
    book.save(path)
    assert columns(path, tmp_path) == {"a": [1]}
    [finding] = open_table(path, cache=tmp_path / "cache").findings
    assert "'One' is read, and 'Zwei 2', 'Title' not" in finding.message
    assert "a.xlsx#Zwei 2" in finding.remedy
    assert columns(f"{path}#Zwei 2", tmp_path) == {"b": [2]}
    assert columns(f"{path}#Hidden", tmp_path) == {"h": [0]}
    with pytest.raises(
        DataError, match=r"no sheet 'Three', expected one of 'Empty', 'Title', 'Hidden', 'One', 'Zwei 2'"
    ):
        columns(f"{path}#Three", tmp_path)
    with pytest.raises(DataError, match=r"got no rows"):
        columns(f"{path}#Empty", tmp_path)


def test_merged_header_cells_are_refused(tmp_path):
    book, path = save(tmp_path / "a.xlsx", {"S": [["size", None, "y"], [1, 2, 3]]})
    book["S"].merge_cells("A1:B1")
    book.save(path)
    with pytest.raises(DataError, match=r"merged cells A1:B1 in its header.*Unmerge"):
        columns(path, tmp_path)


def test_formulas_need_the_value_that_excel_stores(tmp_path):
    _, path = save(tmp_path / "a.xlsx", {"S": [["a", "b"], [1, "=A2*2"]]})
    with pytest.raises(DataError, match=r"1 formulas without a stored value, e\.g\. in B2"):
        columns(path, tmp_path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    sheet = "xl/worksheets/sheet1.xml"
    assert b"<f>A2*2</f>" in parts[sheet]
    parts[sheet] = (
        parts[sheet]
        .replace(b"<f>A2*2</f><v />", b"<f>A2*2</f><v>2</v>")
        .replace(b"<f>A2*2</f><v/>", b"<f>A2*2</f><v>2</v>")
        .replace(b"<f>A2*2</f><v></v>", b"<f>A2*2</f><v>2</v>")
    )
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    assert columns(path, tmp_path) == {"a": [1], "b": [2]}


@pytest.mark.parametrize(
    ("content", "got"),
    [(b"PK\x03\x04 broken", "zip"), (b"\xd0\xcf\x11\xe0" + b"\0" * 99, "an encrypted workbook")],
)
def test_what_is_no_workbook(tmp_path, content, got):
    path = tmp_path / "a.xlsx"
    path.write_bytes(content)
    with pytest.raises(DataError, match=got):
        columns(path, tmp_path)


def test_a_missing_package_answers_with_what_to_install(tmp_path, monkeypatch):
    _, path = save(tmp_path / "a.xlsx", {"S": [["a"], [1]]})
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    with pytest.raises(DataError, match=r'pip install "tonggan\[excel\]"'):
        columns(path, tmp_path)


def test_what_is_written_is_read_again_and_no_text_becomes_a_formula(tmp_path):
    path = tmp_path / "a.xlsx"
    write_workbook(path, pa.table({"name": ["=1+1", "通感", "a\x01b"], "p": [0.25, None, 1.0]}))
    assert columns(path, tmp_path) == {"name": ["=1+1", "通感", "ab"], "p": [0.25, None, 1.0]}
