import math

import pytest

from tonggan.errors import ConfigError
from tonggan.retrieval.rankings import by_reciprocal_rank, by_weighted_score


def test_reciprocal_ranks_add_up_as_by_hand():
    fused = by_reciprocal_rank([["a", "b", "c"], {"c": 9.0, "a": 8.0}], weights=[1.0, 2.0])
    assert fused == pytest.approx({"a": 1 / 61 + 2 / 62, "c": 1 / 63 + 2 / 61, "b": 1 / 62})
    assert list(fused) == ["a", "c", "b"] if fused["a"] > fused["c"] else ["c", "a", "b"]


def test_ties_stay_in_the_order_in_which_they_were_met():
    assert list(by_reciprocal_rank([["x"], ["y"], ["a"]])) == ["x", "y", "a"]


def test_scores_are_scaled_within_each_ranking():
    words, vectors = {"a": 30.0, "b": 20.0, "c": 10.0}, {"c": 0.9, "d": 0.5}
    fused = by_weighted_score([words, vectors], weights=[1.0, 3.0])
    assert fused == {"c": 3.0, "a": 1.0, "b": 0.5, "d": 0.0}
    assert list(fused) == ["c", "a", "b", "d"]


def test_standard_scores_and_keys_that_a_ranking_lacks():
    fused = by_weighted_score([{"a": 3.0, "b": 1.0}, {"b": 5.0, "c": 5.0}], scaling="z-score")
    assert fused == {"a": 1.0, "b": -1.0, "c": -1.0}
    three = by_weighted_score([{"a": 3.0, "b": 2.0, "c": 1.0}], scaling="z-score")
    assert three["a"] == pytest.approx(1 / math.sqrt(2 / 3))


def test_one_hit_counts_fully_and_its_absence_as_nothing():
    assert by_weighted_score([{"a": 7.0}, {"b": 2.0, "a": 1.0}]) == {"a": 1.0, "b": 1.0}


def test_nothing_found_is_nothing():
    assert by_weighted_score([{}, {}]) == {} == by_reciprocal_rank([])


@pytest.mark.parametrize("fuse", [by_reciprocal_rank, by_weighted_score])
def test_weights_must_match(fuse):
    with pytest.raises(ConfigError, match="got 1 weights for 2 rankings, expected one for each"):
        fuse([{"a": 1.0}, {"b": 1.0}], weights=[1.0])
