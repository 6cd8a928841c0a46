"""Deep fusion: concatenation, then a residual perceptron that can learn any interaction of the pooled vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field
from torch import nn

from tonggan.fusion.base import FusionConfig
from tonggan.fusion.concat import Concat
from tonggan.layers.mlp import MLP
from tonggan.tokens import Tokens


class MLPConfig(FusionConfig):
    """Concatenate the pooled vectors, then residual layers."""

    kind: Literal["mlp"] = "mlp"
    num_layers: int = Field(default=3, ge=1)
    """Residual blocks after the concatenation."""
    hidden_ratio: float = Field(default=4.0, gt=0)
    """Hidden width of a block, as a multiple of the width."""
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Dropout probability of hidden activations in training."""

    def build(self, names: Sequence[str], *, dim: int) -> DeepFusion:
        return DeepFusion(self, names, dim=dim)


class DeepFusion(nn.Module):
    """One token: concatenation, then ``x + mlp(norm(x))`` for each layer."""

    def __init__(self, config: MLPConfig, names: Sequence[str], *, dim: int) -> None:
        super().__init__()
        self.concat = Concat(names, dim=dim)
        hidden = round(dim * config.hidden_ratio)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(dim), MLP(dim, hidden=hidden, dropout=config.dropout))
            for _ in range(config.num_layers)
        )

    def forward(self, tokens: Mapping[str, Tokens]) -> Tokens:
        fused: Tokens = self.concat(tokens)
        values = fused.values
        for block in self.blocks:
            values = values + block(values)
        return Tokens(values, fused.mask)
