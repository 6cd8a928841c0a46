"""Splits: what is asked for lies after what is learned from, and other ways are told to flatter."""

from __future__ import annotations

import numpy as np
import pytest

import recommendation_scene
from tonggan.data.readers import open_table
from tonggan.errors import DataError
from tonggan.recommendation.config import InteractionColumns, SplitConfig
from tonggan.recommendation.interactions import Interactions, read_interactions
from tonggan.recommendation.splits import TEST, TRAIN, VALID, split_interactions


@pytest.fixture
def read(tmp_path):
    def of(rows) -> Interactions:
        table = open_table(rows, cache=tmp_path)
        return read_interactions(table, InteractionColumns(), threshold=None).interactions

    return of


def test_a_cut_in_time_is_the_same_for_all(read) -> None:
    interactions = read(recommendation_scene.rows())
    split, findings = split_interactions(interactions, SplitConfig(), seed=0)
    assert findings == []
    times = interactions.times
    assert times[split.parts == TRAIN].max() < times[split.parts == VALID].min()
    assert times[split.parts == VALID].max() < times[split.parts == TEST].min()
    shares = np.bincount(split.parts) / len(interactions)
    np.testing.assert_allclose(shares, [0.8, 0.1, 0.1], atol=0.01)
    assert split.examples(TEST).histories.counts().sum() == interactions.is_liked[split.parts < TEST].sum()
    held = split.held(TEST, seed=0)
    for row in range(len(held)):
        assert not set(held.wanted[row]) & set(held.seen[row])
        assert set(held.histories[row]) <= set(held.seen[row])


def test_leave_last_asks_for_the_last_like_and_warns(read) -> None:
    interactions = read(recommendation_scene.rows())
    split, (warning,) = split_interactions(interactions, SplitConfig(kind="leave_last"), seed=0)
    assert "optimistic" in warning.message
    rows = np.flatnonzero((interactions.user == 0) & interactions.is_liked)
    assert split.parts[rows].tolist() == [TRAIN] * (len(rows) - 2) + [VALID, TEST]


def test_random_parts_warn(read) -> None:
    split, (warning,) = split_interactions(read(recommendation_scene.rows()), SplitConfig(kind="random"), seed=0)
    assert "optimistic" in warning.message
    assert (np.bincount(split.parts) > 20).all()


def test_without_times_the_parts_are_random(read) -> None:
    rows = [{name: row[name] for name in ("user_id", "item_id", "rating")} for row in recommendation_scene.rows()]
    split, _ = split_interactions(read(rows), SplitConfig(), seed=0)
    assert split.kind == "random"


def test_an_empty_part_is_an_error(read) -> None:
    rows = [{"user": user, "item": item, "time": 10 * user + item} for user in range(4) for item in range(3)]
    with pytest.raises(DataError, match="none of which is a new like of a user with likes before"):
        split_interactions(read(rows), SplitConfig(), seed=0)


def test_a_part_that_one_moment_leaves_empty_says_which(read) -> None:
    rows = recommendation_scene.rows()
    last = sorted(int(str(row["time"])) for row in rows)[-len(rows) // 4]
    late = [{**row, "time": min(int(str(row["time"])), last)} for row in rows]
    with pytest.raises(DataError, match="interactions all have the time") as error:
        split_interactions(read(late), SplitConfig(), seed=0)
    assert "leave wrong ones empty" in str(error.value)
