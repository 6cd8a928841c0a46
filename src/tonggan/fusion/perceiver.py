"""Perceiver: one stack of latents reads the light tokens of every input, and learned queries decode it.

Inputs have no networks of their own where a recipe names none: patches of pictures, single tokens of texts, frames of
spectra and cells go straight to the latents, which do all the work. Boxes, masks and other answers by place are read
from the picture's feature maps, as with every fusion; what the queries decode modulates them where there is another
input. Texts are written from the decoded tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from tonggan.encoders import AudioTransformerConfig, EncoderConfig, TableEncoderConfig, TextTransformerConfig
from tonggan.encoders.image_vit import ImageViTConfig
from tonggan.fusion.base import FusionConfig
from tonggan.layers.attention import Attention
from tonggan.layers.mlp import MLP
from tonggan.layers.positions import sinusoidal_positions
from tonggan.layers.transformer import TransformerBlock
from tonggan.tokens import Tokens

_LIGHT: Mapping[str, EncoderConfig] = {
    "image": ImageViTConfig(num_layers=0),
    "text": TextTransformerConfig(num_layers=0),
    "audio": AudioTransformerConfig(num_layers=0),
    "table": TableEncoderConfig(num_layers=0),
}


class PerceiverConfig(FusionConfig):
    """Latents read all inputs in turns with a stack of self-attention; queries read the latents (Perceiver IO, Jaegle
    et al. 2021). An input whose encoder is not named gets one without layers.
    """

    kind: Literal["perceiver"] = "perceiver"
    num_latents: int = Field(default=32, ge=1)
    """Number of latents, which all inputs share."""
    num_rounds: int = Field(default=2, ge=1)
    """How often the latents read the inputs."""
    num_layers: int = Field(default=2, ge=1)
    """Blocks of self-attention after each reading."""
    num_queries: int = Field(default=8, ge=1)
    """Number of queries that decode the latents; each becomes one fused token."""
    num_heads: int = Field(default=4, ge=1)
    """Attention heads; the width must be a multiple of them."""
    mlp_ratio: float = Field(default=2.0, gt=0)
    """Hidden width of each block's perceptron, as a multiple of the width."""
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Dropout probability of activations in training."""

    def encoder_for(self, kind: str) -> EncoderConfig | None:
        return _LIGHT.get(kind)

    def build(self, names: Sequence[str], *, dim: int) -> Perceiver:
        return Perceiver(self, names, dim=dim)


class Perceiver(nn.Module):
    """``num_queries`` tokens for each row that has any input; what is absent is not read."""

    def __init__(self, config: PerceiverConfig, names: Sequence[str], *, dim: int) -> None:
        super().__init__()
        self.names = tuple(names)
        self.kinds = nn.Parameter(torch.randn(len(self.names), dim) * 0.5)
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in names)
        self.latents = nn.Parameter(torch.randn(config.num_latents, dim) * 0.5)
        self.queries = nn.Parameter(torch.randn(config.num_queries, dim) * 0.5)
        self.reads = nn.ModuleList(_Read(config, dim=dim) for _ in range(config.num_rounds))
        hidden = round(dim * config.mlp_ratio)
        self.stacks = nn.ModuleList(
            nn.ModuleList(
                TransformerBlock(dim, num_heads=config.num_heads, hidden=hidden, dropout=config.dropout)
                for _ in range(config.num_layers)
            )
            for _ in range(config.num_rounds)
        )
        self.norm = nn.LayerNorm(dim)
        self.decode = _Read(config, dim=dim)

    def forward(self, tokens: Mapping[str, Tokens]) -> Tokens:
        """Tokens of a batch."""
        read = Tokens.concat([self._marked(place, tokens[name]) for place, name in enumerate(self.names)])
        latents = self.latents.expand(len(read), -1, -1)
        everyone = latents.new_ones(latents.shape[:2], dtype=torch.bool)
        for reader, stack in zip(self.reads, self.stacks, strict=True):
            latents = reader(latents, read)
            assert isinstance(stack, nn.ModuleList)
            for block in stack:
                latents = block(latents, everyone)
        queries = self.queries.expand(len(read), -1, -1)
        decoded = self.decode(queries, Tokens(self.norm(latents), everyone))
        return Tokens(decoded, read.present.unsqueeze(1).expand(decoded.shape[:2]))

    def _marked(self, place: int, tokens: Tokens) -> Tokens:
        """The tokens of the input at ``place``, with which one it is and where each of them stands."""
        positions = sinusoidal_positions(tokens.values.shape[1], tokens.dim, device=tokens.values.device)
        values = self.norms[place](tokens.values) + self.kinds[place] + positions.to(tokens.values.dtype)
        return Tokens(values, tokens.mask)


class _Read(nn.Module):
    """``x + attention(norm(x), keys)``, then ``x + mlp(norm(x))``."""

    def __init__(self, config: PerceiverConfig, *, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.attention = Attention(dim, num_heads=config.num_heads, dropout=config.dropout)
        self.mlp_norm = nn.LayerNorm(dim)
        self.mlp = MLP(dim, hidden=round(dim * config.mlp_ratio), dropout=config.dropout)

    def forward(self, values: Tensor, read: Tokens) -> Tensor:
        values = values + self.attention(self.norm(values), mask=read.mask, keys=read.values)
        output: Tensor = values + self.mlp(self.mlp_norm(values))
        return output
