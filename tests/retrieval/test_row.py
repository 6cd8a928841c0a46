import numpy as np
import pytest

from tonggan.errors import DataError
from tonggan.retrieval.row import Row, selection


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
    assert parameters == [0, '$."\\"; DROP TABLE rows; --"', "x' OR 1=1", '["a", "b"]']
