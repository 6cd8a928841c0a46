"""Popularity: its contract, and what a half-life does."""

from __future__ import annotations

import numpy as np

from contracts import check_scorer
from tonggan.recommendation import Examples, Histories
from tonggan.recommendation.popularity import PopularityConfig

DAY = 86_400.0


def test_contract() -> None:
    check_scorer(PopularityConfig())


def test_old_likes_count_less_with_a_half_life() -> None:
    examples = Examples(Histories.of([[0], [0], [1]], num_items=2), np.array([0, 0, 10]) * DAY)
    plain, *recent = (each.fit(examples, seed=0, seconds=9) for each in PopularityConfig().variants(examples))
    asked = Histories.of([[]], num_items=2)
    assert plain.score(asked).argmax() == 0
    assert [each.score(asked).argmax() for each in recent] == [1, 1, 1]
    np.testing.assert_allclose(recent[0].counts, [2 * 0.5**4, 1])


def test_without_times_all_likes_count_alike() -> None:
    examples = Examples(Histories.of([[0], [1]], num_items=2))
    assert PopularityConfig().variants(examples) == [PopularityConfig()]
