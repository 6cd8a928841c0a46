"""Measures of lists: numbers by hand, and beside scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from tonggan.recommendation import Histories
from tonggan.recommendation.base import Held
from tonggan.recommendation.measure import measure_top, of_items, top_items


def held(seen: list[list[int]], wanted: list[list[int]], num_items: int) -> Held:
    known = Histories.of(seen, num_items=num_items)
    return Held(known, known, Histories.of(wanted, num_items=num_items))


def test_metrics_by_hand() -> None:
    asked = held([[0], [0]], [[1, 2], [3]], 5)
    top = np.array([[1, 4], [4, 3]])
    popularity = np.array([2, 8, 4, 2, 1.0])
    found = measure_top(top, asked, popularity=popularity, num_items=5).metrics()
    gain = 1 / np.log2(3)
    assert found["ndcg"] == pytest.approx((1 / (1 + gain) + gain) / 2)
    assert found["recall"] == pytest.approx((0.5 + 1) / 2)
    assert found["hit_rate"] == 1
    assert found["mrr"] == pytest.approx((1 + 0.5) / 2)
    assert found["coverage"] == pytest.approx(3 / 5)
    assert found["popularity_bias"] == pytest.approx((4.5 + 1.5) / (6 + 2))


def test_ndcg_is_that_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    scores, relevant = random.random((6, 30)), random.random((6, 30)) < 0.2
    asked = held([[]] * 6, [np.flatnonzero(row).tolist() for row in relevant], 30)
    found = measure_top(top_items(scores, asked.seen, k=5), asked, popularity=np.ones(30), num_items=30)
    np.testing.assert_allclose(found.metrics()["ndcg"], ndcg_score(relevant, scores, k=5))


def test_what_was_seen_is_not_recommended_and_ties_go_to_the_first() -> None:
    seen = Histories.of([[3], [0, 1, 2, 3]], num_items=4)
    top = top_items(np.array([[1, 1, 0, 9.0], [1, 2, 3, 4.0]]), seen, k=3)
    assert top.tolist() == [[0, 1, 2], [-1, -1, -1]]
    allowed = np.array([False, True, True, True])
    assert top_items(np.array([[9, 1, 2, 3.0]]), seen.take(np.array([0])), k=2, allowed=allowed).tolist() == [[2, 1]]


def test_cold_items_are_asked_for_by_themselves() -> None:
    cold = of_items(held([[0], [1], [2]], [[1, 3], [2], [3]], 4), np.array([False, False, False, True]))
    assert [cold.wanted[row].tolist() for row in range(len(cold))] == [[3], [3]]
    assert [cold.histories[row].tolist() for row in range(len(cold))] == [[0], [2]]


def test_intervals_are_over_users_and_coverage_has_none() -> None:
    asked = held([[]] * 40, [[0]] * 40, 3)
    top = np.array([[0]] * 20 + [[1]] * 20)
    table = measure_top(top, asked, popularity=np.ones(3), num_items=3).table(seed=0)
    low, high = table["intervals"]["ndcg"]
    assert low < table["metrics"]["ndcg"] == 0.5 < high
    assert "coverage" not in table["intervals"]
    assert table["users"] == 40
