"""Errors say who, got, expected, remedy, and survive the way between processes."""

import copy
import inspect

import pytest

from tonggan import errors


def test_the_message_says_all_four():
    error = errors.DataError("table t", got="nothing", expected="rows", remedy="Add rows")
    assert str(error) == "table t: got nothing, expected rows. Add rows."
    assert isinstance(error, errors.TongganError)


@pytest.mark.parametrize(
    "kind", [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.TongganError)]
)
def test_errors_keep_their_parts_when_copied(kind):
    error = kind("who", got="this", expected="that", remedy="Do")
    again = copy.copy(error)
    assert (type(again), again.who, again.remedy) == (kind, "who", "Do")


def test_a_missing_extra_names_the_line_to_type():
    error = errors.MissingExtraError.of("easy-vqa", extra="starter", purpose="data set 'easy_vqa'")
    assert error.remedy == "Run: pip install 'tonggan[starter]'"


def test_no_part_of_a_message_is_longer_than_a_page():
    error = errors.DataError("file " + "x" * 10_000, got="y" * 10_000, expected="a name", remedy="Correct it")
    assert len(str(error)) < 4_200
    assert str(error).endswith("y…, expected a name. Correct it.")
