import json

import pandas as pd
import pyarrow as pa
import pytest

from tonggan.data.readers import open_table
from tonggan.errors import DataError


def opened(folder, lines, name="a.jsonl"):
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return open_table(path, cache=folder / "cache")


def test_types_are_kept_and_keys_may_lack(tmp_path):
    rows = [
        {"n": 1, "text": "通感", "tags": ["a", "b"], "box": {"x": 1, "y": None}},
        {"n": 2.5, "text": None, "tags": [], "late": True},
        {"text": "", "box": {"x": 3, "y": 0.5}},
    ]
    table = opened(tmp_path, [json.dumps(row) for row in rows] + [""])
    assert table.names == ["n", "text", "tags", "box", "late"]
    assert table.values("n") == [1.0, 2.5, None]
    assert table.values("text") == ["通感", None, ""]
    assert table.values("tags") == [["a", "b"], [], None]
    assert table.values("box") == [{"x": 1, "y": None}, None, {"x": 3, "y": 0.5}]
    assert table.values("late") == [None, True, None]


@pytest.mark.parametrize("orient", ["records", "columns", "index"])
def test_what_pandas_writes(tmp_path, orient):
    frame = pd.DataFrame({"n": [1, 2, 3], "text": ["a", None, "c"]}, index=[4, 2, 7])
    frame.to_json(tmp_path / "a.json", orient=orient)
    table = open_table(tmp_path / "a.json", cache=tmp_path / "cache")
    assert {name: table.values(name) for name in table.names} == {"n": [1, 2, 3], "text": ["a", None, "c"]}


def test_one_object_is_one_row(tmp_path):
    assert opened(tmp_path, ['{"a": {"x": 1}, "b": {"x": 2}}']).values("b") == [{"x": 2}]


def test_a_type_that_widens_far_down(tmp_path):
    lines = ['{"a": 1}'] * 40_000 + ['{"a": 0.5, "b": "x"}']
    table = opened(tmp_path, lines)
    assert table.column_type("a") == pa.float64()
    assert (len(table), table.values("a")[-1], table.values("b")[-2:]) == (40_001, 0.5, [None, "x"])


@pytest.mark.parametrize("first", [3, 40_000])
def test_mixed_types_are_refused(tmp_path, first):
    with pytest.raises(DataError, match=r"a\.jsonl, line \d+ to line .*values of one type"):
        opened(tmp_path, ['{"a": 1}'] * first + ['{"a": "x"}'] + ['{"a": 1}'] * 3)


def test_mixed_types_are_named_as_people_call_them(tmp_path):
    with pytest.raises(
        DataError, match=r"column 'a': got values of several types: whole numbers, texts, lists, objects"
    ):
        opened(tmp_path, ['{"a": 1}', '{"a": "x"}', '{"a": [1]}', '{"a": {"b": 1}}', '{"a": null}'])


@pytest.mark.parametrize(
    ("line", "got"), [("{'a': 1}", "property name"), ("[1, 2]", "a list"), ('{"a": 1', "Expecting"), ("[" * 99999, "")]
)
def test_a_wrong_line_is_named(tmp_path, line, got):
    with pytest.raises(DataError, match=rf"a\.jsonl, line 2: .*{got}.*Write JSON Lines"):
        opened(tmp_path, ['{"a": 1}', line])


def test_only_nulls_and_a_number_too_large(tmp_path):
    assert opened(tmp_path, ['{"a": null, "b": 1}']).values("a") == [None]
    with pytest.raises(DataError, match="column 'a'"):
        opened(tmp_path, ['{"a": 123456789012345678901234567890}'])


def test_a_key_that_occurs_twice_is_no_silent_loss(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n{"a": 2, "a": 3}\n')
    with pytest.raises(DataError, match="line 2: got the key 'a' twice"):
        open_table(path, cache=tmp_path / "cache")
