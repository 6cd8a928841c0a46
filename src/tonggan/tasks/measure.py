"""What predictions are worth: statistics of each row, and what reduces them to metrics.

A Measure grows batch by batch (``cat``), so that large outputs need not be kept, and every metric can be had of all
rows, of some (``take``), or of rows that count several times, as a bootstrap draws them. A metric may be a mean over
the rows or one of the whole set, such as a ranking: a reducer sees the counts of all rows at once.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from tonggan.tasks.figures import Section
from tonggan.wording import Words

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Reducer:
    """What makes one or more metrics of the rows.

    Attributes:
        names: of the metrics, in the order in which they are shown.
        reduce: their values from how often each row counts, ``[N]``; NaN where these rows leave one undefined.
        work: how many numbers one call sorts through, where that is dear; a bootstrap then repeats it less often.
    """

    names: Sequence[str]
    reduce: Callable[[Floats], Sequence[float]]
    work: int = 0


_MeasureT = TypeVar("_MeasureT", bound="Measure")


@dataclass(frozen=True, eq=False)
class Measure(ABC):
    """What the predictions of N rows are worth.

    Attributes:
        rows: statistics of the rows by name, each ``[N, ...]``; of dtype object where they are lists of any length.
        score_name: the metric that decides early stopping and that the audit compares.
        greater_is_better: whether a greater score is better.
        worst_title: what the rows of ``worst`` are called.
        worst_note: the same in a sentence.
    """

    rows: Mapping[str, NDArray[Any]]
    score_name: str
    greater_is_better: bool

    worst_title: ClassVar[Words] = Words("The most confident mistakes", "最自信的错误")
    worst_note: ClassVar[Words] = Words(
        "Wrong predictions of which the model was surest, with their inputs as the model gets them. Sometimes the "
        "label is at fault.",
        "模型最有把握却预测错误的样本，输入按模型实际接收的样子显示。有时是标签本身有误。",
    )

    def __len__(self) -> int:
        return len(next(iter(self.rows.values())))

    def take(self, places: NDArray[np.int64]) -> Self:
        """That of the rows at ``places``, in that order, each as often as it is named."""
        return replace(self, rows={name: values[places] for name, values in self.rows.items()})

    @staticmethod
    def cat(parts: Sequence[_MeasureT]) -> _MeasureT:
        """That of the rows of all ``parts``, which the same task has measured."""
        names = parts[0].rows
        return replace(parts[0], rows={name: np.concatenate([part.rows[name] for part in parts]) for name in names})

    @abstractmethod
    def make_reducers(self) -> Sequence[Reducer]:
        """What makes the metrics of these rows, by scikit-learn's names where it has one, in the order to show."""

    @cached_property
    def reducers(self) -> Sequence[Reducer]:
        """``make_reducers``, whose preparations are made once."""
        return self.make_reducers()

    def metrics(self, counts: Floats | None = None, *, names: Collection[str] | None = None) -> dict[str, float]:
        """The metrics by name; one that the rows leave undefined is not in the dict.

        Args:
            counts: how often each row counts, ``[N]``; once each by default.
            names: those that are wanted, all by default.
        """
        counts = np.ones(len(self)) if counts is None else counts
        found: dict[str, float] = {}
        for reducer in self.reducers:
            if names is None or not set(names).isdisjoint(reducer.names):
                values = dict(zip(reducer.names, map(float, reducer.reduce(counts)), strict=True))
                found |= {name: value for name, value in values.items() if names is None or name in names}
        return {name: value for name, value in found.items() if math.isfinite(value)}

    def score(self, counts: Floats | None = None) -> float:
        """The metric ``score_name``.

        Where the rows leave it undefined it is the worst that there is, 0 or infinity; of ``counts`` it is NaN.
        """
        undefined = math.nan if counts is not None else 0.0 if self.greater_is_better else math.inf
        return self.metrics(counts, names=(self.score_name,)).get(self.score_name, undefined)

    @property
    def leading(self) -> Sequence[str]:
        """The metrics that a report opens with."""
        return (self.score_name,)

    def notes(self) -> list[Words]:
        """What a reader of the metrics must know."""
        return []

    def signatures(self) -> dict[str, str]:
        """Of metrics that are known in variants, which variant ``metrics`` gives."""
        return {}

    @abstractmethod
    def badness(self) -> Floats:
        """[N]: how bad the prediction of each row is, 0 where nothing is wrong."""

    def worst(self, limit: int) -> NDArray[np.int64]:
        """Places of at most ``limit`` rows with something wrong, the worst first."""
        badness = self.badness()
        worst = np.argsort(-badness, kind="stable")[:limit]
        return worst[badness[worst] > 0]

    @abstractmethod
    def differs(self, other: Self) -> NDArray[np.bool_]:
        """[N]: which rows get another answer in ``other``, of the same rows."""

    def sections(self) -> list[Section]:
        """What a report shows of these rows beside the metrics."""
        return []


class Ranking:
    """Scored answers of rows, sorted once, from which ROC-AUC and average precision follow for any counts.

    A row may have any number of answers. Equal scores are one threshold.

    Args:
        scores: ``[A]``, how sure each answer is.
        positive: ``[A]``, whether it is right.
        rows: ``[A]``, the row of each answer.

    Attributes:
        places: ``[T]``, by threshold, the highest first, the place of an answer in ``scores`` that lies at it.
    """

    def __init__(self, scores: Floats, positive: NDArray[np.bool_], rows: NDArray[np.int64]) -> None:
        order = np.argsort(-scores, kind="stable")
        ordered = scores[order]
        self.rows = rows[order]
        self.positive = positive[order].astype(np.float64)
        self.ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
        self.places = order[self.ends]

    def curve(self, counts: Floats) -> tuple[Floats, Floats]:
        """By threshold: how many answers at or above it are right, and how many there are."""
        drawn = counts[self.rows]
        return np.cumsum(drawn * self.positive)[self.ends], np.cumsum(drawn)[self.ends]

    def areas(self, counts: Floats) -> tuple[float, float]:
        """ROC-AUC and average precision; NaN where they are undefined."""
        hits, said = self.curve(counts)
        positives, negatives = hits[-1], said[-1] - hits[-1]
        gained, misses = np.diff(hits, prepend=0.0), said - hits
        # Every positive beats the negatives below it, and half of those at its own threshold.
        beaten = negatives - misses + np.diff(misses, prepend=0.0) / 2
        area = float(gained @ beaten / (positives * negatives)) if positives and negatives else math.nan
        precision = float(gained @ (hits / np.maximum(said, 1)) / positives) if positives else math.nan
        return area, precision
