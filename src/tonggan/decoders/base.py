"""What every head is: it reads what encoders and fusion have made of some rows, predicts, and owns its losses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from tonggan.decoders.answers import TARGET, Answer
from tonggan.parts import Part
from tonggan.tokens import Arrays, Prediction, Tokens


@dataclass(frozen=True)
class Context:
    """What a head may read of some rows.

    Attributes:
        tokens: the fused ones.
        encoded: those of each input, with the feature maps of pictures.
        inputs: the arrays that they were made of, which know the geometry of pictures.
    """

    tokens: Tokens
    encoded: Mapping[str, Tokens]
    inputs: Mapping[str, Arrays]


class Head(nn.Module, ABC):
    """From a Context to a Prediction."""

    @abstractmethod
    def forward(self, context: Context, targets: Mapping[str, Arrays] | None = None) -> Prediction:
        """What is said of each row; with ``targets`` also ``loss`` ``[B]``, the loss of each, where rows have one."""

    @abstractmethod
    def losses(self, context: Context, targets: Mapping[str, Arrays]) -> dict[str, Tensor]:
        """The means over the batch of each loss, scalars by name; a row without a target counts for nothing."""

    def weight(self, targets: Mapping[str, Arrays]) -> float:
        """Over how much the losses are means: the rows that have a target."""
        return float(targets[TARGET].present.sum())


class HeadConfig(Part):
    """From what was encoded and fused to a prediction.

    Attributes:
        gives: the form of the answer.
        is_default: whether a task that asks for such an answer gets it where a recipe names no head.
    """

    default_kind: ClassVar[str | None] = "linear"
    gives: ClassVar[type[Answer]]
    is_default: ClassVar[bool] = False

    @abstractmethod
    def build(self, dim: int, *, answer: Any, encoders: Mapping[str, nn.Module]) -> Head:
        """The head over Tokens of width ``dim``, with new random weights.

        Args:
            dim: of the Tokens.
            answer: what the task asks for, of the type ``gives``.
            encoders: of the inputs, by name.

        Raises:
            ConfigError: its other options do not fit the width, the answer or the encoders.
        """


def default_head(answer: type[Answer]) -> HeadConfig:
    """The head that gives such an answer where a recipe names none."""
    kinds = HeadConfig.family().items()
    return next(
        HeadConfig.model_validate({"kind": kind}) for kind, each in kinds if each.gives is answer and each.is_default
    )
