"""Tables in a program's memory: columns, rows, arrays, data frames with every type that pandas and Arrow have."""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections import deque
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from tonggan.data.readers import open_table
from tonggan.errors import DataError


@pytest.fixture
def opened(tmp_path):
    def read(source):
        table = open_table(source, cache=tmp_path)
        return {name: table.values(name) for name in table.names}

    return read


COLUMNS = {"a": [1, 2], "b": ["x", None]}


class Exporting:
    """As polars, DuckDB and others hand over what they hold."""

    def __init__(self, table):
        self._table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self._table.__arrow_c_stream__(requested_schema)


@pytest.mark.parametrize(
    "source",
    [
        COLUMNS,
        {"a": np.array([1, 2]), "b": ("x", None)},
        {"a": pd.Series([1, 2], index=[7, 8]), "b": pa.array(["x", None])},
        {"a": range(1, 3), "b": pd.Index(["x", None])},
        {"a": deque([1, 2]), "b": pd.Categorical(["x", None])},
        {"a": torch.tensor([1, 2]), "b": pd.array(["x", None])},
        np.array([(1, "x"), (2, None)], dtype=[("a", "i8"), ("b", "O")]),
        [{"a": 1, "b": "x"}, {"a": 2}],
        ({"a": 1, "b": "x"}, {"b": float("nan"), "a": 2}),
        pd.Series([{"a": 1, "b": "x"}, {"a": 2, "b": None}]),
        pd.DataFrame(COLUMNS, index=[4, 4]),
        pa.table(COLUMNS),
        pa.record_batch(COLUMNS),
        pa.table(COLUMNS).to_reader(),
        Exporting(pa.table(COLUMNS)),
    ],
    ids=lambda source: type(source).__name__,
)
def test_one_table_in_many_forms(opened, source):
    assert opened(source) == COLUMNS


def test_rows_may_come_from_a_generator(opened):
    assert opened({"a": number} for number in range(3)) == {"a": [0, 1, 2]}


def test_a_mapping_without_lists_is_a_row(opened):
    assert opened({"a": 1, "b": "x", "c": None, "d": {"bytes": b"1", "path": None}}) == {
        "a": [1], "b": ["x"], "c": [None], "d": [{"bytes": b"1", "path": None}],
    }  # fmt: skip
    assert opened(pd.Series({"a": 1, "b": "x"})) == {"a": [1], "b": ["x"]}


