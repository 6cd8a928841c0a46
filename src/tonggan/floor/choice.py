"""Which members make the ensemble: greedy selection on predictions of rows that no member has learned from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tonggan.floor.base import Floats, Goal

_ROUNDS = 25
# What a member must take off the loss, as a share of it, to be worth its time in every prediction to come.
_LEAST_GAIN = 0.002


def choose(
    predictions: Mapping[str, Floats], targets: NDArray[Any], weights: Floats, goal: Goal, *, most: int
) -> dict[str, float]:
    """Weights, which add up to 1, of the members whose weighted mean has the least loss (Caruana et al. 2004).

    Members are added one by one, the same one again and again where that serves; the best number of them is kept, and
    then every one left out without which the loss is hardly greater.

    Args:
        predictions: by member ``[N, size]``, of rows that it has not learned from.
        targets: of these rows.
        weights: ``[N]``, how much each row counts.
        goal: what is predicted.
        most: how many different members there may be.
    """
    names = list(predictions)

    def loss(counts: NDArray[np.float64]) -> float:
        mean = sum(count * predictions[name] for name, count in zip(names, counts, strict=True) if count) / counts.sum()
        return float(np.average(goal.losses(np.asarray(mean), targets), weights=weights))

    counts, best, least = np.zeros(len(names)), np.zeros(len(names)), np.inf
    for _ in range(_ROUNDS):
        allowed = [place for place in range(len(names)) if counts[place] or np.count_nonzero(counts) < most]
        tried = {place: loss(counts + (np.arange(len(names)) == place)) for place in allowed}
        place = min(tried, key=tried.__getitem__)
        counts[place] += 1
        if tried[place] < least:
            best, least = counts.copy(), tried[place]
    for place in sorted(np.flatnonzero(best).tolist(), key=best.__getitem__):
        without = np.where(np.arange(len(names)) == place, 0, best)
        if without.any() and loss(without) <= least + _LEAST_GAIN * abs(least):
            best = without
    return {name: float(count / best.sum()) for name, count in zip(names, best, strict=True) if count}


def network_weight(floor: Floats, network: Floats, targets: NDArray[Any], weights: Floats, goal: Goal) -> float:
    """How much a network should weigh beside the rest, by the same rows; 0 where it does not pay."""
    shares = np.linspace(0, 1, 21)
    losses = [
        float(np.average(goal.losses((1 - share) * floor + share * network, targets), weights=weights))
        for share in shares
    ]
    best = int(np.argmin(losses))
    return float(shares[best]) if losses[best] < (1 - _LEAST_GAIN) * losses[0] else 0.0
