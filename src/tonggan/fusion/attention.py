"""Attention: learned latents gather from all tokens of all inputs, then talk among themselves.

A Perceiver (Jaegle et al. 2021): the cost grows with the number of tokens, not with its square.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from tonggan.fusion.base import FusionConfig
from tonggan.layers.attention import Attention
from tonggan.layers.transformer import TransformerBlock
from tonggan.tokens import Tokens


class AttentionConfig(FusionConfig):
    """Cross-attention from learned latents to all tokens, and self-attention among the latents."""

    kind: Literal["attention"] = "attention"
    num_latents: int = Field(default=8, ge=1)
    """Learned latents; each becomes one fused token."""
    num_layers: int = Field(default=2, ge=1)
    """Rounds of cross-attention followed by self-attention."""
    num_heads: int = Field(default=4, ge=1)
    """Attention heads; the width must be a multiple of them."""
    mlp_ratio: float = Field(default=2.0, gt=0)
    """Hidden width of each block's perceptron, as a multiple of the width."""
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Dropout probability of activations in training."""

    def build(self, names: Sequence[str], *, dim: int) -> AttentionFusion:
        return AttentionFusion(self, names, dim=dim)


class AttentionFusion(nn.Module):
    """``num_latents`` tokens for each row that has any input."""

    def __init__(self, config: AttentionConfig, names: Sequence[str], *, dim: int) -> None:
        super().__init__()
        self.names = tuple(names)
        self.latents = nn.Parameter(torch.randn(config.num_latents, dim))
        self.kinds = nn.Parameter(torch.randn(len(self.names), dim))
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in names)
        self.rounds = nn.ModuleList(_Round(config, dim=dim) for _ in range(config.num_layers))

    def forward(self, tokens: Mapping[str, Tokens]) -> Tokens:
        parts = []
        for name, norm, kind in zip(self.names, self.norms, self.kinds, strict=True):
            parts.append(Tokens(norm(tokens[name].values) + kind, tokens[name].mask))
        read = Tokens.concat(parts)
        latents = self.latents.expand(read.values.shape[0], -1, -1)
        for part in self.rounds:
            latents = part(latents, read)
        return Tokens(latents, read.present.unsqueeze(1).expand(latents.shape[:2]))


class _Round(nn.Module):
    """Latents read all tokens, then each other."""

    def __init__(self, config: AttentionConfig, *, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.cross = Attention(dim, num_heads=config.num_heads, dropout=config.dropout)
        hidden = round(dim * config.mlp_ratio)
        self.block = TransformerBlock(dim, num_heads=config.num_heads, hidden=hidden, dropout=config.dropout)

    def forward(self, latents: Tensor, read: Tokens) -> Tensor:
        latents = latents + self.cross(self.norm(latents), mask=read.mask, keys=read.values)
        everyone = latents.new_ones(latents.shape[:2], dtype=torch.bool)
        output: Tensor = self.block(latents, everyone)
        return output
