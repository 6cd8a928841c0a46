"""FiLM: every input's tokens are scaled and shifted by what the other inputs say (Perez et al. 2018).

Each token is modulated by itself, so a question can pick a place of a picture; what the inputs say together comes from
products of one with another, which sums and concatenations lack. Only then are the tokens of an input averaged, so that
an input of many tokens counts no more than one of few.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from tonggan.fusion.base import FusionConfig
from tonggan.fusion.pooled import ProjectedInputs
from tonggan.layers.mlp import MLP
from tonggan.tokens import Tokens


class FiLMConfig(FusionConfig):
    """Feature-wise linear modulation of each input by the others."""

    kind: Literal["film"] = "film"
    num_layers: int = Field(default=2, ge=1)
    """Modulated residual blocks of each input."""
    hidden_ratio: float = Field(default=2.0, gt=0)
    """Hidden width of a block, as a multiple of the width."""
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Dropout probability of hidden activations in training."""

    def build(self, names: Sequence[str], *, dim: int) -> FiLM:
        return FiLM(self, names, dim=dim)


class FiLM(nn.Module):
    """One token for each input: its tokens, modulated by the pooled others and averaged.

    Where there are no others, the modulation is the identity.
    """

    def __init__(self, config: FiLMConfig, names: Sequence[str], *, dim: int) -> None:
        super().__init__()
        self.names = tuple(names)
        self.inputs = ProjectedInputs(names, dim=dim)
        self.streams = nn.ModuleList(_Stream(config, dim=dim, modulated=len(self.names) > 1) for _ in names)

    def forward(self, tokens: Mapping[str, Tokens]) -> Tokens:
        """``[B, number of inputs, dim]``, in the order of ``names``."""
        projected, present = self.inputs(tokens)
        # [B, M, M]: which inputs speak to which; none to itself, no absent one to any.
        speaks = present.unsqueeze(1) & ~torch.eye(len(self.names), dtype=torch.bool, device=present.device)
        conditions = speaks.to(projected.dtype) @ projected
        fused = []
        for index, (name, stream) in enumerate(zip(self.names, self.streams, strict=True)):
            values = stream(tokens[name].values, conditions[:, index], speaks[:, index].any(dim=1))
            fused.append(Tokens(values, tokens[name].mask).mean())
        return Tokens(torch.stack(fused, dim=1), present)


class _Stream(nn.Module):
    """The blocks of one input: ``x + mlp(norm(x) * (1 + gamma) + beta)``."""

    def __init__(self, config: FiLMConfig, *, dim: int, modulated: bool) -> None:
        super().__init__()
        hidden = round(dim * config.hidden_ratio)
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(config.num_layers))
        self.blocks = nn.ModuleList(MLP(dim, hidden=hidden, dropout=config.dropout) for _ in range(config.num_layers))
        self.generator = MLP(dim, hidden=dim, out=2 * dim * config.num_layers) if modulated else None

    def forward(self, values: Tensor, condition: Tensor, conditioned: Tensor) -> Tensor:
        """``values`` [B, L, D] under ``condition`` [B, D] in the rows where ``conditioned`` [B] bool."""
        if self.generator is None:
            modulations = values.new_zeros(values.shape[0], 1, 2 * len(self.blocks), values.shape[-1])
        else:
            raw = self.generator(condition).masked_fill(~conditioned.unsqueeze(1), 0)
            modulations = raw.view(raw.shape[0], 1, 2 * len(self.blocks), -1)
        for index, (norm, block) in enumerate(zip(self.norms, self.blocks, strict=True)):
            gamma, beta = modulations[:, :, 2 * index], modulations[:, :, 2 * index + 1]
            values = values + block(norm(values) * (1 + gamma) + beta)
        return values
