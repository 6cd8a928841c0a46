"""The rows that are most alike, weighted by how near they are. What is stored of the training rows is their numbers."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tonggan.floor.base import CannotFitError, Examples, Floats, Goal, Member, MemberConfig, Stored
from tonggan.floor.design import Design
from tonggan.floor.features import Features
from tonggan.floor.linear_fit import loss, wanted
from tonggan.floor.rows import sample
from tonggan.wording import Words

_COUNTS = (3, 6, 12, 25, 50)
_MOST_ROWS = 10_000
_MOST_COLUMNS = 1_000
_MOST_ASKED, _PROBED = 500, 20  # rows that choose how many neighbors are asked, and that tell how long that takes
_AT_ONCE = 8_000_000  # distances
_LEAST_RELEVANCE = 0.05
_PRIOR = 0.3  # neighbors of the mean answer that each row has besides
_NEAR, _FAR = 1e-9, 1e9  # distances
_NAMES = ("rows", "aims", "weights", "relevance")


@dataclass(frozen=True, eq=False)
class _Kept:
    """Rows that may be neighbors.

    Attributes:
        rows: float32 ``[N, F]``, NaN where something is absent.
        aims: ``[N, size]``.
        weights: ``[N]``.
        relevance: ``[F]``, how much the squared difference in each column counts.
    """

    rows: NDArray[np.float32]
    aims: Floats
    weights: Floats
    relevance: Floats

    def answers(
        self, asked: Floats, counts: Sequence[int], own: NDArray[np.int64] | None = None
    ) -> NDArray[np.float64]:
        """``[counts, M, size]``: for each of the rows ``asked`` [M, F] the mean of its neighbors.

        Args:
            asked: rows.
            counts: so many neighbors count; the nearer, the more.
            own: ``[M]``, which of the rows is the asked one itself and does not count.
        """
        found = np.empty((len(counts), len(asked), self.aims.shape[1]))
        middle = np.average(self.aims, axis=0, weights=self.weights)
        step = max(1, _AT_ONCE // len(self.rows))
        for start in range(0, len(asked), step):
            here = slice(start, start + step)
            distances = self._distances(asked[here])
            if own is not None:
                distances[np.arange(len(distances)), own[here]] = 2 * _FAR
            lasts = [min(count, len(self.rows) - 1) for count in counts]
            # The farthest no longer counts, so that an answer does not hang on which of two equally far rows it is.
            bounds = np.minimum(np.partition(distances, sorted(set(lasts)), axis=1)[:, lasts], _FAR)
            for place, bound in enumerate(bounds.T):
                nearness = np.maximum(1 - distances / np.maximum(bound, _NEAR)[:, None], 0) * self.weights
                total = nearness.sum(1, keepdims=True) + _PRIOR
                found[place, here] = (nearness @ self.aims + _PRIOR * middle) / total
        return found

    def _distances(self, asked: Floats) -> Floats:
        """``[M, N]``: mean squared differences in the columns that both rows have; far where there are none."""
        known, mine = ~np.isnan(asked), ~np.isnan(self.rows)
        scale = np.sqrt(self.relevance)
        here, there = np.where(known, asked, 0) * scale, np.where(mine, self.rows, 0) * scale
        both = (known * self.relevance) @ mine.T
        squares = np.square(here) @ mine.T + known @ np.square(there).T - 2 * here @ there.T
        return np.where(both > 0, np.maximum(squares, 0) / np.where(both > 0, both, 1.0), _FAR)


def _relevance(rows: Floats, aims: Floats) -> Floats:
    """``[F]``: the squared correlation of each column with the target that it tells most of."""
    known = np.isfinite(rows)
    held = np.where(known, rows, 0.0)
    centered = np.where(known, held - held.sum(0) / np.maximum(known.sum(0), 1), 0.0)
    goals = aims - aims.mean(0)
    norms = np.sqrt(np.square(centered).sum(0))[:, None] * np.sqrt(np.square(goals).sum(0))
    found = np.abs(centered.T @ goals) / np.maximum(norms, 1e-12)
    return np.asarray(np.maximum(np.square(found).max(1), _LEAST_RELEVANCE**2))


class NeighborsConfig(MemberConfig):
    """Each row is answered as the rows near it are, columns counting by what they tell of the targets."""

    cost: ClassVar[int] = 4
    kind: Literal["neighbors"] = "neighbors"
    count: int | None = Field(default=None, ge=1)
    """Number of neighbors; by default, the best of a few by leave-one-out."""
    words: ClassVar[Words] = Words("nearest neighbors", "最近邻")

    def fit(self, examples: Examples, goal: Goal, *, seed: int, seconds: float) -> Member:
        started = time.monotonic()
        examples = sample(examples, _MOST_ROWS, seed=seed)
        design = Design.fit(examples, "gaps", goal, most_columns=_MOST_COLUMNS)
        rows = design.matrix(examples.features)
        aims = wanted(examples.targets, goal)
        kept = _Kept(rows.astype(np.float32), aims, examples.weights, _relevance(rows, aims))
        asked = np.random.default_rng(seed).permutation(len(rows))[:_MOST_ASKED]
        counts = [self.count] if self.count else [count for count in _COUNTS if count < len(rows)] or [1]
        begun = time.monotonic()
        if math.isfinite(seconds):
            kept.answers(rows[asked[:_PROBED]], counts)
        expected = (time.monotonic() - begun) * len(asked) / _PROBED
        if time.monotonic() + expected - started > seconds:
            raise CannotFitError(
                "nearest neighbors",
                got=f"{seconds:.2g} s",
                expected=f"time to compare {len(rows)} rows",
                remedy="Raise the time limit",
            )
        answers = kept.answers(rows[asked], counts, own=asked)
        losses = [loss(answer, aims[asked], examples.weights[asked], goal) for answer in answers]
        return NeighborsMember(design, kept, counts[int(np.argmin(losses))], goal)

    def load(self, stored: Stored, goal: Goal) -> Member:
        arrays = stored.arrays
        kept = _Kept(**{name: arrays[name] for name in _NAMES})
        return NeighborsMember(Design.load(stored.plain["design"], arrays), kept, int(stored.plain["count"]), goal)


class NeighborsMember(Member):
    """The mean of a row's neighbors.

    Args:
        design: how rows become a matrix.
        kept: the rows that may be neighbors.
        count: how many count in full; what is farther counts less and less.
        goal: what is predicted.
    """

    def __init__(self, design: Design, kept: _Kept, count: int, goal: Goal) -> None:
        self.design, self.kept, self.count, self.goal = design, kept, count, goal

    def predict(self, features: Features) -> Floats:
        (found,) = self.kept.answers(self.design.matrix(features), [self.count])
        return np.asarray(found if self.goal.form == "numbers" else np.clip(found, 0, 1))

    def store(self) -> Stored:
        design = self.design.store()
        arrays = {name: np.ascontiguousarray(getattr(self.kept, name)) for name in _NAMES}
        return Stored({"design": design.plain, "count": self.count}, {**design.arrays, **arrays})
