"""Tables of items: whose row is which, what they say, and what does not fit the interactions."""

from __future__ import annotations

import numpy as np
import pytest

from tonggan.errors import DataError
from tonggan.progress import Progress
from tonggan.recommendation.content import Attributes, attributes_of, read_things
from tonggan.recommendation.ids import Ids

IDS = Ids(["1", "2", "3"], "integer")
KINDS = {
    "title": {"kind": "category"},
    "genre": {"kind": "category"},
    "genres": {"kind": "text"},
    "plot": {"kind": "text"},
}  # no frozen encoder


@pytest.fixture
def read(tmp_path):
    from tonggan.recommendation.config import RecommendationConfig

    kinds = RecommendationConfig.parse({"items": KINDS}, who="test").items

    def of(rows, *, ids=IDS, column="item", role="item"):
        named = {name: kind for name, kind in kinds.items() if name in rows[0]}
        return read_things(rows, ids, role=role, column=column, kinds=named, cache=tmp_path, progress=Progress())

    return of


def rows(**changes) -> list[dict[str, object]]:
    films = [
        {"item": 1, "title": "A", "genre": "comedy, drama", "year": 1990},
        {"item": 2, "title": "B", "genre": "comedy", "year": 1991},
        {"item": 3, "title": "C", "genre": "western, drama", "year": 2020},
        {"item": 4, "title": "D", "genre": "western", "year": 2021},
    ]
    return [{**film, **changes} for film in films]


def test_attributes_are_the_names_of_cells_and_like_numbers_are_near(read) -> None:
    known, content, findings = read(rows())
    assert known.values == [1, 2, 3, 4]
    assert sorted(content.names) == ["genre: comedy", "genre: drama", "genre: western"]
    assert content.titles == ["A", "B", "C", "D"]
    lengths = np.sqrt(content.attributes.multiply(content.attributes).sum(axis=1)).A1
    np.testing.assert_allclose(lengths, 1)
    near = content.vectors @ content.vectors.T
    assert near[0, 1] > near[0, 2] > near[0, 3]
    assert ["1 items of" in finding.message for finding in findings] == [True]
    shared = attributes_of(content, 4).shared(np.array([0]), 2)
    assert shared == ["genre: drama"]
    assert Attributes([None] * 4).shared(np.array([0]), 2) == []


def test_lists_of_few_names_are_names_and_prose_is_words(read) -> None:
    lists = ("comedy, drama", "drama, western, war", "war", "comedy, war")
    given = [{"item": 1 + row, "genres": lists[row % 4], "plot": f"Once, a man {row} and a dog."} for row in range(40)]
    _, content, _ = read(given)
    assert {"genres: comedy", "genres: drama", "genres: war", "genres: western"} <= set(content.names)
    assert not any(name.startswith("plot") for name in content.names)


def test_an_id_column_of_another_name_is_found_by_its_ids(read) -> None:
    given = [{"number": row["item"], "title": row["title"], "price": 9.5 + number} for number, row in enumerate(rows())]
    known, content, _ = read(given)
    assert len(known) == 4
    assert content.titles[0] == "A"


def test_what_does_not_fit_is_told_and_nothing_is_lost(read) -> None:
    given = [*rows()[1:], {**rows()[1], "title": "again"}, {**rows()[0], "item": None}]
    known, content, findings = read(given)
    assert len(known) == 4
    assert content.titles == [None, "B", "C", "D"]
    assert content.attributes[0].nnz == 0
    said = " ".join(finding.message for finding in findings)
    assert "1 of 3 items are not in" in said
    assert "'1'" in said
    assert "1 items of table" in said or "1 items of" in said
    assert "repeat an id in 'item', e.g. row 4" in said
    assert "have no id in 'item' and are left out, e.g. row 5" in said


def test_users_of_no_interaction_are_told(read) -> None:
    _, _, (note,) = read([{"user": number, "age": 20 + number} for number in range(1, 5)], column="user", role="user")
    assert "they get the most popular" in note.message


def test_a_table_of_other_things_is_an_error(read) -> None:
    with pytest.raises(DataError, match="ids of items"):
        read([{"color": "red", "size": 50}, {"color": "blue", "size": 60}])
