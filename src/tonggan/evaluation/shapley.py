"""Exact Shapley values of the inputs, from the score of every subset of them.

It evaluates no model: the scores come from the subsets table.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from math import factorial

from tonggan.errors import ConfigError


def shapley_values(value: Mapping[frozenset[str], float]) -> dict[str, float]:
    """Each player's average contribution over all orders in which the players may join (Shapley 1953).

    The values sum to the value of all players minus the value of none.

    Args:
        value: the worth of every subset of the players, the empty one included.

    Raises:
        ConfigError: a subset is missing.
    """
    players = sorted(frozenset().union(*value))
    total = len(players)
    missing = 2**total - len(value)
    if missing:
        raise ConfigError(
            "Shapley values",
            got=f"{len(value)} subsets",
            expected=f"all {2**total} subsets of {', '.join(players) or 'no players'}",
            remedy="Evaluate the missing subsets",
        )
    result = dict.fromkeys(players, 0.0)
    for player in players:
        others = [other for other in players if other != player]
        for size in range(total):
            weight = factorial(size) * factorial(total - size - 1) / factorial(total)
            for chosen in combinations(others, size):
                without = frozenset(chosen)
                result[player] += weight * (value[without | {player}] - value[without])
    return result
