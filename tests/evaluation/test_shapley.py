import pytest

from tonggan.errors import ConfigError
from tonggan.evaluation.shapley import shapley_values


def subset(text: str) -> frozenset[str]:
    return frozenset(text)


def test_a_game_worked_by_hand():
    # The glove game: "a" holds a left glove, "b" and "c" a right one each; only a pair is worth anything.
    # "a" is decisive in 4 of the 6 orders, "b" in one (b a c) and "c" in one (c a b).
    value = {
        subset(text): float("a" in text and len(text) > 1) for text in ("", "a", "b", "c", "ab", "ac", "bc", "abc")
    }
    assert shapley_values(value) == pytest.approx({"a": 4 / 6, "b": 1 / 6, "c": 1 / 6})


def test_the_values_sum_to_full_minus_empty():
    value = {subset(""): 0.1, subset("a"): 0.5, subset("b"): 0.3, subset("ab"): 0.9}
    values = shapley_values(value)
    assert values == pytest.approx({"a": 0.5, "b": 0.3})
    assert sum(values.values()) == pytest.approx(0.8)


def test_no_player():
    assert shapley_values({frozenset(): 0.5}) == {}


def test_a_missing_subset_is_refused():
    with pytest.raises(ConfigError, match="got 3 subsets, expected all 4 subsets of a, b"):
        shapley_values({subset(""): 0.1, subset("a"): 0.5, subset("ab"): 0.9})
