"""Sum: each present input adds its projected vector. No interaction between inputs: cheap, and hard to overfit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from torch import nn

from tonggan.fusion.base import FusionConfig
from tonggan.fusion.pooled import ProjectedInputs, one_token
from tonggan.tokens import Tokens


class SumConfig(FusionConfig):
    """Add the pooled, projected vectors of the present inputs."""

    kind: Literal["sum"] = "sum"

    def build(self, names: Sequence[str], *, dim: int) -> Sum:
        return Sum(names, dim=dim)


class Sum(nn.Module):
    """One token: the sum of the projected vectors of the present inputs."""

    def __init__(self, names: Sequence[str], *, dim: int) -> None:
        super().__init__()
        self.inputs = ProjectedInputs(names, dim=dim)

    def forward(self, tokens: Mapping[str, Tokens]) -> Tokens:
        projected, present = self.inputs(tokens)
        return one_token(projected.sum(dim=1), present)
