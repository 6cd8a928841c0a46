from collections import Counter
from datetime import datetime
from itertools import pairwise

import numpy as np
import pytest

from tonggan.data.split import deal_rows, moments_of, split_by_time, split_rows, without_groups
from tonggan.errors import ConfigError, DataError


def is_partition(parts, num_rows):
    return sorted(np.concatenate(parts).tolist()) == list(range(num_rows)) and all(len(part) for part in parts)


def test_every_label_in_the_same_proportion():
    labels = ["a"] * 800 + ["b"] * 150 + ["c"] * 50
    parts = split_rows(labels, 1000, fractions=(0.8, 0.1, 0.1), seed=0)
    assert is_partition(parts, 1000)
    counts = [Counter(labels[row] for row in part) for part in parts]
    assert counts == [{"a": 640, "b": 120, "c": 40}, {"a": 80, "b": 15, "c": 5}, {"a": 80, "b": 15, "c": 5}]


def test_the_seed_decides():
    labels = np.random.default_rng(0).integers(0, 5, 500).tolist()
    one, again, other = (split_rows(labels, 500, fractions=(0.7, 0.3), seed=seed) for seed in (1, 1, 2))
    assert [part.tolist() for part in one] == [part.tolist() for part in again]
    assert one[1].tolist() != other[1].tolist()


def test_remainders_even_out():
    labels = [label for label in range(100) for _ in range(7)]
    parts = split_rows(labels, 700, fractions=(0.8, 0.1, 0.1), seed=0)
    assert [len(part) for part in parts] == [560, 70, 70]
    assert {labels[row] for row in parts[0]} == set(range(100))


def test_a_label_that_occurs_once_is_learned_from():
    labels = ["a", "b"] * 50 + ["rare"]
    for seed in range(10):
        parts = split_rows(labels, 101, fractions=(0.5, 0.5), seed=seed)
        assert 100 in parts[0]


@pytest.mark.parametrize("rare", [4, 5, 9])
@pytest.mark.parametrize("common_first", [False, True])
def test_a_rare_label_is_in_every_part(rare, common_first):
    for common in (200, 333, 1000):
        labels = sorted(["a"] * common + ["b"] * rare, reverse=common_first)
        fractions = (0.9, 0.1)
        parts = split_rows(labels, len(labels), fractions=fractions, seed=0)
        assert is_partition(parts, len(labels))
        assert [sum(labels[row] == "b" for row in part) for part in parts] == [rare - 1, 1]
        assert abs(len(parts[1]) - 0.1 * len(labels)) < 1.5


