"""Members weighted together: which of them pay is chosen on the validation part."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tonggan.floor.base import CannotFitError, Floats
from tonggan.progress import Progress
from tonggan.recommendation.base import Examples, Held, Histories, Places, Scorer, ScorerConfig
from tonggan.recommendation.kept import KeptMember
from tonggan.recommendation.measure import RankingMeasure, measure_top, of_items, top_items
from tonggan.recommendation.popularity import Popularity

_AT_ONCE = 256  # users whose scores of all items are in memory
_MOST_USERS = 1_000  # by whom weights are chosen
_ROUNDS = 15
_RANDOM_USERS = 10.0  # whose likes at random weights among items with few likes are drawn to 0 by
_MOST_OFFERED = 2_000  # items with few likes that compete with what was liked
_LEAST_SHARE = 0.05  # of the weights among items with few likes, to be worth its time
# What a member must add to the score, as a share of it, to be worth its time in every recommendation to come.
_LEAST_GAIN = 0.01


@dataclass(frozen=True, eq=False)
class Tried:
    """How one member did on the validation part.

    Attributes:
        name: of the member.
        config: with the settings that served best; None where it could not be fitted.
        score: nDCG; None as before.
        weight: in the blend, 0 where it was not kept.
        cold_weight: likewise, where items with few likes are ordered among themselves.
        seconds: that all of its settings took together.
        problem: why it could not be fitted.
    """

    name: str
    config: ScorerConfig | None
    score: float | None
    weight: float
    cold_weight: float
    seconds: float
    problem: str | None = None


@dataclass(frozen=True, eq=False)
class Weighted:
    """A member of a blend, with its weight among all items and among those with few likes; 0 where it has none."""

    scorer: Scorer
    weight: float
    cold_weight: float


class Blend:
    """The weighted sum of members' standardized scores.

    Items with few likes have places in each list by that sum, as hardly anybody has taken them; which of them has which
    of these places is decided by weights of their own, in which their content counts.

    Args:
        members: by name; the weights of each kind add up to 1, those among items with few likes may all be 0.
        popularity: answers users of whom nothing is known, and decides between items of equal score.
        cold: items with at most so many likes have few.
    """

    def __init__(self, members: Mapping[str, Weighted], popularity: Popularity, *, cold: int) -> None:
        self.members, self.popularity = dict(members), popularity
        self.is_cold = popularity.counts <= cold
        self.has_cold_weights = any(each.cold_weight > 0 for each in self.members.values())

    def score(self, histories: Histories) -> Floats:
        """float64 ``[Q, I]``."""
        by_likes = self.popularity.score(histories)
        scores = self._summed(histories, 1e-9 * standardized(by_likes))
        scores[histories.lengths == 0] = by_likes[histories.lengths == 0]
        return scores

    def alike(self, item: int) -> Floats:
        """``[I]``: how like each item is to ``item``: by who likes both, or by content where few like it."""
        history = Histories.of([[item]], num_items=len(self.is_cold))
        personal = [each.scorer for each in self.members.values() if each.scorer.config.is_personal]
        by_content = [scorer for scorer in personal if scorer.config.needs_content]
        by_users = [scorer for scorer in personal if scorer.config.kind == "item_neighbors"]
        preferred = (by_content if self.is_cold[item] else by_users) or by_users or by_content or personal[:1]
        scores: Floats = 1e-9 * standardized(self.popularity.score(history))[0]
        for scorer in preferred:
            scores += standardized(scorer.score(history))[0]
        return scores

    def _summed(self, histories: Histories, scores: Floats) -> Floats:
        """The weighted sum on top of ``scores`` ``[Q, I]``, items with few likes in their own order."""
        few = np.zeros_like(scores[:, self.is_cold])
        for each in self.members.values():
            if not each.weight and not each.cold_weight:
                continue
            own = each.scorer.score(histories)
            scores += each.weight * standardized(own)
            if each.cold_weight and few.size:
                few += each.cold_weight * standardized(own[:, self.is_cold])
        if self.has_cold_weights and few.size:
            few += 1e-9 * standardized(scores[:, self.is_cold])
            ordered = np.empty_like(few)
            places = np.argsort(-few, axis=1, kind="stable")
            np.put_along_axis(ordered, places, -np.sort(-scores[:, self.is_cold], axis=1), axis=1)
            scores[:, self.is_cold] = ordered
        return scores

    def contributions(self, history: Places, items: Places) -> Floats:
        """``[M, H]``: what each item of a user's ``history`` adds to the score of each of ``items`` ``[M]``."""
        total = np.zeros((len(items), len(history)))
        asked = Histories.of([history], num_items=len(self.is_cold))
        for each in self.members.values():
            weights = np.where(self.is_cold[items] & self.has_cold_weights, each.cold_weight, each.weight)
            added = each.scorer.contributions(history, items) if weights.any() else None
            if added is not None:
                total += weights[:, None] / max(float(each.scorer.score(asked).std()), 1e-12) * added
        return total


