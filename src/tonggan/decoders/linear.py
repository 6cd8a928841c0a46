"""The plain head: pool the tokens, normalize, one linear layer, or two with a hidden width.

It knows no task: what its outputs mean is the task's matter.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from tonggan.decoders.base import HeadConfig
from tonggan.decoders.text_format import TextFormat
from tonggan.tokens import Tokens


class LinearHeadConfig(HeadConfig):
    """Mean of the real tokens, then linear layers."""

    kind: Literal["linear"] = "linear"
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Chance that a pooled number is dropped in training."""
    hidden: int | None = Field(default=None, ge=1)
    """Width of a hidden layer; null for none."""

    def build(self, dim: int, *, num_outputs: int, text: TextFormat | None = None) -> LinearHead:
        del text
        return LinearHead(self, dim, num_outputs=num_outputs)


class LinearHead(nn.Module):
    """Tokens ``[B, L, dim]`` to outputs ``[B, num_outputs]``; a row without tokens gives what no input suggests."""

    def __init__(self, config: LinearHeadConfig, dim: int, *, num_outputs: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(config.dropout)
        hidden: list[nn.Module] = []
        if config.hidden is not None:
            hidden = [nn.Linear(dim, config.hidden), nn.GELU(), nn.Dropout(config.dropout)]
        self.layers = nn.Sequential(*hidden, nn.Linear(config.hidden or dim, num_outputs))

    def forward(self, tokens: Tokens) -> Tensor:
        outputs: Tensor = self.layers(self.dropout(self.norm(tokens.mean())))
        return outputs
