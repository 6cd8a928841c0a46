"""Reading interactions: columns by name, likes by rating, and what is wrong in a table told with nothing lost."""

from __future__ import annotations

import numpy as np
import pytest

from tonggan.data.readers import open_table
from tonggan.errors import DataError
from tonggan.recommendation.config import InteractionColumns
from tonggan.recommendation.interactions import Read, read_interactions

ROWS = [
    {"customer": "a", "product_id": 7, "stars": 5, "date": "2024-03-01"},
    {"customer": "b", "product_id": 7, "stars": 1, "date": "2024-03-02"},
    {"customer": "a", "product_id": 9, "stars": 4, "date": "2024-02-01"},
    {"customer": "b", "product_id": 9, "stars": 4, "date": "2024-03-04"},
]


@pytest.fixture
def read(tmp_path):
    def of(source, *, threshold: float | None = None, **columns: str) -> Read:
        table = open_table(source, cache=tmp_path)
        return read_interactions(table, InteractionColumns(**columns), threshold=threshold)

    return of


def test_columns_are_found_by_name_and_likes_by_the_median(read) -> None:
    found = read(ROWS)
    assert found.columns == InteractionColumns(user="customer", item="product_id", rating="stars", time="date")
    given = found.interactions
    assert given.threshold == 4
    assert given.items.values == [7, 9]
    assert [given.users.values[user] for user in given.user] == ["a", "a", "b", "b"]
    assert [given.items.values[item] for item in given.item] == [9, 7, 7, 9]
    assert given.is_liked.tolist() == [True, True, False, True]
    assert given.liked()[0].tolist() == [1, 0]
    assert np.diff(given.times).min() > 0
    assert found.findings == []


@pytest.mark.parametrize(
    ("names", "user", "item"),
    [
        (["user_name", "user_id:token", "movie_title", "movie_id:token"], "user_id:token", "movie_id:token"),
        (["用户编号", "商品", "评分"], "用户编号", "商品"),
        (["visitorId", "itemID"], "visitorId", "itemID"),
        (["reader", "book title"], "reader", "book title"),
    ],
)
def test_names_of_ids(read, names, user, item) -> None:
    rows = [{name: f"{name[:1]}{row % 3}{len(name) if row > 4 else ''}" for name in names} for row in range(8)]
    found = read([{**row, **({"评分": number} if "评分" in names else {})} for number, row in enumerate(rows)])
    assert (found.columns.user, found.columns.item) == (user, item)


def test_columns_can_be_named(read) -> None:
    rows = [{"who": number % 3, "what": number % 2, "n": number} for number in range(6)]
    with pytest.raises(DataError, match="none of which is called like ids of users") as error:
        read(rows)
    assert "--set columns.user=COLUMN" in str(error.value)
    found = read(rows, user="who", item="what", rating="n", threshold=2)
    assert found.interactions.is_liked.tolist() == [False, False, True, True, True, True]
    with pytest.raises(DataError, match="no column 'nobody'"):
        read(rows, user="nobody", item="what")


def test_every_interaction_is_a_like_with_threshold_0_or_without_ratings(read) -> None:
    assert read(ROWS, threshold=0).interactions.is_liked.all()
    assert read(ROWS, rating="none").interactions.is_liked.all()


def test_ids_of_csv_have_the_type_that_all_of_them_read_as(read, tmp_path) -> None:
    path = tmp_path / "likes.csv"
    path.write_text("user,item\n1,007\n2,007\n1,12\n2,9\n")
    given = read(path).interactions
    assert given.users.values == [1, 2]
    assert given.items.values == ["007", "9", "12"]
    assert given.users.find("1.0") == given.users.find(1) == 0
    with pytest.raises(DataError, match="such as '007'"):
        given.items.require("07", what="item")


def test_ratings_that_are_texts_are_an_error(read) -> None:
    rows = [{**row, "stars": "good"} for row in ROWS]
    with pytest.raises(DataError, match=r"ratings that are texts such as 'good' \(row 1\)"):
        read(rows)


def test_what_cannot_be_used_is_told_and_listed(read) -> None:
    more = [
        {"customer": None, "product_id": 7, "stars": 3, "date": "2024-03-05"},
        {"customer": "c", "product_id": 9, "stars": None, "date": None},
        *ROWS[:2],
    ]
    found = read([*ROWS, *more])
    assert len(found.interactions) == 5
    assert [(cell.number, cell.column, cell.reason) for cell in found.quarantine] == [
        (5, "customer", "no id"),
        (6, "date", "no time"),
    ]
    said = " ".join(finding.message for finding in found.findings)
    assert "1 interactions have no time" in said
    assert "1 interactions have no id in 'customer'" in said
    assert "2 of 7 interactions repeat a pair" in said
    given = found.interactions
    assert given.times[given.user == given.users.find("c")] == given.times.min()


def test_missing_times_are_told(read) -> None:
    rows = [{name: row[name] for name in ("customer", "product_id", "stars")} for row in ROWS]
    found = read(rows)
    assert found.interactions.times is None
    assert "has no times" in found.findings[0].message
    found = read([{**row, "time": "soon"} for row in rows])
    assert found.interactions.times is None
    assert "holds no times that can be read" in found.findings[0].message


def test_one_user_is_an_error(read) -> None:
    with pytest.raises(DataError, match="1 users and 2 items"):
        read([{"user": 1, "item": 1}, {"user": 1, "item": 2}])
