"""Bootstrap intervals of the metrics (Efron 1979): how much would they move on other rows of the same kind?

The rows are drawn again with replacement; the model is not trained again, so what the choice of training rows adds is
not in the interval. A Measure makes each metric from how often every row was drawn, without sorting or copying again,
so that 10,000 rows drawn 1,000 times take about a second. Metrics that sort through many numbers are repeated less
often, and left out where hardly any repeats could be had.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tonggan.tasks.measure import Floats, Measure, Reducer

REPEATS = 1000
_FEWEST_REPEATS = 100
_TIMED_DRAWS = 10
_AT_ONCE = 50_000  # rows of draws that are made together
_WORK = 300_000_000  # numbers to sort through, a few seconds
# On fewer rows no score says much: at 30, an accuracy's interval is still some 35 points wide.
MIN_ROWS = 30
# With fewer rows that differ, no outcome is significant at 5 % by the exact sign test (2 / 2^5 > 0.05), whatever the
# bootstrap says: its intervals are too narrow where so little differs.
MIN_DIFFERENT_ROWS = 6

Answer = Literal["yes", "no", "uncertain", "too few rows"]


@dataclass(frozen=True)
class Comparison:
    """A model beside another one on the same rows, in their score.

    Attributes:
        score_name: e.g. ``accuracy``.
        num_rows: how many rows were measured.
        num_different: how many of them the two answer differently.
        score: that of the model.
        other: that of the other one.
        gain: how much better the model is; more is always better, also where a small score is.
        gain_interval: 95 %, from a paired bootstrap over the rows; None where the rows are not enough for one.
    """

    score_name: str
    num_rows: int
    num_different: int
    score: float
    other: float
    gain: float
    gain_interval: tuple[float, float] | None

    @property
    def is_better(self) -> Answer:
        """``yes`` where the interval of the gain lies above zero and rests on enough rows, ``no`` without a gain."""
        if self.num_rows < MIN_ROWS:
            return "too few rows"
        if self.gain <= 0:
            return "no"
        certain = self.gain_interval is not None and self.gain_interval[0] > 0
        return "yes" if certain and self.num_different >= MIN_DIFFERENT_ROWS else "uncertain"


def compare(measure: Measure, other: Measure, *, seed: int, repeats: int = REPEATS) -> Comparison:
    """``measure`` beside ``other``, of the same rows and the same draws of them."""
    draws, other_draws = (score_draws(each, seed=seed, repeats=repeats) for each in (measure, other))
    score, other_score = measure.score(), other.score()
    return Comparison(
        score_name=measure.score_name,
        num_rows=len(measure),
        num_different=int(measure.differs(other).sum()),
        score=score,
        other=other_score,
        gain=score - other_score if measure.greater_is_better else other_score - score,
        gain_interval=gain_interval(draws, other_draws, greater_is_better=measure.greater_is_better),
    )


def intervals(measure: Measure, *, seed: int, repeats: int = REPEATS) -> dict[str, tuple[float, float]]:
    """The 95 % interval of each metric; one that is undefined for more than half of the draws is absent."""
    samples = resample(measure, seed=seed, repeats=repeats)
    found = {name: interval(values) for name, values in samples.items()}
    return {name: pair for name, pair in found.items() if pair is not None}


def interval(values: Floats) -> tuple[float, float] | None:
    """The percentile interval, from the 2.5th to the 97.5th; None where more than half of ``values`` are NaN."""
    defined = values[np.isfinite(values)]
    if not 2 * len(defined) > len(values):
        return None
    low, high = np.percentile(defined, [2.5, 97.5])
    return float(low), float(high)


def gain_interval(draws: Floats, other: Floats, *, greater_is_better: bool) -> tuple[float, float] | None:
    """By how much the scores ``draws`` are better than ``other``, of the same draws of the same rows."""
    return interval(draws - other if greater_is_better else other - draws)


def resample(measure: Measure, *, seed: int, repeats: int = REPEATS) -> dict[str, Floats]:
    """Each metric of ``measure`` on each draw of its rows, ``[repeats]`` or fewer, NaN where it is undefined."""
    samples: dict[str, list[float]] = {name: [] for name in measure.metrics()}
    for place, counts in enumerate(_draws(len(measure), seed=seed, repeats=repeats)):
        for reducer in measure.reducers:
            if place < _repeats(reducer, repeats):
                for name, value in zip(reducer.names, reducer.reduce(counts), strict=True):
                    if name in samples:
                        samples[name].append(value)
    return {name: np.array(values, dtype=np.float64) for name, values in samples.items()}


def score_draws(measure: Measure, *, seed: int, repeats: int = REPEATS) -> Floats:
    """The score on each draw of the rows, ``[repeats]`` or fewer, NaN where it is undefined.

    The draws depend on ``seed`` and the number of rows alone, so that two models can be compared draw by draw.
    """
    own = [reducer for reducer in measure.reducers if measure.score_name in reducer.names]
    repeats = min((_repeats(reducer, repeats) for reducer in own), default=repeats)
    return np.array([measure.score(counts) for counts in _draws(len(measure), seed=seed, repeats=repeats)])


def seconds_per_draw(measure: Measure) -> float:
    """How long one draw of these rows with all its metrics takes, from a few of them."""
    measure.metrics()  # which also prepares what all draws share
    start = time.perf_counter()
    for counts in _draws(len(measure), seed=0, repeats=_TIMED_DRAWS):
        measure.metrics(counts)
    return (time.perf_counter() - start) / _TIMED_DRAWS


def _repeats(reducer: Reducer, repeats: int) -> int:
    """How often ``reducer`` is applied where others are ``repeats`` times: none of few would be an interval."""
    allowed = repeats if reducer.work == 0 else min(repeats, _WORK // reducer.work)
    return allowed if allowed >= min(_FEWEST_REPEATS, repeats) else 0


def _draws(num_rows: int, *, seed: int, repeats: int) -> Iterator[Floats]:
    """How often each row is drawn, ``[num_rows]``, in as many draws with replacement; again and again."""
    generator = np.random.default_rng(seed)
    most = max(1, _AT_ONCE // max(num_rows, 1))
    for start in range(0, repeats, most):
        number = min(most, repeats - start)  # of few rows, a draw by itself would take longer than its metrics
        drawn = generator.integers(num_rows, size=(number, num_rows)) + num_rows * np.arange(number)[:, None]
        yield from np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape).astype(np.float64)
