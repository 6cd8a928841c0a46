"""What recommendations are worth: whether what users liked next is at the top, and what else is told of the lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tonggan.evaluation.bootstrap import MIN_DIFFERENT_ROWS, intervals
from tonggan.floor.base import Floats
from tonggan.recommendation.base import Held, Histories, Places
from tonggan.tasks.measure import Measure, Reducer
from tonggan.wording import Words

SCORE = "ndcg"
METRICS = {
    "ndcg": Words("nDCG", "nDCG"),
    "recall": Words("recall", "召回率"),
    "hit_rate": Words("hit rate", "命中率"),
    "mrr": Words("MRR", "MRR"),
    "coverage": Words("coverage", "覆盖率"),
    "popularity_bias": Words("popularity bias", "热门偏差"),
}
_WITHOUT_INTERVAL = ("coverage",)  # of users drawn twice nothing new is covered


@dataclass(frozen=True, eq=False)
class RankingMeasure(Measure):
    """Lists of k items for each of Q users.

    Rows: ``ndcg``, ``recall``, ``hit_rate``, ``mrr`` ``[Q]``; ``top`` ``[Q, k]``, the items, -1 where there are fewer;
    ``wanted_popularity`` and ``top_popularity`` ``[Q]``, the mean number of likes before of what the user liked next,
    and of what was recommended.

    Attributes:
        num_items: that could be recommended.
    """

    num_items: int

    def make_reducers(self) -> Sequence[Reducer]:
        names = ("ndcg", "recall", "hit_rate", "mrr")

        def means(counts: Floats) -> Sequence[float]:
            return [float(counts @ self.rows[name] / counts.sum()) for name in names]

        def of_lists(counts: Floats) -> Sequence[float]:
            shown = self.rows["top"][counts > 0]
            wanted = counts @ self.rows["wanted_popularity"]
            bias = counts @ self.rows["top_popularity"] / wanted if wanted else np.nan
            return [len(np.unique(shown[shown >= 0])) / self.num_items, float(bias)]

        return [Reducer(names, means), Reducer(("coverage", "popularity_bias"), of_lists)]

    def badness(self) -> Floats:
        badness: Floats = 1 - self.rows["ndcg"]
        return badness

    def differs(self, other: Self) -> NDArray[np.bool_]:
        differs: NDArray[np.bool_] = self.rows["ndcg"] != other.rows["ndcg"]
        return differs

    def table(self, *, seed: int) -> dict[str, Any]:
        """Metrics, their 95 % intervals over the users, and how many users there are."""
        found = {} if len(self) < MIN_DIFFERENT_ROWS else intervals(self, seed=seed)
        found = {name: pair for name, pair in found.items() if name not in _WITHOUT_INTERVAL}
        return {"metrics": self.metrics(), "intervals": found, "users": len(self)}


def top_items(scores: Floats, seen: Histories, *, k: int, allowed: NDArray[np.bool_] | None = None) -> Places:
    """int64 ``[Q, k]``: the items with the greatest ``scores`` ``[Q, I]``, the best first; -1 where there are fewer.

    Args:
        scores: finite numbers.
        seen: what is not to be among them.
        k: how many.
        allowed: bool ``[I]``, the items to choose from; all by default.
    """
    scores = scores.copy()
    scores[np.repeat(np.arange(len(seen)), seen.lengths), seen.items] = -np.inf
    if allowed is not None:
        scores[:, ~allowed] = -np.inf
    k = min(k, scores.shape[1])
    # Of equal scores the first item, whatever the number of items: what partition leaves open is settled by sorting.
    top = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.where(np.isfinite(np.take_along_axis(scores, top, axis=1)), top, -1).astype(np.int64)


def measure_top(top: Places, held: Held, *, popularity: Floats, num_items: int) -> RankingMeasure:
    """What the lists ``top`` ``[Q, k]`` are worth to the users of ``held``."""
    k = top.shape[1]
    discounts = 1 / np.log2(np.arange(k) + 2)
    rows: dict[str, list[float]] = {name: [] for name in ("ndcg", "recall", "hit_rate", "mrr")}
    popular: list[tuple[float, float]] = []
    for row in range(len(held)):
        wanted = held.wanted[row]
        hits = np.isin(top[row], wanted)
        rows["ndcg"].append(float(discounts[hits].sum() / discounts[: min(k, len(wanted))].sum()))
        rows["recall"].append(float(hits.sum() / len(wanted)))
        rows["hit_rate"].append(float(hits.any()))
        rows["mrr"].append(float(1 / (np.argmax(hits) + 1)) if hits.any() else 0.0)
        shown = top[row][top[row] >= 0]
        popular.append((popularity[wanted].mean(), popularity[shown].mean() if len(shown) else 0.0))
    pairs = np.array(popular).reshape(-1, 2)
    arrays = {name: np.array(values) for name, values in rows.items()}
    arrays |= {"top": top, "wanted_popularity": pairs[:, 0], "top_popularity": pairs[:, 1]}
    return RankingMeasure(arrays, SCORE, True, num_items)


def of_items(held: Held, allowed: NDArray[np.bool_]) -> Held:
    """The users of ``held`` who liked some of the ``allowed`` items ``[I]`` next, with these alone as wanted."""
    lists = [held.wanted[row][allowed[held.wanted[row]]] for row in range(len(held))]
    users = np.array([row for row, each in enumerate(lists) if len(each)], dtype=np.int64)
    wanted = Histories.of([lists[row] for row in users], num_items=len(allowed), users=held.wanted.users[users])
    return replace(held, histories=held.histories.take(users), seen=held.seen.take(users), wanted=wanted)
