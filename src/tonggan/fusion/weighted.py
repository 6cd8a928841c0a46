"""Weighted: a mean of the inputs under one learned weight each, the same for every row; ``gated`` weighs row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import nn

from tonggan.fusion.base import FusionConfig
from tonggan.fusion.pooled import ProjectedInputs, one_token, softmax_present
from tonggan.tokens import Tokens


class WeightedConfig(FusionConfig):
    """A learned weight for each input, shared by all rows."""

    kind: Literal["weighted"] = "weighted"

    def build(self, names: Sequence[str], *, dim: int) -> Weighted:
        return Weighted(names, dim=dim)


class Weighted(nn.Module):
    """One token: the mean of the projected vectors, weighted by a softmax over the present inputs."""

    def __init__(self, names: Sequence[str], *, dim: int) -> None:
        super().__init__()
        self.inputs = ProjectedInputs(names, dim=dim)
        self.logits = nn.Parameter(torch.zeros(len(names)))

    def forward(self, tokens: Mapping[str, Tokens]) -> Tokens:
        projected, present = self.inputs(tokens)
        weights = softmax_present(self.logits.expand(present.shape), present)  # [B, M]
        return one_token((weights.unsqueeze(-1) * projected).sum(dim=1), present)
