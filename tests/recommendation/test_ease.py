"""EASE: its contract, and its weights beside the formula of the paper."""

from __future__ import annotations

import numpy as np
import pytest

import recommendation_scene
from contracts import check_scorer
from tonggan.floor import CannotFitError
from tonggan.recommendation import Examples, Histories
from tonggan.recommendation.ease import EaseConfig


def test_contract() -> None:
    check_scorer(EaseConfig())


def test_weights_are_those_of_the_paper() -> None:
    examples = recommendation_scene.examples()
    matrix = examples.histories.matrix().toarray()
    inverse = np.linalg.inv(matrix.T @ matrix + 50 * np.eye(matrix.shape[1]))
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0)
    found = EaseConfig(penalty=50).fit(examples, seed=0, seconds=9).score(examples.histories)
    np.testing.assert_allclose(found, matrix @ weights, atol=1e-6)


def test_of_too_many_items_the_most_liked_are_weighed() -> None:
    examples = Examples(Histories.of([[0, 1], [0, 1], [0, 2]], num_items=4))
    scorer = EaseConfig(penalty=1, most_items=2).fit(examples, seed=0, seconds=9)
    scores = scorer.score(Histories.of([[0], [2]], num_items=4))
    assert (scores > 0).tolist() == [[False, True, False, False], [False] * 4]
    assert scorer.contributions(np.array([0, 2]), np.array([1, 3]))[:, 1].tolist() == [0, 0]


def test_one_item_cannot_be_weighed() -> None:
    with pytest.raises(CannotFitError, match="fewer than two items"):
        EaseConfig().fit(Examples(Histories.of([[0], [0]], num_items=2)), seed=0, seconds=9)
