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


def test_a_known_column_may_have_an_operator_in_its_name():
    columns = ("价=格", "a", "a>b", "a > b > c")
    assert conditions(["价=格 > 30"], columns) == {"价=格": Compared(">", 30)}
    assert conditions(["a > b > c = x", "a>b<2", "a != 1"], columns) == {
        "a > b > c": "x",
        "a>b": Compared("<", 2),
        "a": Compared("!=", 1),
    }
    assert conditions(["other>b=c"], columns) == {"other": Compared(">", "b=c")}