def test_many_small_labels_do_not_swell_a_part():
    labels = [str(row // 4) for row in range(400)]
    parts = split_rows(labels, 400, fractions=(0.9, 0.1), seed=0)
    assert [len(part) for part in parts] == [360, 40]


def test_numbers_and_tags_are_divided_like_one_label():
    random = np.random.default_rng(0)
    for labels in (random.normal(size=1000).tolist(), [["a", str(row)] for row in range(1000)], list(range(1000))):
        parts = split_rows(labels, 1000, fractions=(0.9, 0.1), seed=0)
        assert is_partition(parts, 1000)
        assert [len(part) for part in parts] == [900, 100]


def test_without_labels_and_with_missing_ones():
    assert [len(part) for part in split_rows(None, 10, fractions=(0.8, 0.2), seed=0)] == [8, 2]
    parts = split_rows([None, float("nan"), 1, "1"] * 25, 100, fractions=(0.8, 0.2), seed=0)
    assert [len(part) for part in parts] == [80, 20]


@pytest.mark.parametrize("num_rows", [3, 4, 5])
def test_no_part_is_empty(num_rows):
    for labels in (None, ["a"] * num_rows, list("abcde"[:num_rows])):
        assert is_partition(split_rows(labels, num_rows, fractions=(0.98, 0.01, 0.01), seed=0), num_rows)


def test_groups_stay_together_and_labels_in_proportion():
    random = np.random.default_rng(0)
    groups = random.integers(0, 200, 2000)
    labels = np.where(groups % 4 == 0, "rare", "common")
    parts = split_rows(labels.tolist(), 2000, fractions=(0.8, 0.1, 0.1), seed=0, groups=groups.tolist())
    assert is_partition(parts, 2000)
    owners = [set(groups[part].tolist()) for part in parts]
    assert sum(map(len, owners)) == len(set.union(*owners))
    share = (labels == "rare").mean()
    for part, fraction in zip(parts, (0.8, 0.1, 0.1), strict=True):
        assert len(part) / 2000 == pytest.approx(fraction, abs=0.01)
        assert (labels[part] == "rare").mean() == pytest.approx(share, abs=0.03)


def test_groups_without_a_name_are_groups_of_their_own():
    parts = split_rows(None, 100, fractions=(0.5, 0.5), seed=0, groups=[None] * 100)
    assert [len(part) for part in parts] == [50, 50]


def test_few_large_groups_still_fill_every_part():
    parts = split_rows(None, 100, fractions=(0.8, 0.1, 0.1), seed=0, groups=["a"] * 98 + ["b", "c"])
    assert [len(part) for part in parts] == [98, 1, 1]


def test_what_cannot_be_divided():
    with pytest.raises(ConfigError, match="positive ones that sum to 1"):
        split_rows(None, 10, fractions=(0.8, 0.3), seed=0)
    with pytest.raises(DataError, match="got 1 rows, expected at least 2"):
        split_rows(None, 1, fractions=(0.5, 0.5), seed=0)
    with pytest.raises(DataError, match="got 1 groups"):
        split_rows(None, 10, fractions=(0.5, 0.5), seed=0, groups=["a"] * 10)


def test_a_million_rows():
    labels = np.random.default_rng(0).integers(0, 1000, 1_000_000).tolist()
    parts = split_rows(labels, len(labels), fractions=(0.9, 0.1), seed=0)
    assert len(parts[1]) == pytest.approx(100_000, abs=2)


def test_parts_by_time_are_later_and_later():
    random = np.random.default_rng(0)
    moments = random.integers(0, 40, size=200).astype(float)
    parts = split_by_time(moments, fractions=[0.25] * 4)
    assert sorted(np.concatenate(parts).tolist()) == list(range(200))
    for earlier, later in pairwise(parts):
        assert moments[earlier].max() < moments[later].min()
    assert all(35 < len(part) < 65 for part in parts)
    with pytest.raises(DataError, match=r"3 different times.*at least 4"):
        split_by_time(np.array([1.0, 2, 3, 3, 3]), fractions=[0.25] * 4)
    few = split_by_time(np.array([3.0, 1, 2]), fractions=[0.9, 0.05, 0.05])
    assert [part.tolist() for part in few] == [[1], [2], [0]]


def test_times_are_numbers_or_dates():
    dates = ["2024-03-05", "2024-03-05 10:30", "2024-03-05T10:30:00+02:00", datetime(2024, 3, 6)]
    found = moments_of(dates, "when")
    assert found[0] < found[2] < found[1] < found[3]
    assert moments_of(["3", 4, 2.5], "when").tolist() == [3, 4, 2.5]
    assert np.argsort(moments_of(["25.03.2024", "01.04.2024", "31.12.2023"], "when")).tolist() == [2, 0, 1]
    with pytest.raises(DataError, match="None in row 2"):
        moments_of(["2024-03-05", None], "when")
    with pytest.raises(DataError, match="'2024-03-05' in row 1"):
        moments_of(["2024-03-05", "7"], "when")


def test_rows_are_dealt_out_evenly():
    labels = ["a"] * 7 + ["b"] * 3 + ["c"]
    parts = deal_rows(labels, 11, parts=3, seed=0)
    assert sorted(map(len, parts)) == [3, 4, 4]
    assert all(len([row for row in part if labels[row] == "b"]) == 1 for part in parts)
    assert [part.tolist() for part in deal_rows(labels, 11, parts=3, seed=0)] == [part.tolist() for part in parts]


def test_rows_of_a_validated_group_are_not_learned_from():
    groups = ["a", "b", None, "a", None]
    assert without_groups(np.array([0, 1, 2]), np.array([3, 4]), groups).tolist() == [1, 2]
