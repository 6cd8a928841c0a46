"""Gated: a small network reads all inputs and which are present, and weighs each input anew for each row and feature.

Gated Multimodal Units (Arevalo et al. 2017), for any number of inputs and any presence pattern.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from tonggan.fusion.base import FusionConfig
from tonggan.fusion.pooled import ProjectedInputs, one_token, softmax_present
from tonggan.layers.mlp import MLP
from tonggan.tokens import Tokens


class GatedConfig(FusionConfig):
    """A meta-network weighs the inputs for each row."""

    kind: Literal["gated"] = "gated"
    hidden_ratio: float = Field(default=2.0, gt=0)
    """Hidden width of the meta-network, as a multiple of the width."""
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Dropout probability of the meta-network's hidden activations in training."""

    def build(self, names: Sequence[str], *, dim: int) -> Gated:
        return Gated(self, names, dim=dim)


class Gated(nn.Module):
    """One token: for each feature, a mean of ``tanh`` of the projected vectors under the gates of that row."""

    def __init__(self, config: GatedConfig, names: Sequence[str], *, dim: int) -> None:
        super().__init__()
        self.inputs = ProjectedInputs(names, dim=dim)
        hidden = round(dim * config.hidden_ratio)
        # Each input enters with its vector and its presence.
        self.meta = MLP(len(names) * (dim + 1), hidden=hidden, out=len(names) * dim, dropout=config.dropout)

    def forward(self, tokens: Mapping[str, Tokens]) -> Tokens:
        projected, present = self.inputs(tokens)
        fused = (self.gates(projected, present) * projected.tanh()).sum(dim=1)
        return one_token(fused, present)

    def gates(self, projected: Tensor, present: Tensor) -> Tensor:
        """``[B, M, D]``: weights that add up to 1 over the present inputs of each row, 0 for the absent."""
        seen = torch.cat([projected.flatten(1), present.to(projected.dtype)], dim=1)
        logits = self.meta(seen).view_as(projected)
        return softmax_present(logits, present.unsqueeze(-1))
