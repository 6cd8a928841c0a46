"""Where data is wrong, as the user wrote it."""

import pytest

from tonggan.validation import place_of


@pytest.mark.parametrize(
    ("location", "data", "expected"),
    [
        (("a", "b"), {"a": {"b": 5}}, ("a.b", 5)),
        (("a", 1), {"a": ["x", "y"]}, ("a[1]", "y")),
        (("a", 1), {"a": ["x"]}, ("a[1]", None)),  # a list of a fixed length that has fewer
        (("a", "image", "size"), {"a": {"kind": "image", "size": "s"}}, ("a.size", "s")),
        (("a", "str"), {"a": [1]}, ("a", [1])),
        (("a",), {}, ("a", {})),
    ],
)
def test_place_and_value(location, data, expected):
    assert place_of(location, data) == expected
