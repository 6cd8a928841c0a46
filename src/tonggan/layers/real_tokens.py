"""What is computed of each token by itself, computed of the real ones alone: padding costs nothing."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# Below this share of real tokens, what is saved is more than picking them and putting them back takes.
_WORTH_IT = 0.9


def add_to_real(values: Tensor, branch: Callable[[Tensor], Tensor], mask: Tensor) -> Tensor:
    """``values + branch(values)``, ``[B, L, D]``, where ``mask`` [B, L] is True; elsewhere ``branch`` may be left out.

    Args:
        values: tokens.
        branch: maps ``[..., D]`` to the same shape, each token by itself.
        mask: which tokens are real.
    """
    # A graph computes all tokens, whatever it reads; other devices would wait for the count of real ones.
    if values.device.type != "cpu" or torch.compiler.is_compiling() or mask.sum() > _WORTH_IT * mask.numel():
        return values + branch(values)
    rows = mask.flatten().nonzero().squeeze(1)
    tokens = values.flatten(0, 1)
    found = branch(tokens.index_select(0, rows)).to(tokens.dtype)  # mixed precision makes it narrower
    return torch.unflatten(tokens.index_add(0, rows, found), 0, mask.shape)
