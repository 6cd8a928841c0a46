import datetime
import decimal
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tonggan.data.readers import open_table
from tonggan.errors import DataError


def test_parquet_keeps_types(tmp_path):
    columns = {
        "whole": [1, None, 3],
        "text": ["a", "通感", None],
        "tags": [["x"], [], None],
        "image": [{"bytes": b"\x89PNG", "path": "a.png"}, {"bytes": None, "path": "b.png"}, None],
        "flag": [True, False, None],
    }
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    table = open_table(tmp_path / "a.parquet", cache=tmp_path / "cache")
    assert {name: table.values(name) for name in table.names} == columns
    assert table.base == tmp_path


def test_dates_decimals_and_dictionaries_become_plain(tmp_path):
    stored = pa.table(
        {
            "day": [datetime.date(2024, 2, 29), None],
            "time": pa.array([datetime.datetime(2024, 2, 29, 12, 30), None], pa.timestamp("ns")),
            "zone": pa.array([datetime.datetime(2024, 2, 29, 12, 30, 0, 5000), None], pa.timestamp("ms", "UTC")),
            "price": [decimal.Decimal("1.50"), None],
            "name": pa.array(["x", "y"]).dictionary_encode(),
        }
    )
    pq.write_table(stored, tmp_path / "a.parquet")
    for source in (tmp_path / "a.parquet", stored):
        table = open_table(source, cache=tmp_path / "cache")
        assert table.values("day") == ["2024-02-29", None]
        assert table.values("time") == ["2024-02-29 12:30:00", None]
        assert table.values("zone") == ["2024-02-29 12:30:00.005Z", None]
        assert table.values("price") == [1.5, None]
        assert table.values("name") == ["x", "y"]


def test_large_embedded_files_are_stored_in_small_batches(tmp_path):
    rows = [{"bytes": bytes([row]) * 2_000_000, "path": None} for row in range(20)]
    pq.write_table(pa.table({"image": rows}), tmp_path / "a.parquet", compression="none")
    table = open_table(tmp_path / "a.parquet", cache=tmp_path / "cache")
    assert max(len(values) for values in table.iterate("image")) <= 16
    assert [value["bytes"][0] for value in table.values("image")] == list(range(20))


def test_damaged_parquet(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": ["text" * 50] * 5000, "b": list(range(5000))}), path, compression="none")
    whole = path.read_bytes()
    for content in (b"", b"nothing of the kind", whole[: len(whole) // 2], whole[:40] + b"\xff" * 3000 + whole[3040:]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"a\.parquet: .*expected a whole Parquet file"):
            open_table(path, cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.arrow"))


def test_parts_of_one_table_and_of_different_ones(tmp_path):
    for part in range(3):
        pq.write_table(pa.table({"a": [10 * part, 10 * part + 1]}), tmp_path / f"train-{part}.parquet")
    for source in (tmp_path, str(tmp_path / "train-*.parquet")):
        assert open_table(source, cache=tmp_path / "cache").values("a") == [0, 1, 10, 11, 20, 21]
    pq.write_table(pa.table({"a": ["x"]}), tmp_path / "train-3.parquet")
    with pytest.raises(DataError, match=r"train-3\.parquet: got columns a: string, expected those of train-0\.parquet"):
        open_table(tmp_path, cache=tmp_path / "cache")


def test_same_names_and_no_rows(tmp_path):
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    pq.write_table(twice, tmp_path / "a.parquet")
    for source in (twice, tmp_path / "a.parquet"):
        with pytest.raises(DataError, match="several columns named 'a'"):
            open_table(source, cache=tmp_path / "cache")
    for empty in (pa.table({"a": []}), pd.DataFrame({"a": []})):
        with pytest.raises(DataError, match="no rows"):
            open_table(empty, cache=tmp_path / "cache")
    with pytest.raises(DataError, match="no columns"):
        open_table(pa.table({}), cache=tmp_path / "cache")


def test_pandas(tmp_path):
    frame = pd.DataFrame(
        {
            "age": [22.0, np.nan, 35.0],
            "sex": pd.Categorical(["male", "female", None]),
            "name": ["Ann", None, "通感"],
            "when": pd.to_datetime(["2024-01-01", None, "2024-01-03"]),
            7: [1, 2, 3],
        },
        index=[5, 6, 9],
    )
    table = open_table(frame, cache=tmp_path / "cache")
    assert table.names == ["age", "sex", "name", "when", "7"]
    assert table.values("age") == [22.0, None, 35.0]
    assert table.values("sex") == ["male", "female", None]
    assert table.values("name") == ["Ann", None, "通感"]
    assert table.values("when") == ["2024-01-01 00:00:00", None, "2024-01-03 00:00:00"]
    assert table.base == Path.cwd()
    assert open_table(frame.copy(), cache=tmp_path / "cache").fingerprint == table.fingerprint
    assert open_table(frame.assign(age=1.0), cache=tmp_path / "cache").fingerprint != table.fingerprint
    with pytest.raises(DataError, match="column 'mixed' of the data frame"):
        open_table(pd.DataFrame({"mixed": ["a", 1, object()]}), cache=tmp_path / "cache")


def test_the_hubs_embedded_files(tmp_path):
    mirror = os.environ.get("TONGGAN_MIRROR")
    if not mirror:
        pytest.skip("TONGGAN_MIRROR names no folder with CIFAR-10")
    table = open_table(Path(mirror, "cifar10", "test.parquet"), cache=tmp_path / "cache")
    assert len(table) == 10_000
    first = table.values("img", np.array([0]))[0]
    assert first["bytes"].startswith(b"\xff\xd8\xff")
    assert sorted(set(table.values("label"))) == list(range(10))


def test_values_that_arrow_cannot_read_are_named():
    table = pa.table({"at": pa.array([1, 2], pa.timestamp("s", "Nowhere/Land"))})
    with pytest.raises(DataError, match=r"pyarrow table: got .*Nowhere/Land.*Convert or drop the column"):
        open_table(table, cache=Path("unused"))
