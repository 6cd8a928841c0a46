"""What every fusion's config says: how it is built."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from torch import nn

from tonggan.encoders import EncoderConfig
from tonggan.parts import Part


class FusionConfig(Part):
    """From the Tokens of several inputs to one."""

    default_kind: ClassVar[str | None] = "film"

    def encoder_for(self, kind: str) -> EncoderConfig | None:  # noqa: ARG002
        """What reads an input of that kind of modality where a recipe names no encoder; None is the kind's default."""
        return None

    @abstractmethod
    def build(self, names: Sequence[str], *, dim: int) -> nn.Module:
        """The fusion of the inputs ``names``, with new random weights: it maps ``{name: Tokens}`` to Tokens."""