def standardized(scores: Floats) -> Floats:
    """``[Q, I]`` with mean 0 and deviation 1 in each row; zeros where all are equal."""
    centered = scores - scores.mean(axis=1, keepdims=True)
    deviation = centered.std(axis=1, keepdims=True)
    scaled: Floats = np.divide(centered, deviation, out=np.zeros_like(centered), where=deviation > 1e-12)
    return scaled


def measured(
    score: Callable[[Histories], Floats],
    held: Held,
    *,
    k: int,
    popularity: Floats,
    allowed: NDArray[np.bool_] | None = None,
) -> RankingMeasure:
    """What the first ``k`` items by ``score`` are worth to the users of ``held``."""
    tops = []
    for start in range(0, len(held), _AT_ONCE):
        rows = np.arange(start, min(start + _AT_ONCE, len(held)))
        tops.append(top_items(score(held.histories.take(rows)), held.seen.take(rows), k=k, allowed=allowed))
    num_items = int(held.histories.num_items if allowed is None else allowed.sum())
    return measure_top(np.concatenate(tops), held, popularity=popularity, num_items=num_items)


def try_members(
    configs: Mapping[str, ScorerConfig],
    examples: Examples,
    held: Held,
    *,
    k: int,
    seed: int,
    deadline: float,
    folder: Path,
    progress: Progress,
) -> tuple[list[Tried], dict[str, Scorer]]:
    """Fit each member with each of its settings; how the best did, and the best themselves.

    Args:
        configs: by name.
        examples: to learn from.
        held: to choose by.
        k: items of a list.
        seed: of what is random.
        deadline: ``time.monotonic()`` by which all must be done.
        folder: keeps what is done, which is not done again there.
        progress: told of every setting.
    """
    popularity = examples.histories.counts()

    def score(scorer: Scorer) -> float:
        return measured(scorer.score, held, k=k, popularity=popularity).score()

    tried, best = [], {}
    names = sorted(configs, key=lambda name: configs[name].cost)
    for name in names:
        kept, problem = KeptMember(folder / name), None
        variants = configs[name].variants(examples)
        for done, variant in list(enumerate(variants))[len(kept.scores) :]:
            progress.update("members", done=names.index(name) + done / len(variants), total=len(names), note=name)
            started = time.monotonic()
            if kept.scores and started > deadline:
                break
            try:
                left = max(1.0, deadline - started)
                scorer = variant.fit(examples, seed=seed, seconds=left, held=held, folder=kept.training)
            except CannotFitError as error:
                problem = str(error)
                break
            kept.add(scorer, score, seconds=time.monotonic() - started)
        if not kept.scores:
            tried.append(Tried(name, None, None, 0.0, 0.0, 0.0, problem))
            continue
        best[name] = kept.best()
        tried.append(Tried(name, best[name].config, max(kept.scores), 0.0, 0.0, kept.seconds))
    return tried, best


