"""Item neighbors: their contract, and the numbers of a small case by hand."""

from __future__ import annotations

import numpy as np
import pytest

from contracts import check_scorer
from tonggan.floor import CannotFitError
from tonggan.recommendation import Examples, Histories
from tonggan.recommendation.item_neighbors import ItemNeighborsConfig


def test_contract() -> None:
    check_scorer(ItemNeighborsConfig())


def test_likeness_is_the_cosine_of_users_shrunk_and_of_the_nearest_alone() -> None:
    examples = Examples(Histories.of([[0, 1], [0, 1], [0, 2], [1]], num_items=3))
    asked = Histories.of([[0], [2]], num_items=3)
    scores = ItemNeighborsConfig(count=3, shrinkage=0).fit(examples, seed=0, seconds=9).score(asked)
    np.testing.assert_allclose(scores, [[0, 2 / 3, 1 / np.sqrt(3)], [1 / np.sqrt(3), 0, 0]])
    shrunk = ItemNeighborsConfig(count=3, shrinkage=1).fit(examples, seed=0, seconds=9).score(asked)
    np.testing.assert_allclose(shrunk[0, 1], 2 / 4)
    nearest = ItemNeighborsConfig(count=1, shrinkage=0).fit(examples, seed=0, seconds=9).score(asked)
    np.testing.assert_allclose(nearest, [[0, 2 / 3, 1 / np.sqrt(3)], [0, 0, 0]])


def test_users_of_one_item_each_say_nothing() -> None:
    with pytest.raises(CannotFitError, match="no two items that one user has liked"):
        ItemNeighborsConfig().fit(Examples(Histories.of([[0], [1]], num_items=2)), seed=0, seconds=9)
