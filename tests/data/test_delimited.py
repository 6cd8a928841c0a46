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


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "name,city\nJosé Muñoz,Málaga\nZoë,12 €\n"),
        ("gb18030", "name,city\n张伟,北京\n李娜,上海\n"),
        ("cp950", "name,city\n陳大文,臺北市\n林美麗,高雄市\n"),
        ("cp932", "name,city\n田中太郎,東京都\n鈴木,さいたま\n"),
        ("cp949", "name,city\n김철수,서울특별시\n"),
        ("utf-16-le", "name,city\n张伟,北京\n"),
        ("utf-16-be", "name,city\nAnna,Rome\n"),
    ],
)
def test_an_encoding_is_found_by_its_characters_and_told(tmp_path, encoding, text):
    path = write(tmp_path / "a.csv", text, encoding)
    expected = [line.split(",") for line in text.splitlines()[1:]]
    assert columns(path) == {"name": [row[0] for row in expected], "city": [row[1] for row in expected]}
    [finding] = open_table(path, cache=tmp_path / "cache").findings
    assert f"read as {encoding}" in finding.message
    assert "#" in finding.remedy


def test_an_encoding_that_is_not_sure_is_refused_until_it_is_named(tmp_path):
    text = "name,city\nАнна,Москва\n"
    path = write(tmp_path / "a.csv", text, "cp1251")
    with pytest.raises(DataError, match=r"bytes in line 2 that are not UTF-8.*behind '#', e\.g\. a\.csv#windows-1252"):
        columns(path)
    assert open_table(f"{path}#windows-1251", cache=tmp_path / "cache").values("city") == ["Москва"]
    with pytest.raises(DataError, match="the encoding 'windows-9'"):
        open_table(f"{path}#windows-9", cache=tmp_path / "cache")
    with pytest.raises(DataError, match="bytes in line 2 that are not utf-8"):
        open_table(f"{path}#utf-8", cache=tmp_path / "cache")


def test_a_file_whose_name_holds_a_hash_is_itself(tmp_path):
    assert columns(write(tmp_path / "a.csv#b.csv", "x,y\n1,2\n")) == {"x": ["1"], "y": ["2"]}


def test_damaged_utf_8_is_no_other_encoding(tmp_path):
    text = "标题,类别\n" + "股市今日大涨,财经\n" * 50
    path = write(tmp_path / "a.csv", text.encode() + "国足".encode()[:-1] + ",体育\n".encode())
    assert columns(path)["标题"][-1] == "国\N{REPLACEMENT CHARACTER}"
    [finding] = open_table(path, cache=tmp_path / "cache").findings
    assert "1 places are damaged, the first in line 52" in finding.message


def test_the_mark_of_another_encoding(tmp_path):
    path = tmp_path / "a.csv"
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
    path = write(tmp_path / "b.csv", "a,b,a_2,a,b\n1,2,3,4,5\n")
    assert columns(path) == {"a": ["1"], "b": ["2"], "a_2": ["3"], "a_3": ["4"], "b_2": ["5"]}
    [finding] = open_table(path, cache=tmp_path / "cache").findings
    assert "several columns named 'a', 'b'" in finding.message


def told(path):
    return [finding.message for finding in open_table(path, cache=path.parent / "cache").findings]


def test_a_few_ragged_rows_stay_and_are_told(tmp_path):
    lines = [f"{row},{row},x" for row in range(100)]
    lines[10], lines[20], lines[30] = "10,10", "20,20,a,b", "30,30,x,,"
    path = write(tmp_path / "a.csv", "\n".join(["a,b,c", *lines]) + "\n")
    found = columns(path)
    assert len(found["a"]) == 100
    assert [found[name][10] for name in "abc"] == ["10", "10", None]
    assert [found[name][20] for name in "abc"] == [None, None, None]
    assert [found[name][30] for name in "abc"] == ["30", "30", "x"]
    short, long = told(path)
    assert "1 rows have fewer values than there are columns" in short
    assert "(line 12)" in short
    assert "1 rows have more values" in long
    assert "(line 22)" in long
    assert told(path) == [short, long], "the second time, from the cache"


def test_many_ragged_rows_are_an_error_that_counts_them(tmp_path):
    path = write(tmp_path / "a.csv", "a,b\n" + "1,2\n" * 50 + "1,2,3\n" * 50)
    with pytest.raises(DataError, match=r"line 52: got 3 values \(and so on in 50 of 100 rows\), expected 2"):
        columns(path)


def test_blank_lines(tmp_path):
    assert columns(write(tmp_path / "a.csv", "text\none\n\ntwo\n\n\n"))["text"] == ["one", None, "two"]
    path = write(tmp_path / "b.csv", "\na,b\n1,2\n\n3,4\n\n")
    assert columns(path) == {"a": ["1", "3"], "b": ["2", "4"]}
    assert "1 lines are blank" in told(path)[0]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("sep=;\na;b\n1,5;2\n", {"a": ["1,5"], "b": ["2"]}),
        ("# written by a tool\n# at noon\na,b\n1,2\n", {"a": ["1"], "b": ["2"]}),
        ("#id,name\n1,x\n", {"#id": ["1"], "name": ["x"]}),
        ("text\nHello, world\nno, thanks, never\n", {"text": ["Hello, world", "no, thanks, never"]}),
        ("a;b\n1,5;x\n2,5;y\n", {"a": ["1,5", "2,5"], "b": ["x", "y"]}),
        ("a|b\n1|2\n", {"a": ["1"], "b": ["2"]}),
        ("a,b\n1,2,\n3,4,\n", {"a": ["1", "3"], "b": ["2", "4"]}),
        ('"x","y"\n"1",5,6\n"2",7,8\n', {"column_1": ["1", "2"], "x": ["5", "7"], "y": ["6", "8"]}),
        ("a,b\r1,2\r3,4\r", {"a": ["1", "3"], "b": ["2", "4"]}),
        ("a,b\n1,x\0y\n", {"a": ["1"], "b": ["xy"]}),
        ('"the ""size""\nin m",b\n1,x\n', {'the "size"\nin m': ["1"], "b": ["x"]}),
    ],
)
def test_layouts_that_programs_write(tmp_path, content, expected):
    assert columns(write(tmp_path / "a.csv", content)) == expected


def test_lines_around_the_header_are_told(tmp_path):
    assert "1 lines of comments" in told(write(tmp_path / "a.csv", "# now\na,b\n1,2\n"))[0]
    assert "the row's name" in told(write(tmp_path / "b.csv", "x,y\nr1,5,6\nr2,7,8\n"))[0]
    with pytest.raises(DataError, match="line 2: got 3 values, expected 2"):
        columns(write(tmp_path / "c.csv", "name,city\nAnna,Rome, Italy\n"))
