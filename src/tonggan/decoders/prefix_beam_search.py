"""The most probable text under CTC's frame-by-frame probabilities, all ways to spell it summed (Graves 2012).

It knows no language model and no words; one row at a time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_Prefix = tuple[int, ...]


def prefix_beam_search(probabilities: NDArray[np.floating], *, blank: int, beam: int) -> list[int]:
    """Ids of the best text found, without blanks.

    Each prefix keeps the probability of its spellings that end in a blank apart from those that end in its last id,
    which must not be written twice without a blank between (Hannun et al. 2014). Of a frame only the ids are read that
    can matter: the ``beam + 1`` most probable ones, and those that lead from one kept prefix to another.

    Args:
        probabilities: ``[L, V + 1]`` of the frames of one row, L may be 0.
        blank: the place of the blank.
        beam: prefixes that are kept after each frame.
    """
    likely = np.argsort(-np.delete(probabilities, blank, axis=1), axis=1, kind="stable")[:, : beam + 1]
    likely += likely >= blank  # back to the numbers before the blank was left out
    kept: dict[_Prefix, tuple[float, float]] = {(): (1.0, 0.0)}
    for frame, best in zip(probabilities.astype(np.float64), likely.tolist(), strict=True):
        grown = _grow(kept, frame.tolist(), blank=blank, ids={*best, *(prefix[-1] for prefix in kept if prefix)})
        ranked = sorted(grown.items(), key=lambda item: -sum(item[1]))[:beam]
        scale = sum(ranked[0][1]) or 1.0  # only ratios matter, and products of many frames would vanish
        kept = {prefix: (ends_blank / scale, ends_id / scale) for prefix, (ends_blank, ends_id) in ranked}
    return list(next(iter(kept)))  # they stand in order, the best first


def _grow(
    kept: dict[_Prefix, tuple[float, float]], frame: list[float], *, blank: int, ids: set[int]
) -> dict[_Prefix, tuple[float, float]]:
    """Every prefix that one more frame can give, with its two probabilities."""
    grown: dict[_Prefix, tuple[float, float]] = {}

    def add(prefix: _Prefix, *, ends_blank: float = 0.0, ends_id: float = 0.0) -> None:
        before = grown.get(prefix, (0.0, 0.0))
        grown[prefix] = before[0] + ends_blank, before[1] + ends_id

    for prefix, (ends_blank, ends_id) in kept.items():
        either = ends_blank + ends_id
        last = prefix[-1] if prefix else None
        add(prefix, ends_blank=either * frame[blank])
        for token in ids:
            if token == last:
                add(prefix, ends_id=ends_id * frame[token])
                add((*prefix, token), ends_id=ends_blank * frame[token])
            else:
                add((*prefix, token), ends_id=either * frame[token])
    return grown
