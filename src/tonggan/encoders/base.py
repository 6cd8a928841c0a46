"""What every encoder's config says: which modality it reads, and how it is built."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from torch import nn

from tonggan.parts import Part


class EncoderConfig(Part):
    """From the Arrays of one modality to Tokens.

    Attributes:
        reads: the kind of modality.
        is_default: whether an input of that modality gets it where a recipe names none.
    """

    reads: ClassVar[str]
    is_default: ClassVar[bool] = False

    @abstractmethod
    def build(self, modality: Any, *, dim: int) -> nn.Module:
        """The encoder of a fitted ``modality``, with new random weights: it maps Arrays to Tokens of width ``dim``."""
