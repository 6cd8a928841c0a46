"""Weights between contents: their contract, and items that nobody has liked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import recommendation_scene
from contracts import check_scorer
from tonggan.floor import CannotFitError
from tonggan.recommendation import Histories
from tonggan.recommendation.content_weights import ContentConfig


def test_contract() -> None:
    check_scorer(ContentConfig(content_penalty=1.0))


def test_items_that_nobody_has_liked_are_scored_by_what_they_are() -> None:
    examples = recommendation_scene.examples()
    scorer = ContentConfig(content_penalty=1.0).fit(examples, seed=0, seconds=9)
    asked = Histories.of([[1, 5, 9], [2, 6]], num_items=recommendation_scene.NUM_ITEMS)
    never = np.arange(recommendation_scene.NUM_ITEMS - 4, recommendation_scene.NUM_ITEMS)
    assert examples.histories.counts()[never].tolist() == [0] * 4
    best = never[scorer.score(asked)[:, never].argmax(axis=1)]
    assert [recommendation_scene.genre_of(item) for item in best] == [1, 2]


def test_without_content_it_cannot_be_fitted() -> None:
    with pytest.raises(CannotFitError, match="nothing that the table of items says"):
        ContentConfig().fit(replace(recommendation_scene.examples(), content=None), seed=0, seconds=9)
