"""Encode the rows that are there and leave the others out, so that absence costs nothing and touches no statistics."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tonggan.tokens import Arrays, Tokens


def encode_present(arrays: Arrays, encode: Callable[[Arrays], Tokens]) -> Tokens:
    """``encode`` of the present rows of ``arrays``, put back at their places; absent rows are zeros under a False mask.

    ``encode`` is called even when no row is present, with zero rows, so that every parameter takes part in each step.
    """
    present = arrays.present
    if present.all():
        return encode(arrays)
    rows = present.nonzero().squeeze(1)
    found = encode(arrays.take(rows))
    return Tokens(_put_back(found.values, rows, len(arrays)), _put_back(found.mask, rows, len(arrays)))


def _put_back(part: Tensor, rows: Tensor, num_rows: int) -> Tensor:
    return torch.zeros((num_rows, *part.shape[1:]), dtype=part.dtype, device=part.device).index_copy(0, rows, part)
