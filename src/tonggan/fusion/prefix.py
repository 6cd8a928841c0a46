"""Prefix: all tokens of all inputs side by side, each input through a projector of its own, for a decoder to read.

Nothing is averaged and no input speaks to another: that is the work of the decoder that reads the prefix (Flamingo's
resampler and LLaVA's projector, Alayrac et al. 2022, Liu et al. 2023, are the projectors here).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from tonggan.fusion.base import FusionConfig
from tonggan.layers.attention import Attention
from tonggan.layers.mlp import MLP
from tonggan.tokens import Tokens


class PrefixConfig(FusionConfig):
    """Every input's tokens in a row, in the order of the inputs."""

    kind: Literal["prefix"] = "prefix"
    projector: Literal["linear", "mlp", "queries"] = "linear"
    """What projects tokens into the decoder's space: a linear map, a perceptron, or learned queries that attend to
    them."""
    num_queries: int = Field(default=16, ge=1)
    """Number of queries, and so of tokens of each input, however long it is; for 'queries' only."""
    num_heads: int = Field(default=4, ge=1)
    """Attention heads of the queries; for 'queries' only."""
    scale: float = Field(default=1.0, gt=0)
    """Initial standard deviation of projected tokens; best set to that of the decoder's own embeddings."""
    verbatim: list[str] = Field(default_factory=list)
    """Inputs that are already in the decoder's space, such as texts in its own tokens."""

    def build(self, names: Sequence[str], *, dim: int) -> Prefix:
        return Prefix(self, names, dim=dim)


class Prefix(nn.Module):
    """``{name: Tokens}`` to Tokens ``[B, sum of lengths, dim]``."""

    def __init__(self, config: PrefixConfig, names: Sequence[str], *, dim: int) -> None:
        super().__init__()
        self.names = tuple(names)
        self.projectors = nn.ModuleList(
            nn.Identity() if name in config.verbatim else _build_projector(config, dim) for name in names
        )

    def forward(self, tokens: Mapping[str, Tokens]) -> Tokens:
        """All inputs' tokens, projected, in the order of ``names``."""
        return Tokens.concat(
            [projector(tokens[name]) for name, projector in zip(self.names, self.projectors, strict=True)]
        )


def _build_projector(config: PrefixConfig, dim: int) -> nn.Module:
    return _Queries(config, dim) if config.projector == "queries" else _Projector(config, dim)


class _Projector(nn.Module):
    """Each token by itself: normalized, then mapped."""

    def __init__(self, config: PrefixConfig, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.map: nn.Module = nn.Linear(dim, dim) if config.projector == "linear" else MLP(dim, hidden=2 * dim)
        last = self.map if isinstance(self.map, nn.Linear) else self.map[-1]
        _scale(last, config.scale)

    def forward(self, tokens: Tokens) -> Tokens:
        return Tokens(self.map(self.norm(tokens.values)), tokens.mask)


class _Queries(nn.Module):
    """Learned queries that gather what they need from tokens of any number (Perceiver, Jaegle et al. 2021)."""

    def __init__(self, config: PrefixConfig, dim: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(config.num_queries, dim))
        self.norm = nn.LayerNorm(dim)
        self.attention = Attention(dim, num_heads=config.num_heads)
        self.projector = _Projector(config.model_copy(update={"projector": "mlp"}), dim)

    def forward(self, tokens: Tokens) -> Tokens:
        queries = self.queries.expand(tokens.values.shape[0], -1, -1)
        found = queries + self.attention(queries, keys=self.norm(tokens.values), mask=tokens.mask)
        present = tokens.present.unsqueeze(1).expand(-1, queries.shape[1])
        projected: Tokens = self.projector(Tokens(found, present))
        return projected


def _scale(layer: nn.Module, scale: float) -> None:
    """Give ``layer``'s outputs this standard deviation for normalized inputs."""
    assert isinstance(layer, nn.Linear)
    nn.init.normal_(layer.weight, std=scale * layer.in_features**-0.5)
    nn.init.zeros_(layer.bias)