def test_an_array_has_its_column_numbers_for_names(opened):
    assert opened(np.array([[1.5, 2], [3, 4]])) == {"0": [1.5, 3], "1": [2, 4]}
    assert opened(pd.DataFrame({0: [1], 1: ["x"]})) == {"0": [1], "1": ["x"]}


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (pd.cut([1, 5, 9], [0, 4, 10]), ["(0, 4]", "(4, 10]", "(4, 10]"]),
        (pd.Series(pd.interval_range(0, 3)), ["(0, 1]", "(1, 2]", "(2, 3]"]),
        (pd.period_range("2024-01", periods=3, freq="M"), ["2024-01", "2024-02", "2024-03"]),
        (pd.Categorical([2, 1, None]), [2, 1, None]),
        (pd.Categorical(["b", "a", None], categories=["b", "a"], ordered=True), ["b", "a", None]),
        (pd.Categorical([True, False, None]), [True, False, None]),
        (pd.array([1, None, 3], dtype="Int8"), [1, None, 3]),
        (pd.array([1.5, None, 3], dtype="Float32"), [1.5, None, 3]),
        (pd.array([True, None, False], dtype="boolean"), [True, None, False]),
        (pd.array(["a", None, "b"], dtype="string"), ["a", None, "b"]),
        (pd.arrays.SparseArray([0.0, 0.0, 1.5]), [0, 0, 1.5]),
        (pd.to_timedelta(["1min", None, "0.5s"]), [60, None, 0.5]),
        (np.array([0.5, 3], dtype=np.float32), [0.5, 3]),
        (np.array([0.5, 3], dtype=np.float16), [0.5, 3]),
        ([Path("a/b.png"), None, Path("c")], ["a/b.png", None, "c"]),
        ([decimal.Decimal("1.50"), None, decimal.Decimal(2)], [1.5, None, 2]),
        ([datetime.date(2024, 3, 5), None, datetime.date(2024, 3, 6)], ["2024-03-05", None, "2024-03-06"]),
        (pd.to_datetime(["2024-03-05 10:00", None]), ["2024-03-05 10:00:00", None]),
        ([{"x": 1}, None, {"y": 2}], [{"x": 1, "y": None}, None, {"x": None, "y": 2}]),
        ([[1], None, [2, 3]], [[1], None, [2, 3]]),
        ([uuid.UUID(int=1), None, uuid.UUID(int=2)],
         ["00000000-0000-0000-0000-000000000001", None, "00000000-0000-0000-0000-000000000002"]),
        ([None, None, None], [None, None, None]),
    ],
)  # fmt: skip
def test_the_types_of_pandas(opened, values, found):
    assert opened(pd.DataFrame({"c": values})) == {"c": found}


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (pa.array(["a", None]).cast(pa.string_view()), ["a", None]),
        (pa.array([b"a", None]).cast(pa.binary_view()), [b"a", None]),
        (pa.array(["a", "a"]).dictionary_encode(), ["a", "a"]),
        (pa.DictionaryArray.from_arrays([1, None, 0], pa.array(["a", "b"], pa.string_view())), ["b", None, "a"]),
        (pa.array([1500, None], pa.duration("ms")).dictionary_encode(), [1.5, None]),
        (pa.array([decimal.Decimal("1.50"), None]), [1.5, None]),
        (pa.array([1500, None], pa.duration("ms")), [1.5, None]),
        (pa.array([3_600_000_000, None], pa.time64("us")), ["01:00:00.000000", None]),
        (pa.RunEndEncodedArray.from_arrays([2], ["a"]), ["a", "a"]),
        (pa.array([uuid.UUID(int=1), None], pa.uuid()), ["00000000-0000-0000-0000-000000000001", None]),
        (pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, None], pa.int8())), [True, None]),
    ],
    ids=lambda value: str(getattr(value, "type", "")),
)  # fmt: skip
def test_the_types_of_arrow(opened, array, found):
    assert opened(pa.table({"c": array})) == {"c": found}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"a": [1, 2], "b": [1]}, "got 'a' with 2 values, 'b' with 1 values, expected lists of one length"),
        ({"a": [1, 2], "b": "x"}, "'b' with one value that is no list"),
        ([1, 2], "got a list of int"),
        ([], "got a list of nothing"),
        ([[1, 2]], "got a list of list"),
        ("".join, "got a builtin_function_or_method"),
        (np.zeros(3), "got an array of 1 dimensions"),
        (pd.DataFrame([[1, 2]], columns=[["a", "a"], ["x", "y"]]), "2 levels.*Join the levels"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "several columns named 'a'"),
        (pd.DataFrame([[1, 2]], columns=[1, "1"]), "several columns named '1'"),
        (pd.DataFrame({"c": [1j, 2]}), "column 'c' of the data frame"),
        (pd.DataFrame({"c": [1, "a"]}), "column 'c' of the data frame: .*astype"),
        ([{"c": object()}], "column 'c' of the rows"),
        ([{"c": 2**80}], "column 'c' of the rows"),
        (5, "got a int, expected a path, a data frame"),
    ],
)  # fmt: skip
def test_what_is_no_table_is_named(opened, source, message):
    with pytest.raises(DataError, match=message):
        opened(source)


def test_a_sparse_matrix_is_answered_with_the_way_out(opened):
    from scipy.sparse import eye

    with pytest.raises(DataError, match="toarray"):
        opened(eye(3, format="csr"))
