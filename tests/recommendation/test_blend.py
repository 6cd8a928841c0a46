"""Weights among items with few likes: by hand, and of a member that knows what the items are."""

from __future__ import annotations

import numpy as np
import pytest

import recommendation_scene
from tonggan.recommendation.base import Held, Histories
from tonggan.recommendation.blend import _likeliest, weigh_cold
from tonggan.recommendation.content_weights import ContentConfig
from tonggan.recommendation.popularity import Popularity, PopularityConfig


def held(lists, wanted) -> Held:
    count = recommendation_scene.NUM_ITEMS
    histories = Histories.of(lists, num_items=count)
    return Held(histories, histories, Histories.of(wanted, num_items=count))


def test_among_items_with_few_likes_content_is_weighed_by_every_like() -> None:
    examples = recommendation_scene.examples()
    counts = examples.histories.counts()
    content = ContentConfig().fit(examples, seed=0, seconds=float("inf"))
    noise = Popularity(PopularityConfig(), np.random.default_rng(0).random(len(counts)))
    # Of the four items that nobody has liked each user likes the one of their genre.
    some = held([[genre, genre + 4] for genre in range(4)] * 5, [[36 + genre] for genre in range(4)] * 5)
    given = {"popularity": counts, "seed": 0, "cold": 5}
    assert weigh_cold({"content": content, "noise": noise}, some, **given) == {"content": 1.0, "noise": 0.0}
    assert weigh_cold({"noise": noise}, held([[0]], [[1]]), **given) == {"noise": 0.0}  # which is no such item


def test_the_weights_make_the_likes_likeliest() -> None:
    # Of two items with the scores 1 and 0 the first was liked: 10 w = 1 / (1 + exp w), were ten users' weights at 0.
    (weight,) = _likeliest([(1, np.array([[1.0], [0.0]]))], 1)
    assert weight == pytest.approx(0.0487807, abs=1e-6)
    assert 10 * weight == pytest.approx(1 / (1 + np.exp(weight)), abs=1e-4)
    assert _likeliest([(1, np.array([[0.0], [1.0]]))], 1) == pytest.approx([0.0])
