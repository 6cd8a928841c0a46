"""What every encoder's config says: which modality it reads, and how it is built."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn

from tonggan.modalities.base import InputConfig
from tonggan.parts import Part


class EncoderConfig(Part):
    """From the Arrays of one modality to Tokens.

    Attributes:
        reads: the kind of modality.
        converts: kinds of input that ``prepare`` makes such a one of.
        is_default: whether an input of that modality gets it where a recipe names none.
        free: settings by path that its weights do not depend on, so that an encoder may start from the weights of one
            where they are others.
    """

    reads: ClassVar[str]
    converts: ClassVar[tuple[str, ...]] = ()
    is_default: ClassVar[bool] = False
    free: ClassVar[tuple[str, ...]] = ("dropout",)

    def prepare(self, modality: InputConfig) -> InputConfig:
        """The config of an input that this encoder reads: as it is, or e.g. in the tokens of pretrained weights."""
        return modality

    @property
    def base(self) -> Mapping[str, str]:
        """``name`` and ``sha256`` of the pretrained weights that it builds on, which no bundle holds; nothing of none.

        Raises:
            ConfigError, DataError, MissingExtraError: they are not there, or damaged.
        """
        return {}

    @abstractmethod
    def build(self, modality: Any, *, dim: int) -> nn.Module:
        """The encoder of a fitted ``modality``, with new random weights: it maps Arrays to Tokens of width ``dim``.

        Five attributes of the module are read where they are there. Two are names of its children or parameters:
        ``undecayed``, what weight decay leaves alone, and ``ends``, what comes after the trunk: when an encoder starts
        from another one's weights, these alone may be of another width. ``learning_rate_scales`` has factors of the
        learning rate by the full names of parameters. Where ``adapts`` is True, ``adapt`` gets Arrays of some rows of
        the training part before training begins, ``adapted_rows`` at the most.
        """
