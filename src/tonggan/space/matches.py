"""How near the top what belongs to a query is found: recall, ranks and gain of every two inputs, both ways.

Several right answers for one query are all right: what stands in a row with the same content on either side. Each
content is found once, however many rows show it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import permutations
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from tonggan.alignment.distances import Distance, as_items, as_queries
from tonggan.alignment.token_sets import Matching, rescored
from tonggan.tasks.measure import Floats, Measure, Reducer
from tonggan.tokens import Tokens

RECALLED = (1, 5, 10)
_GAINED = 10  # ranks that nDCG looks at
_QUERIES_AT_ONCE = 1_024
CANDIDATES = 100
"""Of a ranking by vectors, which are ranked again by their sets."""
_SETS_AT_ONCE = 16  # queries
_BEHIND = 10.0  # more than any cosines differ
METRICS = (*(f"recall@{count}" for count in RECALLED), "mrr", f"ndcg@{_GAINED}", "median_rank")


@dataclass(frozen=True, eq=False)
class MatchMeasure(Measure):
    """What vectors of N rows are worth for finding one input of a row by another.

    Attributes:
        kinds: of the inputs by name; ``rows`` has ``NAME/query`` and ``NAME/vector`` ``[N, D]``, ``NAME/present`` and
            ``NAME/content`` ``[N]``; where sets are compared also ``NAME/tokens`` ``[N, T, E]`` and ``NAME/mask``.
        matching: how sets are compared: as in an index, those of the best by vectors, which are then ranked again.
        share: of the sets in a score.
    """

    kinds: Mapping[str, str] = field(default_factory=dict)
    matching: Matching = "pooled"
    share: float = 1.0

    @staticmethod
    def of_rows(
        rows: Mapping[str, NDArray[Any]], *, kinds: Mapping[str, str], distance: Distance, matching: Matching = "pooled"
    ) -> MatchMeasure:
        """That of vectors and tokens as towers give them, the vectors compared by ``distance``."""
        placed = dict(rows)
        for name in kinds:
            vectors = torch.from_numpy(np.asarray(rows[f"{name}/vector"], dtype=np.float32))
            placed[f"{name}/query"] = as_queries(vectors, distance).numpy()
            placed[f"{name}/vector"] = as_items(vectors, distance).numpy()
        return MatchMeasure(placed, "mrr", True, kinds=kinds, matching=matching)

    @property
    def directions(self) -> list[tuple[str, str]]:
        """Every two inputs, the one that is searched by first."""
        return list(permutations(self.kinds, 2))

    @property
    def averaged(self) -> list[bool]:
        """Which of the directions a mean is of: those between different kinds, where there are some."""
        across = [self.kinds[left] != self.kinds[right] for left, right in self.directions]
        return across if any(across) else [True] * len(across)

    @cached_property
    def ranks(self) -> dict[tuple[str, str], tuple[Floats, Floats]]:
        """By direction, the ranks ``[N]`` of first right answers, from 1, and the gains; NaN where a side is absent."""
        return {pair: self._ranks(*pair) for pair in self.directions}

    def _ranks(self, left: str, right: str) -> tuple[Floats, Floats]:
        both = self.rows[f"{left}/present"] & self.rows[f"{right}/present"]
        ranks, gains = np.full(len(self), np.nan), np.full(len(self), np.nan)
        there = np.flatnonzero(self.rows[f"{right}/present"])
        if not both.any():
            return ranks, gains
        _, first, place = np.unique(self.rows[f"{right}/content"][there], return_index=True, return_inverse=True)
        items = self.rows[f"{right}/vector"][there[first]]
        _, query = np.unique(self.rows[f"{left}/content"], return_inverse=True)
        place_of = np.full(len(self), -1)
        place_of[there] = place
        right_answers: dict[int, set[int]] = {}
        for row in np.flatnonzero(both).tolist():
            right_answers.setdefault(int(query[row]), set()).add(int(place_of[row]))
        asked = np.array(list(right_answers), dtype=np.int64)
        example = np.zeros(int(query.max()) + 1, dtype=np.int64)
        example[query[both]] = np.flatnonzero(both)
        found = {}
        for start in range(0, len(asked), _QUERIES_AT_ONCE):
            part = asked[start : start + _QUERIES_AT_ONCE]
            scores = self.rows[f"{left}/query"][example[part]] @ items.T
            if self.matching != "pooled":
                self._rank_again(scores, f"{left}/", example[part], f"{right}/", there[first])
            for number, own in zip(part.tolist(), scores, strict=True):
                found[number] = _rank_and_gain(own, sorted(right_answers[number]))
        for row in np.flatnonzero(both).tolist():
            ranks[row], gains[row] = found[int(query[row])]
        return ranks, gains

    def _rank_again(
        self, scores: NDArray[np.float32], left: str, asked: NDArray[np.int64], right: str, found: NDArray[np.int64]
    ) -> None:
        """Put the sets of the best ``CANDIDATES`` in place of their means in ``scores``; all others fall behind."""
        count = min(CANDIDATES, scores.shape[1])
        for start in range(0, len(scores), _SETS_AT_ONCE):
            own = scores[start : start + _SETS_AT_ONCE]
            best = np.argpartition(-own, count - 1, axis=1)[:, :count]
            again = rescored(
                torch.from_numpy(np.take_along_axis(own, best, axis=1)),
                self._sets(left, asked[start : start + _SETS_AT_ONCE]),
                self._sets(right, found[best].ravel()),
                self.matching,
                share=self.share,
            )
            own -= _BEHIND
            np.put_along_axis(own, best, again.numpy(), axis=1)

    def _sets(self, name: str, rows: NDArray[np.int64]) -> Tokens:
        values, mask = (torch.from_numpy(self.rows[name + of][rows]) for of in ("tokens", "mask"))
        return Tokens(values.float(), mask)

    def make_reducers(self) -> Sequence[Reducer]:
        pairs = self.directions
        names = [*METRICS, *(f"{left}→{right} {name}" for left, right in pairs for name in METRICS)]

        def reduce(counts: Floats) -> Sequence[float]:
            each = [_reduced(*self.ranks[pair], counts) for pair in pairs]
            counted = np.array(each)[self.averaged]
            counted = counted[np.isfinite(counted).all(axis=1)]
            means = counted.mean(axis=0) if len(counted) else np.full(len(METRICS), np.nan)
            return [*means, *np.ravel(each)]

        return [Reducer(names, reduce)]

    @property
    def leading(self) -> Sequence[str]:
        return METRICS

    def badness(self) -> Floats:
        """1 less the mean reciprocal rank of each row."""
        reciprocal = np.stack([1 / ranks for ranks, _ in self.ranks.values()])
        there = np.isfinite(reciprocal)
        badness: Floats = 1 - np.where(there, reciprocal, 0).sum(axis=0) / np.maximum(there.sum(axis=0), 1)
        return np.where(there.any(axis=0), badness, 0)

    def differs(self, other: Self) -> NDArray[np.bool_]:
        differs: NDArray[np.bool_] = self.badness() != other.badness()
        return differs


def _rank_and_gain(scores: NDArray[np.float32], right: Sequence[int]) -> tuple[float, float]:
    """The rank of the best of the ``right`` places, what ties with it counted as better, and nDCG of the first ten."""
    best = scores[right].max()
    wrong = np.ones(len(scores), dtype=bool)
    wrong[right] = False
    rank = 1 + int((scores[wrong] >= best).sum())
    order = np.argsort(np.where(wrong, -scores, -scores + 1e-9 * np.abs(scores)), kind="stable")[:_GAINED]
    discounts = 1 / np.log2(np.arange(2, _GAINED + 2))
    gained = float(discounts[: len(order)][~wrong[order]].sum())
    return float(rank), gained / float(discounts[: len(right)].sum())


def _reduced(ranks: Floats, gains: Floats, counts: Floats) -> list[float]:
    there = np.isfinite(ranks) & (counts > 0)
    if not there.any():
        return [float("nan")] * len(METRICS)
    own, weights = ranks[there], counts[there]
    total = weights.sum()
    order = np.argsort(own, kind="stable")
    median = own[order][np.searchsorted(np.cumsum(weights[order]), total / 2)]
    return [
        *(float(weights @ (own <= count) / total) for count in RECALLED),
        float(weights @ (1 / own) / total),
        float(weights @ gains[there] / total),
        float(median),
    ]
