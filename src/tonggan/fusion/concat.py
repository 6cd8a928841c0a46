"""Concatenation: all inputs' vectors side by side, then one linear layer. ``mlp`` goes deeper from there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import nn

from tonggan.fusion.base import FusionConfig
from tonggan.fusion.pooled import PooledInputs, one_token
from tonggan.tokens import Tokens


class ConcatConfig(FusionConfig):
    """Concatenate the pooled vectors and map them linearly."""

    kind: Literal["concat"] = "concat"

    def build(self, names: Sequence[str], *, dim: int) -> Concat:
        return Concat(names, dim=dim)


class Concat(nn.Module):
    """One token from the concatenated vectors; a learned vector stands where an input is absent."""

    def __init__(self, names: Sequence[str], *, dim: int) -> None:
        super().__init__()
        self.inputs = PooledInputs(names, dim=dim)
        self.absent = nn.Parameter(0.02 * torch.randn(len(names), dim))
        self.linear = nn.Linear(len(names) * dim, dim)

    def forward(self, tokens: Mapping[str, Tokens]) -> Tokens:
        pooled, present = self.inputs(tokens)
        filled = torch.where(present.unsqueeze(-1), pooled, self.absent)  # [B, M, D]
        return one_token(self.linear(filled.flatten(1)), present)
