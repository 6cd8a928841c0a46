"""What pairs of times say: the ratio of their medians, and the interval that it is in with 95 %."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_RESAMPLED = 2000


@dataclass(frozen=True)
class Speedup:
    """How many times faster.

    Attributes:
        ratio: of the medians.
        low: end of the interval of 95 %.
        high: end of the interval of 95 %.
    """

    ratio: float
    low: float
    high: float


def speedup(pairs: Sequence[tuple[float, float]]) -> Speedup:
    """Of the times before and after, by a bootstrap over pairs; its seed is fixed.

    Args:
        pairs: seconds before and after, at least one.
    """
    times = np.asarray(pairs, dtype=float)
    generator = np.random.default_rng(0)
    rows = generator.integers(0, len(times), size=(_RESAMPLED, len(times)))
    medians = np.median(times[rows], axis=1)
    ratios = medians[:, 0] / medians[:, 1]
    middle = np.median(times, axis=0)
    low, high = np.percentile(ratios, [2.5, 97.5])
    return Speedup(float(middle[0] / middle[1]), float(low), float(high))
