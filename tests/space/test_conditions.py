import pytest

from retrieval_scene import fill, open_store
from tonggan.errors import ConfigError
from tonggan.retrieval.row import Compared, Row
from tonggan.space.conditions import conditions, of_dates


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


@pytest.mark.parametrize(
    ("operator", "holds"),
    [
        ("=", ["2024-05-01", "2024-05-01 10:30:00"]),
        ("<", ["2023-12-31"]),
        ("<=", ["2023-12-31", "2024-05-01", "2024-05-01 10:30:00"]),
        (">", ["2024-05-02"]),
        (">=", ["2024-05-01", "2024-05-01 10:30:00", "2024-05-02"]),
        ("!=", ["2023-12-31", "2024-05-01 10:30:00", "2024-05-02"]),
    ],
)
@pytest.mark.parametrize("written", ["2024-05-01", "2024年5月1日", "20240501", "1.5.2024", "1 May 2024"])
def test_a_day_is_compared_in_any_spelling_and_with_all_of_it(tmp_path, operator, holds, written):
    (wanted,) = conditions([f"when {operator} {written}"]).values()
    dates = ["2023-12-31", "2024-05-01", "2024-05-01 10:30:00", "2024-05-02", "unknown"]
    with open_store(tmp_path / "store") as store:
        fill(store, [Row(date, date, "h", "same words", {"when": date}) for date in dates])
        assert sorted(store.keys({"when": of_dates(wanted, "when")})) == holds


def test_what_is_no_date_or_may_be_two_is_named():
    for written in ("5月1日", "3/5/2024", "2024", "soon"):
        with pytest.raises(ConfigError, match=f"got '{written}' for 'when', a column of dates"):
            of_dates(Compared(">", written), "when")
    assert of_dates(Compared(">=", "2024-05-01 10:30"), "when") == Compared(
        ">=", "2024-05-01 10:30:00", Compared("<", ":")
    )
    assert of_dates(["2024/5/1"], "when") == ["2024-05-01"]
