"""Whether a count is more than chance explains, given another count of the same thing."""

from __future__ import annotations

import math

CHANCE = 0.01
"""That a difference at least as large is chance."""


def is_surprising(count: int, total: int, *, before: int, out_of: int, more: float = 0.0) -> bool:
    """Whether ``count`` of ``total`` is more than ``before`` of ``out_of`` lets expect, give or take its own chance.

    ``more`` is how many there may have been by bad luck where ``before`` is 0; with 0 a single one is a surprise.
    """
    if count == 0 or out_of == 0:
        return False
    expected = total * min(1.0, (before + 2 * math.sqrt(before) + more) / out_of)
    return _poisson_tail(count, expected) < CHANCE


def _poisson_tail(count: int, mean: float) -> float:
    """The chance of ``count`` or more events, of which ``mean`` are expected."""
    if mean == 0:
        return 0.0
    if count > 1_000:  # the normal approximation is good, and the sum would be long
        return 0.5 * math.erfc((count - 0.5 - mean) / math.sqrt(2 * mean))
    terms = (math.exp(events * math.log(mean) - mean - math.lgamma(events + 1)) for events in range(count))
    return max(0.0, 1.0 - math.fsum(terms))
