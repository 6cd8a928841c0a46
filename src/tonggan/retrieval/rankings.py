"""One ranking out of several, by ranks or by scores.

It neither searches nor learns weights. A ranking is a mapping from key to score, best first, as searches return it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np

from tonggan.errors import ConfigError


def by_reciprocal_rank(
    rankings: Sequence[Iterable[str]], *, weights: Sequence[float] | None = None, constant: float = 60.0
) -> dict[str, float]:
    """Keys by the sum over rankings of ``weight / (constant + rank)``, rank from 1 (Cormack et al. 2009), best first.

    It needs no scores, so it also loses what they tell: beside a much better ranking a poor one does harm unless its
    weight is small. Keys of equal scores stay in the order in which they were met.

    Raises:
        ConfigError: not one weight for each ranking.
    """
    total: dict[str, float] = {}
    for ranking, weight in zip(rankings, _checked(weights, len(rankings)), strict=True):
        for rank, key in enumerate(ranking, start=1):
            total[key] = total.get(key, 0.0) + weight / (constant + rank)
    return _best_first(total)


def by_weighted_score(
    rankings: Sequence[Mapping[str, float]],
    *,
    weights: Sequence[float] | None = None,
    scaling: Literal["min-max", "z-score"] = "min-max",
) -> dict[str, float]:
    """Keys by the weighted sum of their scores, which are scaled within each ranking first; best first.

    ``min-max`` brings the worst score of a ranking to 0 and its best to 1 (all to 1 where they are equal), ``z-score``
    their mean to 0 and their standard deviation to 1. A key that a ranking lacks counts there as its worst, so rankings
    should be longer than what is shown of the result.

    Raises:
        ConfigError: not one weight for each ranking.
    """
    weights = _checked(weights, len(rankings))
    scaled = [_scaled(ranking, scaling) for ranking in rankings]
    total = {key: 0.0 for ranking in rankings for key in ranking}
    for ranking, weight in zip(scaled, weights, strict=True):
        worst = 0.0 if scaling == "min-max" else min(ranking.values(), default=0.0)
        for key in total:
            total[key] += weight * ranking.get(key, worst)
    return _best_first(total)


def _scaled(ranking: Mapping[str, float], scaling: str) -> dict[str, float]:
    scores = np.array(list(ranking.values()), np.float64)
    if not len(scores):
        return {}
    if scaling == "min-max":
        spread = scores.max() - scores.min()
        values = (scores - scores.min()) / spread if spread > 0 else np.ones_like(scores)
    else:
        deviation = scores.std()
        values = (scores - scores.mean()) / deviation if deviation > 0 else np.zeros_like(scores)
    return dict(zip(ranking, values.tolist(), strict=True))


def _checked(weights: Sequence[float] | None, count: int) -> Sequence[float]:
    weights = [1.0] * count if weights is None else weights
    if len(weights) != count:
        raise ConfigError(
            "the weights of rankings",
            got=f"{len(weights)} weights for {count} rankings",
            expected="one for each",
            remedy="Give as many weights as rankings",
        )
    return weights


def _best_first(total: Mapping[str, float]) -> dict[str, float]:
    return dict(sorted(total.items(), key=lambda item: -item[1]))
