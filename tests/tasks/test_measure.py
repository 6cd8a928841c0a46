"""A measure of answers that are lists of any length: found things with a class, a score, and whether they are there."""

from dataclasses import dataclass

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from contracts import check_measure
from tonggan.tasks.measure import Measure, Ranking, Reducer


@dataclass(frozen=True, eq=False)
class FoundMeasure(Measure):
    """Rows have ``found``, each ``[K, 3]`` of class, score and hit, and ``there [N, C]``, how many there are to find.

    The score is the mean over the classes of average precision, a metric of the whole set.
    """

    def make_reducers(self):
        there = self.rows["there"]
        found = np.concatenate(self.rows["found"])
        rows = np.repeat(np.arange(len(self)), [len(each) for each in self.rows["found"]])
        rankings = []
        for number in range(there.shape[1]):
            of_class = found[:, 0] == number
            rankings.append(Ranking(found[of_class, 1], found[of_class, 2] > 0, rows[of_class]))

        def precision(counts):
            means = []
            for number, ranking in enumerate(rankings):
                hits, said = ranking.curve(counts)
                gained = np.diff(hits, prepend=0.0)
                means.append(gained @ (hits / np.maximum(said, 1)) / (counts @ there[:, number]))
            return [np.mean(means)]

        return [Reducer(["map"], precision, work=len(found))]

    def badness(self):
        hits = np.array([each[:, 2].sum() for each in self.rows["found"]])
        return self.rows["there"].sum(axis=1) - hits

    def differs(self, other):
        pairs = zip(self.rows["found"], other.rows["found"], strict=True)
        return np.array([not np.array_equal(one, two) for one, two in pairs])


def example(rows=12):
    generator = np.random.default_rng(0)
    found = np.empty(rows, dtype=object)
    there = np.zeros((rows, 2))
    for row in range(rows):
        things = generator.integers(2, size=generator.integers(row == 0, 6))
        hits = generator.random(len(things)) < 0.6
        found[row] = np.stack([things, generator.random(len(things)).round(1), hits], axis=1)
        there[row] = np.bincount(things[hits], minlength=2) + generator.integers(2, size=2)
    return FoundMeasure({"found": found, "there": there}, "map", True)


def test_contract_with_lists_of_any_length():
    measure = example()
    check_measure(measure, [measure.take(np.array([row])) for row in range(len(measure))])


def test_what_is_undefined_has_no_metric_and_the_worst_score():
    @dataclass(frozen=True, eq=False)
    class Undefined(FoundMeasure):
        def make_reducers(self):
            return [Reducer(["map"], lambda _counts: [float("nan")])]

    rows = example().rows
    measure = Undefined(rows, "map", True)
    assert measure.metrics() == {}
    assert measure.score() == 0
    assert np.isnan(measure.score(np.ones(12))), "a draw without a score is no bad draw"
    assert Undefined(rows, "map", False).score() == float("inf")


def test_an_answer_that_is_another_differs():
    measure = example()
    assert not measure.differs(measure).any()
    other = measure.take(np.arange(12)[::-1])
    assert measure.differs(other).sum() >= 6


@pytest.mark.parametrize("seed", range(3))
def test_ranking_equals_scikit_learns_of_the_rows_that_were_drawn(seed):
    generator = np.random.default_rng(seed)
    rows = generator.integers(20, size=90)
    scores, positive = generator.random(90).round(1), generator.random(90) > 0.6
    counts = generator.integers(3, size=20).astype(float)
    again = np.repeat(np.arange(90), counts[rows].astype(int))
    expected = [score(positive[again], scores[again]) for score in (roc_auc_score, average_precision_score)]
    assert Ranking(scores, positive, rows).areas(counts) == pytest.approx(expected)


def test_a_ranking_of_one_kind_of_answer_is_undefined():
    area, precision = Ranking(np.array([0.1, 0.2]), np.array([True, True]), np.arange(2)).areas(np.ones(2))
    assert np.isnan(area)
    assert precision == 1
    assert np.isnan(Ranking(np.array([0.1]), np.array([False]), np.arange(1)).areas(np.ones(1))).all()
