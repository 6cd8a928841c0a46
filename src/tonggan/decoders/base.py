"""What every head's config says: whether it writes text, and how it is built."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from torch import nn

from tonggan.decoders.text_format import TextFormat
from tonggan.parts import Part


class HeadConfig(Part):
    """From fused Tokens to a prediction.

    Attributes:
        writes: whether the prediction is a text.
    """

    default_kind: ClassVar[str | None] = "linear"
    writes: ClassVar[bool] = False

    @abstractmethod
    def build(self, dim: int, *, num_outputs: int, text: TextFormat | None = None) -> nn.Module:
        """The head over Tokens of width ``dim``, with new random weights.

        Args:
            dim: of the Tokens.
            num_outputs: width of the outputs.
            text: of a head that writes, what it writes.

        Raises:
            ConfigError: its other options do not fit the width.
        """
