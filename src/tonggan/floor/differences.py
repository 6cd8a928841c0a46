"""What pairs of numbers differ by that say nearly the same: of two times how long it took, of two lengths the shape.

No tree and no standardized column shows it, since it is lost beside what the two have in common.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tonggan.floor.base import Floats
from tonggan.floor.features import Features, Reading
from tonggan.floor.rows import sizes

NAME = "differences of columns"
_ALIKE = 0.98  # correlation
_ROUNDING = 2e-6  # of a standard deviation, by which float32 may be off
_MOST_COLUMNS = 200
_MOST_PAIRS = 12
_MOST_ROWS = 5_000
_LEAST_ROWS = 20


@dataclass(frozen=True, eq=False)
class Differences:
    """Pairs of columns, and the line by which the second follows from the first.

    Attributes:
        pairs: int64 ``[P, 2]``, positions among the numbers of all inputs.
        lines: float64 ``[P, 3]``: slope, intercept, and the spread of what is left.
    """

    pairs: NDArray[np.int64]
    lines: Floats

    @staticmethod
    def fit(features: Features) -> Differences:
        """The pairs most alike that are not the same; of very many columns none are compared."""
        found: list[tuple[int, int]] = []
        numbers = np.zeros((0, 0))
        columns = sum(int((sizes(each) == 0).sum()) for each in features.values() if each.cells is not None)
        if 2 <= columns <= _MOST_COLUMNS:
            numbers = _numbers(features)
            numbers = numbers[:: -(-len(numbers) // _MOST_ROWS)]
            known = ~np.isnan(numbers)
            held = np.where(known, numbers, 0.0)
            held = np.where(known, held - held.sum(0) / np.maximum(known.sum(0), 1), 0.0)
            squares = np.square(held).T @ known.astype(np.float64)
            norms = np.sqrt(np.maximum(squares * squares.T, 1e-30))
            alike = np.triu(np.abs(held.T @ held) / norms * (known.T.astype(np.int64) @ known >= _LEAST_ROWS), 1)
            first, second = np.unravel_index(np.argsort(-alike, axis=None)[: 4 * _MOST_PAIRS], alike.shape)
            found = [pair for pair in zip(first.tolist(), second.tolist(), strict=True) if alike[pair] >= _ALIKE]
        lines = [(pair, *_line(numbers[:, pair[0]], numbers[:, pair[1]])) for pair in found]
        kept = [line for line in lines if line[3] > _ROUNDING][:_MOST_PAIRS]
        return Differences(
            np.array([line[0] for line in kept], dtype=np.int64).reshape(-1, 2),
            np.array([line[1:] for line in kept], dtype=np.float64).reshape(-1, 3),
        )

    def beside(self, features: Features) -> Features:
        """The features and, as an input of its own, what the pairs differ by; NaN where one of the two is absent."""
        if not len(self.pairs):
            return features
        numbers = _numbers(features)
        slopes, intercepts, spreads = self.lines.T
        left = numbers[:, self.pairs[:, 1]] - slopes * numbers[:, self.pairs[:, 0]] - intercepts
        cells = (left / spreads).astype(np.float32)
        return {**features, NAME: Reading(~np.isnan(cells).all(1), cells=cells)}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """For the disk."""
        return {"differences.pairs": self.pairs, "differences.lines": self.lines}

    @staticmethod
    def of(arrays: Mapping[str, NDArray[Any]]) -> Differences:
        """The inverse of ``arrays``."""
        return Differences(arrays["differences.pairs"], arrays["differences.lines"])


def _numbers(features: Features) -> Floats:
    """``[N, C]``: all numbers of all inputs, NaN where one is absent."""
    parts = [np.zeros((len(next(iter(features.values()))), 0))]
    for reading in features.values():
        if reading.cells is not None:
            cells = reading.cells[:, sizes(reading) == 0].astype(np.float64)
            parts.append(np.where(reading.present[:, None], cells, np.nan))
    return np.concatenate(parts, axis=1)


def _line(first: Floats, second: Floats) -> tuple[float, float, float]:
    known = ~(np.isnan(first) | np.isnan(second))
    one, other = first[known], second[known]
    slope = float(((one - one.mean()) * (other - other.mean())).sum() / max(np.square(one - one.mean()).sum(), 1e-30))
    intercept = float(other.mean() - slope * one.mean())
    return slope, intercept, float((other - slope * one - intercept).std())
