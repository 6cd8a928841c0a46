"""Scales that a few wild cells cannot move, against NumPy and by hand."""

import numpy as np
import pytest

from tonggan.modalities.scales import Sample, mean_and_deviation, spread_of, wild_distance

TAME = np.random.default_rng(0).normal(5.0, 2.0, 2_000)


def wild_of(numbers: np.ndarray) -> list[float]:
    spread = spread_of(numbers)
    distances = spread.distances(numbers)
    return sorted(set(numbers[distances > wild_distance(distances, spread, total=len(numbers), share=0.2)].tolist()))


def test_without_wild_numbers_they_are_mean_and_deviation():
    np.testing.assert_allclose(mean_and_deviation(TAME), [TAME.mean(), TAME.std()])
    yes_or_no = np.array([0.0] * 90 + [1.0] * 10)
    np.testing.assert_allclose(mean_and_deviation(yes_or_no), [yes_or_no.mean(), yes_or_no.std()])


@pytest.mark.parametrize(
    "wild", [[1e3], [99_999.0, -99_999.0], [-9999.0] * 800, [1e300], [100.0, 1e3, 1e4, 1e5, 1e9]], ids=str
)
def test_wild_numbers_do_not_move_them(wild):
    mixed = np.concatenate([TAME, wild])
    np.testing.assert_allclose(mean_and_deviation(mixed), [TAME.mean(), TAME.std()])


def test_the_others_count_where_one_value_fills_half():
    days = np.random.default_rng(1).integers(0, 28, 100).astype(float)
    mixed = np.concatenate([np.full(900, 999.0), days])
    np.testing.assert_allclose(mean_and_deviation(mixed), [days.mean(), days.std()])


@pytest.mark.parametrize(("numbers", "expected"), [([], (0, 1)), ([3.0, 3.0], (3, 1)), ([1.0, 3.0], (2, 1))])
def test_few_numbers(numbers, expected):
    assert mean_and_deviation(np.array(numbers)) == expected


def test_wild_is_what_lies_far_from_all_others():
    assert wild_of(TAME) == []
    assert wild_of(np.concatenate([TAME, [1e3, -9999.0]])) == [-9999.0, 1e3]
    prices = np.exp(np.random.default_rng(0).normal(3.0, 1.2, 5_000))  # a long tail without a gap is none
    assert wild_of(prices) == []
    half = np.concatenate([TAME, 1e6 + TAME[:1_500]])  # nor is a second group as large as this
    assert wild_of(half) == []


def test_a_long_stream_takes_bounded_memory_and_is_sampled_fairly():
    sample = Sample()
    for first in range(0, 1_000_000, 50_000):
        sample.add(np.arange(first, first + 50_000))
    assert len(sample.values) == 131_072
    assert len(np.unique(sample.values)) == 131_072
    assert abs(np.median(sample.values) - 500_000) < 5_000


def test_missing_numbers_are_left_out():
    sample = Sample()
    sample.add([1.0, np.nan, 2.0])
    assert sample.values.tolist() == [1.0, 2.0]
