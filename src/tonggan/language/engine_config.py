"""The family of engines: each is a config that says what the engine can do, and opens models with it.

A kind is known once its module is imported; another package's comes by an entry point, as all parts do.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from tonggan.errors import ConfigError, UnsupportedModelError
from tonggan.language.causal_transformer import CausalTransformer
from tonggan.language.engine import Engine
from tonggan.language.pretrained import StoredModel
from tonggan.language.text_model import Capability, TextModel
from tonggan.parts import Part


class EngineConfig(Part):
    """One engine: what it can do, and its settings of one opening. Fields that all know are those of ``open_model``.

    Attributes:
        capabilities: what a model that it opens can do.
        preference: among the engines that can open a model, auto takes the one of the highest.
    """

    capabilities: ClassVar[frozenset[Capability]]

    @property
    def preference(self) -> int:
        return -1

    def can_open(self, model: StoredModel | CausalTransformer) -> bool:
        """Whether this engine computes ``model`` here, stored or in memory."""
        return self.obstacle(model) is None

    @abstractmethod
    def obstacle(self, model: StoredModel | CausalTransformer) -> str | None:
        """Why this engine cannot open ``model`` here, to follow "because"; None where it can."""

    @abstractmethod
    def open(self, model: StoredModel) -> TextModel:
        """A model in files, ready to write.

        Raises:
            TongganError: it cannot be opened, and what to do about it.
        """

    def wrap(self, model: CausalTransformer) -> Engine:
        """An engine with the weights of a model in memory, which has no adapters.

        Raises:
            ConfigError: it computes with files alone, or not with such a model.
        """
        raise ConfigError(
            f"engine {self.kind}",
            got=f"a model of {model.config.num_hidden_layers} layers in memory",
            expected="a file: this engine reads no other weights",
            remedy="Leave the engine out, or write the model as a file with 'tonggan export'",
        )


def architecture_obstacle(model: StoredModel | CausalTransformer) -> str | None:
    """Why ``model`` is none that Tonggan itself computes; None where it is one."""
    if isinstance(model, StoredModel):
        try:
            _ = model.pretrained
        except UnsupportedModelError as error:
            return f"the model has {error.got}"
    return None
