"""Scales of a column of numbers that a few wild cells cannot move.

A mistyped cell, or a sentinel such as -9999, would otherwise set mean and deviation, and all real numbers would become
one. Columns without numbers far from the others get their plain mean and deviation.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

# A normal distribution has half of its values within so many deviations.
_NORMAL_HALF = 1.349
# Numbers farther from the center, in widths, take no part in mean and deviation.
_FAR = 10.0
# Wild is what lies so many times as far from the center as the farthest of the others,
_WILD_RATIO = 8.0
# and is no more than this share of the column: an input may have many sentinels, a frequent target is to be learned.
WILD_SHARE = 0.2
WILD_TARGET_SHARE = 0.02
_FEW = 2
# Among fewer numbers than these, what lies far out is no exception yet.
_ENOUGH = 20
_SAMPLE_SIZE = 131_072


class Spread(NamedTuple):
    """Where most numbers of a column lie: center, and width as a deviation."""

    center: float
    width: float

    def distances(self, numbers: FloatArray) -> FloatArray:
        """How far each of ``numbers`` is from the center."""
        with np.errstate(over="ignore"):
            return np.abs(numbers - self.center)

    def is_far(self, numbers: FloatArray) -> NDArray[np.bool_]:
        """Which of ``numbers`` lie so far out that they may be wild."""
        return np.asarray(self.distances(numbers) > _FAR * self.width)


class Sample:
    """A fair sample of a stream of numbers: all of them up to 131,072, then so many at random, the same each time."""

    def __init__(self) -> None:
        self._generator = np.random.default_rng(0)
        self._keys: FloatArray = np.empty(0)
        self.values: FloatArray = np.empty(0)

    def add(self, numbers: Any) -> None:
        """Take the next ``numbers``; NaN is left out."""
        numbers = np.asarray(numbers, dtype=np.float64)
        numbers = numbers[~np.isnan(numbers)]
        keys = np.concatenate([self._keys, self._generator.random(len(numbers))])
        values = np.concatenate([self.values, numbers])
        if len(keys) > _SAMPLE_SIZE:
            kept = np.argpartition(keys, _SAMPLE_SIZE)[:_SAMPLE_SIZE]
            keys, values = keys[kept], values[kept]
        self._keys, self.values = keys, values


def spread_of(numbers: FloatArray) -> Spread:
    """The densest half of ``numbers`` (the shorth, Andrews et al. 1972), which the other half cannot move.

    Where one value fills half of a column, such as 0, it is the spread of the others that counts; (0, 1) of none.
    """
    values = np.sort(numbers)
    if len(values) == 0:
        return Spread(0.0, 1.0)
    half = (len(values) + 1) // 2
    lengths = values[half - 1 :] - values[: len(values) - half + 1]
    first = int(lengths.argmin())
    if lengths[first] > 0:
        return Spread(float(values[first] + lengths[first] / 2), float(lengths[first]) / _NORMAL_HALF)
    common = values[first]
    others = values[values != common]
    if len(others) == 0:
        return Spread(float(common), 1.0)
    if others[0] == others[-1]:
        return Spread(float(common), float(abs(others[0] - common)))
    return spread_of(others)


def mean_and_deviation(numbers: FloatArray) -> tuple[float, float]:
    """Of ``numbers`` without those far out; (0, 1) of none, deviation 1 of a constant."""
    near = numbers[~spread_of(numbers).is_far(numbers)]
    if len(near) == 0:
        return 0.0, 1.0
    deviation = float(near.std())
    return float(near.mean()), deviation if deviation > 0 else 1.0


def wild_distance(distances: FloatArray, spread: Spread, *, total: int, share: float) -> float:
    """The distance from the center beyond which a number of this column is wild; at least 10 widths.

    Args:
        distances: of the column's numbers from the center; those within 10 widths may be left out but for the farthest.
        spread: of the column.
        total: how many numbers the column has.
        share: of them that may be wild; two always may.
    """
    ordered = np.sort(distances[distances > _FAR * spread.width])
    near = distances[distances <= _FAR * spread.width]
    before = np.concatenate([[near.max(initial=0.0)], ordered])
    for place, distance in enumerate(ordered if total >= _ENOUGH else ()):
        if distance >= _WILD_RATIO * before[place] and len(ordered) - place <= max(_FEW, share * total):
            return max(_FAR * spread.width, float(before[place]) * _WILD_RATIO * (1 - 1e-9))
    return max(_FAR * spread.width, float(before[-1]) * _WILD_RATIO)
