"""What the rest of a file says of a rewrite: whether the old and the new stand elsewhere between the same neighbors."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from tonggan.codelm.review.learned.code_graph import CodeGraph
from tonggan.codelm.review.learned.rewrites import Rewrite
from tonggan.codelm.review.learned.surroundings import Surroundings, joined, numbers_of

_MANY = 2  # times that count as often
_SLOTS = ((0, 1, 2), (1, 2, 3), (4, 5, 6), (1, 2))  # phrases at the left, in the middle, at the right, and the shortest
NUM_EVIDENCES = len(_SLOTS) * (_MANY + 1) ** 2
"""Never, once or more often the old, and likewise the new, for each phrase."""


def evidence_of(graph: CodeGraph, rewrites: Sequence[Rewrite], around: Surroundings) -> NDArray[np.int64]:
    """Of each rewrite, ``[R, 4]``, how often four phrases stand elsewhere in the file as they are and as they would be.

    The phrases are three tokens of which the first that is rewritten is the last, or the middle one, three of which the
    last that is rewritten is the first, and the first that is rewritten with the one before.
    """
    numbers = [0, 0, *numbers_of(token.text for token in graph.tokens).tolist(), 0, 0]
    rows = [row for rewrite in rewrites for row in _rows(graph, numbers, rewrite)]
    table = np.array(rows, np.uint32).reshape(-1, 2, 7)
    phrases = np.stack([joined(table[..., list(slot)]) for slot in _SLOTS], axis=1)
    counts = around.counts(phrases).clip(0, _MANY)
    found: NDArray[np.int64] = counts[..., 0] * (_MANY + 1) + counts[..., 1]
    return found + np.arange(len(_SLOTS)) * (_MANY + 1) ** 2


def _rows(graph: CodeGraph, numbers: Sequence[int], rewrite: Rewrite) -> Iterator[list[int]]:
    """The first four and the last three tokens of what is there, with two neighbors at each side, then of the new."""
    spans = [(bisect_left(graph.starts, start), bisect_left(graph.starts, end)) for start, end, _ in rewrite.edits]
    (first, _), (_, last) = spans[0], spans[-1]
    left, right = numbers[first : first + 2], numbers[last + 2 : last + 4]
    old = list(numbers[first + 2 : last + 2])
    if len(spans) == 2:  # two arguments in each other's place
        (start, middle), (after, end) = ((one + 2, other + 2) for one, other in spans)
        new = [*numbers[after:end], *numbers[middle:after], *numbers[start:middle]]
    else:
        new = numbers_of(rewrite.edits[0][2].split()).tolist()
    for inner in (old, new):
        whole = [*left, *inner, *right]
        yield [*whole[:4], *whole[-3:]]
