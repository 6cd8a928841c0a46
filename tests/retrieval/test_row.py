import numpy as np
import pytest

from retrieval_scene import fill, open_store
from tonggan.errors import DataError
from tonggan.retrieval.row import Compared, Row, selection


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (Row("k", "g", "h", fields={"key": 1}), "row 'k', field 'key'"),
        (Row("k", "g", "h", fields={"tags": ["a"]}), "got list ['a'], expected text or a number"),  # type: ignore[dict-item]
        (Row("k", "g", "h", vector=np.zeros(3, np.float32)), r"a vector of shape (3,), expected shape (2,)"),
        (Row("k", "g", "h", vector=np.array([0, np.nan], np.float32)), "not finite in half precision"),
        (Row("k", "g", "h", vector=np.array([0, 1e5], np.float32)), "not finite in half precision"),
        (Row("k", "caf\udce9.py", "h"), "lone surrogates"),
    ],
)
def test_rows_that_cannot_be_stored_are_named(row: Row, message: str):
    with pytest.raises(DataError) as caught:
        row.check(dim=2)
    assert message in str(caught.value)


def test_a_vector_needs_a_store_with_vectors():
    with pytest.raises(DataError, match="no vector, because the store was opened without 'dim'"):
        Row("k", "g", "h", vector=np.zeros(3, np.float32)).check(dim=None)


def test_what_a_caller_gives_is_bound_never_spelled_out():
    statement, parameters = selection("key", {'"; DROP TABLE rows; --': "x' OR 1=1", "group": ["a", "b"]})
    assert "DROP" not in statement
    assert "OR 1" not in statement
    assert parameters == ['"; DROP TABLE rows; --', "x' OR 1=1", '["a", "b"]']


@pytest.mark.parametrize("name", ["日期", "café", 'in "quotes"', "a\\b", "two\nlines", "a.b[0]", ""])
def test_fields_of_any_name_are_compared(tmp_path, name: str):
    with open_store(tmp_path / "store") as store:
        values = {"a": "2024-05-01", "b": "2024-06-01", "c": 7}
        fill(store, [Row(key, key, "h", "same words", {name: value}) for key, value in values.items()])
        assert store.keys({name: Compared(">", "2024-05-01")}) == ["b"]
        assert store.keys({name: Compared("<=", 7)}) == ["c"]
        assert store.keys({name: "2024-05-01"}) == ["a"]
        assert store.keys({name: ["2024-06-01", 7]}) == ["b", "c"]


def test_comparisons_choose_numbers_among_numbers_and_texts_among_texts(tmp_path):
    with open_store(tmp_path / "store") as store:
        values = {"a": 1, "b": 2.5, "c": "2", "d": "z"}
        fill(store, [Row(key, key, "h", "same words", {"size": value}) for key, value in values.items()])
        for operator, value, wanted in (
            (">", 1, {"b"}), (">=", 1, {"a", "b"}), ("<", 2.5, {"a"}), ("!=", 1, {"b"}), (">", "1", {"c", "d"}),
        ):  # fmt: skip
            where = {"size": Compared(operator, value)}
            assert set(store.keys(where)) == wanted
            assert set(store.search_words("words", where=where, limit=1 + len(wanted))) == wanted
        assert set(store.keys({"key": Compared(">", "b")})) == {"c", "d"}
