"""Which rows go through a model together. It moves no tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def rows_of_like_length(lengths: Sequence[int], *, max_tokens: int) -> Iterator[list[int]]:
    """Numbers of rows in batches, the longest rows first: as many as hold ``max_tokens`` with their padding.

    A row that is longer than that comes alone. Memory and caches want small batches, matrix products want large ones.

    Args:
        lengths: of the rows, in tokens.
        max_tokens: of a batch.
    """
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    while order:
        size = max(1, max_tokens // max(1, lengths[order[0]]))
        yield order[:size]
        order = order[size:]
