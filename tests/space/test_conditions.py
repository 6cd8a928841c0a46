import pytest

from tonggan.errors import ConfigError
from tonggan.retrieval.row import Compared
from tonggan.space.conditions import conditions


def test_conditions_are_read_as_they_are_written():
    assert conditions(["year > 2020", "name=red heart", "size<='9'"]) == {
        "year": Compared(">", 2020),
        "name": "red heart",
        "size": Compared("<=", "9"),
    }
    assert conditions(["year >= 1990", "year < 2000"]) == {"year": Compared("<", 2000, Compared(">=", 1990))}
    for wrong in (["year"], ["red >"], ["> 5"], ["a=1", "a=2"], ["a > 1", "a = 2"], ["a = 2", "a > 1"]):
        with pytest.raises(ConfigError, match="--where"):
            conditions(wrong)