def weigh(
    members: Mapping[str, Scorer],
    held: Held,
    *,
    k: int,
    popularity: Floats,
    seed: int,
) -> dict[str, float]:
    """Weights, which add up to 1, of the members whose blend has the best nDCG (greedily, Caruana et al. 2004).

    The best number of rounds is kept, and then every member left out without which the score is hardly lower.

    Args:
        members: by name.
        held: users to choose by.
        k: items of a list.
        popularity: ``[I]``, likes of each item.
        seed: of which users are taken, of very many.
    """
    rows = np.arange(len(held))
    if len(rows) > _MOST_USERS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, _MOST_USERS, replace=False))
    some = Held(held.histories.take(rows), held.seen.take(rows), held.wanted.take(rows))
    scores = {name: standardized(member.score(some.histories)).astype(np.float32) for name, member in members.items()}
    names = list(scores)

    def score(counts: Floats) -> float:
        total = sum(count * scores[name] for name, count in zip(names, counts, strict=True) if count)
        top = top_items(np.asarray(total, dtype=np.float64), some.seen, k=k)
        return measure_top(top, some, popularity=popularity, num_items=len(popularity)).score()

    counts, best, most = np.zeros(len(names)), np.zeros(len(names)), -1.0
    for _ in range(_ROUNDS):
        results = [score(counts + (np.arange(len(names)) == place)) for place in range(len(names))]
        place = int(np.argmax(results))
        counts[place] += 1
        if results[place] > most:
            best, most = counts.copy(), results[place]
    for place in sorted(np.flatnonzero(best).tolist(), key=best.__getitem__):
        without = np.where(np.arange(len(names)) == place, 0, best)
        if without.any() and score(without) >= (1 - _LEAST_GAIN) * most:
            best = without
    return {name: float(weight) for name, weight in zip(names, best / best.sum(), strict=True)}


def weigh_cold(
    members: Mapping[str, Scorer], held: Held, *, popularity: Floats, seed: int, cold: int
) -> dict[str, float]:
    """Weights, which add up to 1, under which what users liked next is likeliest among items with few likes.

    A softmax over the weighted scores of these items (McFadden 1974), which learns from every like, also from one that
    no list of ten would show: such likes are few. Weights are drawn to 0, as if some users had liked at random.

    Args:
        members: by name.
        held: users to choose by.
        popularity: ``[I]``, likes of each item.
        seed: of which users and items are taken, of very many.
        cold: items with at most so many likes have few.
    """
    is_cold = popularity <= cold
    some, random = of_items(held, is_cold), np.random.default_rng(seed)
    rows = np.sort(random.permutation(len(some))[:_MOST_USERS])
    some = Held(some.histories.take(rows), some.seen.take(rows), some.wanted.take(rows))
    places = np.flatnonzero(is_cold)
    offered = np.sort(random.permutation(places)[:_MOST_OFFERED])
    scores = [standardized(each.score(some.histories)[:, places]) for each in members.values()]
    choices = []
    for row in range(len(some)):
        wanted = some.wanted[row]
        others = np.setdiff1d(offered, np.concatenate([wanted, some.seen[row]]))
        shown = np.searchsorted(places, np.concatenate([wanted, others]))
        choices.append((len(wanted), np.stack([each[row, shown] for each in scores], axis=1)))
    weights = _likeliest(choices, len(members))
    weights = np.where(weights >= _LEAST_SHARE * weights.sum(), weights, 0.0)
    return dict(zip(members, (weights / (weights.sum() or 1.0)).tolist(), strict=True))


def _likeliest(choices: Sequence[tuple[int, Floats]], num_members: int) -> Floats:
    """``[M]``, none negative: of each user's scores ``[N, M]`` the first few rows are of what was liked."""
    from scipy.optimize import minimize

    def loss(weights: Floats) -> tuple[float, Floats]:
        total, slope = _RANDOM_USERS * weights @ weights / 2, _RANDOM_USERS * weights
        for count, scores in choices:
            summed = scores @ weights
            likely = np.exp(summed - summed.max())
            total += np.log(likely.sum()) + summed.max() - summed[:count].mean()
            slope = slope + likely @ scores / likely.sum() - scores[:count].mean(axis=0)
        return float(total), slope

    found: Floats = minimize(loss, np.zeros(num_members), jac=True, bounds=[(0, None)] * num_members).x
    return found
