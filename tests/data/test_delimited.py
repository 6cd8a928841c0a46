import csv

import numpy as np
import pytest

from tonggan.data.readers import open_table
from tonggan.errors import DataError


def write(path, content, encoding="utf-8"):
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


def columns(path):
    table = open_table(path, cache=path.parent / "cache")
    return {name: table.values(name) for name in table.names}


def test_values_stay_text_and_blank_is_missing(tmp_path):
    path = write(tmp_path / "a.csv", 'id,price,note\n007,1.50,"a, b"\n008,,""\n\n009,NA,"two\nlines ""quoted"""\n')
    assert columns(path) == {
        "id": ["007", "008", "009"],
        "price": ["1.50", None, "NA"],
        "note": ["a, b", None, 'two\nlines "quoted"'],
    }


def test_equal_to_the_csv_module_over_several_batches(tmp_path):
    random = np.random.default_rng(0)
    texts = ["".join(random.choice(list('ab,"\n; 通'), 6)).strip() for _ in range(500)]
    rows = [[str(row), texts[row % 500]] for row in range(40_000)]
    with (tmp_path / "a.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["row", "text"], *rows])
    found = columns(tmp_path / "a.csv")
    assert found["row"] == [row for row, _ in rows]
    assert [text or "" for text in found["text"]] == [text for _, text in rows]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separator_is_found_in_the_first_line(tmp_path, separator):
    path = write(tmp_path / "a.csv", separator.join("abc") + "\n" + separator.join(["1", "x|y", "3"]) + "\n")
    assert columns(path) == {"a": ["1"], "b": ["x|y"], "c": ["3"]}


def test_tsv_may_have_commas_in_its_names(tmp_path):
    assert columns(write(tmp_path / "a.tsv", "a, b, c\td\n1\t2\n")) == {"a, b, c": ["1"], "d": ["2"]}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "gbk", "utf-16"])
def test_encodings(tmp_path, encoding):
    path = write(tmp_path / "a.csv", "标题,类别\n股市今日大涨,财经\n国足再次失利,体育\n", encoding)
    assert columns(path) == {"标题": ["股市今日大涨", "国足再次失利"], "类别": ["财经", "体育"]}


def test_a_character_on_the_border_of_two_blocks(tmp_path):
    text = "a\n" + "x" * ((1 << 20) - 3) + "通感\n"
    assert columns(write(tmp_path / "a.csv", text))["a"][0].endswith("通感")


def test_another_encoding_is_refused_with_the_line(tmp_path):
    path = write(tmp_path / "a.csv", "name,city\nAnna,Rome\nJosé Muñoz,Málaga\n", "latin-1")
    with pytest.raises(DataError, match=r"a\.csv: got bytes in line 3 that are neither UTF-8 nor GB18030.*as UTF-8"):
        columns(path)
    write(path, b"\xff\xfea\x00,")
    with pytest.raises(DataError, match="the mark of UTF-16, but other bytes"):
        columns(path)


@pytest.mark.parametrize("row", ["1,2", "1,2,3,4"])
def test_a_ragged_row_is_named_by_its_line(tmp_path, row):
    path = write(tmp_path / "a.csv", f'a,b,c\n1,"two\nlines",3\n{row}\n')
    with pytest.raises(DataError, match=rf"a\.csv, line 4: got {len(row.split(','))} values, expected 3"):
        columns(path)


def test_a_quotation_mark_that_is_not_closed(tmp_path):
    path = write(tmp_path / "a.csv", 'a,b\n1,2\n3,"open\n5,6\n')
    with pytest.raises(DataError, match=r"line 3: .*quotation marks in pairs"):
        columns(path)


def test_a_text_of_ten_megabytes(tmp_path):
    long = "word " * 2_000_000 + "end"
    assert columns(write(tmp_path / "a.csv", f"text,label\n{long},1\nshort,0\n"))["text"] == [long, "short"]


@pytest.mark.parametrize(
    ("content", "got"),
    [(b"", "an empty file"), (b" \n\n", "an empty file"), (b"\xef\xbb\xbf\n", "no columns"), (b"a,b\n", "no rows")],
)
def test_nothing_in_it(tmp_path, content, got):
    with pytest.raises(DataError, match=f"got {got}"):
        columns(write(tmp_path / "a.csv", content))
    assert not list((tmp_path / "cache").rglob("*.arrow"))


def test_names_are_different_and_never_blank(tmp_path):
    assert columns(write(tmp_path / "a.csv", ", b ,\n0,x,y\n")) == {"column_1": ["0"], "b": ["x"], "column_3": ["y"]}
    with pytest.raises(DataError, match=r"several columns named 'a', 'b'.*Rename or remove"):
        columns(write(tmp_path / "b.csv", "a,b,c,a,b\n1,2,3,4,5\n"))
