"""Encode the rows that are there and leave the others out, so that absence costs nothing and touches no statistics."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from tonggan.tokens import Masked, Tokens

_MaskedT = TypeVar("_MaskedT", bound=Masked)


def encode_present(part: _MaskedT, encode: Callable[[_MaskedT], Tokens]) -> Tokens:
    """``encode`` of the present rows of ``part``, put back at their places; absent rows are zeros under a False mask.

    ``encode`` is called even when no row is present, with zero rows, so that every parameter takes part in each step.
    """
    present = part.present
    # A graph that is exported takes the same way whatever it reads: what it makes of absent rows is under their mask.
    if torch.compiler.is_exporting() or present.all():
        return encode(part)
    rows = present.nonzero().squeeze(1)
    found = encode(part.take(rows))
    values, mask, *maps = (_put_back(each, rows, len(part)) for each in (found.values, found.mask, *found.maps))
    return Tokens(values, mask, maps)


def _put_back(part: Tensor, rows: Tensor, num_rows: int) -> Tensor:
    return torch.zeros((num_rows, *part.shape[1:]), dtype=part.dtype, device=part.device).index_copy(0, rows, part)
