"""The plain head: pool the tokens, normalize, one linear layer, or two with a hidden width.

It knows no task: what its outputs mean is the task's matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from tonggan.decoders.answers import TARGET, Answer, Vector
from tonggan.decoders.base import Context, Head, HeadConfig
from tonggan.layers.precision import in_float32
from tonggan.tokens import Arrays, Prediction, Tokens


class LinearHeadConfig(HeadConfig):
    """Mean of the real tokens, then linear layers."""

    gives: ClassVar[type[Answer]] = Vector
    is_default: ClassVar[bool] = True
    kind: Literal["linear"] = "linear"
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Dropout probability of the pooled vector in training."""
    hidden: int | None = Field(default=None, ge=1)
    """Width of a hidden layer; null for none."""

    def build(self, dim: int, *, answer: Vector, encoders: Mapping[str, nn.Module] | None = None) -> LinearHead:
        del encoders
        return LinearHead(self, dim, answer=answer)


class LinearHead(Head):
    """Tokens ``[B, L, dim]`` to ``outputs`` ``[B, size]``; a row without tokens gives what no input suggests."""

    def __init__(self, config: LinearHeadConfig, dim: int, *, answer: Vector) -> None:
        super().__init__()
        self.answer = answer
        self.norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(config.dropout)
        hidden: list[nn.Module] = []
        if config.hidden is not None:
            hidden = [nn.Linear(dim, config.hidden), nn.GELU(), nn.Dropout(config.dropout)]
        self.layers = nn.Sequential(*hidden, nn.Linear(config.hidden or dim, answer.size))

    def forward(self, context: Context, targets: Mapping[str, Arrays] | None = None) -> Prediction:
        outputs = self.read(context.tokens)
        found: dict[str, Any] = {"outputs": outputs}
        if targets:
            found["loss"] = self._row_losses(outputs, targets[TARGET])
        return Prediction(found)

    def losses(self, context: Context, targets: Mapping[str, Arrays]) -> dict[str, Tensor]:
        return {"loss": self.loss_of(context.tokens, targets[TARGET])}

    def read(self, tokens: Tokens) -> Tensor:
        """``[B, size]``."""
        outputs: Tensor = self.layers(self.dropout(self.norm(tokens.mean())))
        return outputs

    def loss_of(self, tokens: Tokens, target: Arrays) -> Tensor:
        """The mean loss of the rows that have a target; 0 where none has."""
        rows = self._row_losses(self.read(tokens), target)
        return rows.sum() / target.present.sum().clamp(min=1)

    def _row_losses(self, outputs: Tensor, target: Arrays) -> Tensor:
        present = target.present
        # What stands in the place of an absent target may be no class, or no number: no gradient would survive it.
        known = target.values.masked_fill(~present.view(-1, *(1,) * (target.values.dim() - 1)), 0)
        with in_float32(outputs.device):
            return self.answer.loss(outputs.float(), known).masked_fill(~present, 0)
