"""Large batches in little memory: pairs are compared all together, and go through the encoder piece by piece.

The vectors of all pieces are computed without what a backward pass needs; the loss compares them, and on the way back
each piece is computed a second time, by itself (GradCache, Gao et al. 2021). The gradient is that of the whole batch;
the price is a second forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

_PieceT = TypeVar("_PieceT")


def in_pieces(encode: Callable[[_PieceT], Tensor], pieces: Sequence[_PieceT]) -> Tensor:
    """``encode`` of each piece, one after the other ``[B, D]``; a single piece, or one without gradients, as it is.

    Dropout is the same both times.
    """
    if len(pieces) == 1 or not torch.is_grad_enabled():
        return torch.cat([encode(piece) for piece in pieces])
    return torch.cat([checkpoint(encode, piece, use_reentrant=False) for piece in pieces])
