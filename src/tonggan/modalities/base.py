"""What every modality can do: turn one column's values into padded Arrays, and remember what it learned to do so.

A Modality holds no weights. It is built from its column's config, fitted on the training part where it learns
something (a tokenizer, means and deviations), and saved inside the bundle as plain JSON.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from tonggan.config import Config
from tonggan.parts import Part
from tonggan.tokens import Arrays

ConfigT = TypeVar("ConfigT", bound=Config)


class ColumnConfig(Part):
    """What one column of a table is."""


class InputConfig(Part):
    """What one input of a model is: a column with a modality of its own, or several columns together."""

    @abstractmethod
    def build(self) -> Modality[Any]:
        """The modality, to be fitted."""


class Modality(ABC, Generic[ConfigT]):
    """One input of a model: how its values become Arrays."""

    kind: ClassVar[str]

    def __init__(self, config: ConfigT) -> None:
        self.config = config

    @abstractmethod
    def collate(self, items: Sequence[Any]) -> Arrays:
        """Arrays of a batch; an item that is None is absent. ``len(items)`` may be any number from 1."""

    def augment(self, arrays: Arrays, generator: torch.Generator) -> Arrays:  # noqa: ARG002
        """A random variation for training, all randomness drawn from ``generator``; without a variation, the same."""
        return arrays

    def hide(self, arrays: Arrays, rows: torch.Tensor, generator: torch.Generator) -> Arrays:  # noqa: ARG002
        """For training, ``rows`` [B] bool without a random part of what they hold, if they hold parts."""
        return arrays

    def state(self) -> dict[str, Any]:
        """What was fitted, as JSON."""
        return {}

    @classmethod
    def load(cls, config: ConfigT, state: dict[str, Any]) -> Self:  # noqa: ARG003
        """The inverse of ``state``."""
        return cls(config)


class MediaModality(Modality[ConfigT]):
    """A modality whose values are encoded files, decoded once into the cache."""

    @abstractmethod
    def decode(self, raw: bytes) -> NDArray[Any]:
        """The array of one file's bytes.

        Raises:
            UnreadableError: the bytes are empty, truncated, too large, or of no known format.
        """

    @abstractmethod
    def describe(self, raw: bytes) -> dict[str, str | int]:
        """What a file's header says that a model may depend on, by name; nothing where it cannot be read.

        Texts are compared as they are, numbers as a range; see ``data.comparison``.
        """

    def oddities(self, array: NDArray[Any]) -> list[str]:  # noqa: ARG002
        """What a person should know of one decoded file, in short names; nothing by default."""
        return []

    @abstractmethod
    def cache_key(self) -> str:
        """The settings that change what ``decode`` returns, as a short file-name-safe string."""


def mask_of(items: Sequence[Any]) -> torch.Tensor:
    """[B] bool: True where an item is there."""
    return torch.from_numpy(np.array([item is not None for item in items], dtype=bool))
