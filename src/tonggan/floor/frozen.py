"""Frozen encoders by kind of input: which one an input gets, and how it is opened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tonggan.modalities.base import Modality
from tonggan.weights.catalogue import CATALOGUE, CatalogueEntry, find_weights

# What serves most, first. The first of texts reads every language.
_PREFERRED = {
    "text": ("e5", "minilm"),
    "image": ("efficientnet_lite0",),
    "audio": ("whisper_base",),
    "video": ("efficientnet_lite0",),
}
_READ_AS = {"video": "image"}  # frame by frame
_OF_EVERY_LANGUAGE = ("e5",)


class FrozenEncoder(Protocol):
    """Maps things of one kind to vectors, each by itself.

    Attributes:
        name: of its weights.
        identity: a hash of all that the vectors depend on.
        dim: D.
    """

    @property
    def name(self) -> str: ...
    @property
    def identity(self) -> str: ...
    @property
    def dim(self) -> int: ...

    def embed(self, items: Sequence[Any]) -> NDArray[np.float32]:
        """``[N, D]``: of texts, uint8 pictures ``[3, H, W]``, clips ``[F, 3, H, W]``, or float32 samples ``[T]``."""
        ...

    def embed_tokens(self, items: Sequence[Any]) -> list[NDArray[np.float32]]:
        """For each item ``[T, E]``: vectors of its words, its regions, or its stretches of time."""
        ...


def find_frozen(kind: str, name: str) -> CatalogueEntry:
    """The weights ``name`` for an input of that kind.

    Raises:
        ConfigError: there are none of that name for it.
    """
    return find_weights(name, reads=_READ_AS.get(kind, kind))


def reads_vectors(kind: str) -> bool:
    """Whether an input of that kind may have a frozen encoder."""
    return kind in _PREFERRED


def installed_weights(kind: str, *, is_latin: bool) -> str | None:
    """The frozen encoder that an input of that kind gets; None where none of those that suit it is installed."""
    for name in _PREFERRED.get(kind, ()):
        if CATALOGUE[name].is_installed and (is_latin or name in _OF_EVERY_LANGUAGE or kind != "text"):
            return name
    return None


def advised_weights(kind: str) -> str | None:
    """The frozen encoder that would serve an input of that kind most, where it is not installed."""
    name = _PREFERRED[kind][0] if kind in _PREFERRED else None
    return None if name is None or CATALOGUE[name].is_installed else name


def open_frozen(modality: Modality[Any], name: str) -> FrozenEncoder:
    """The frozen encoder ``name`` for what ``modality`` reads.

    Raises:
        ConfigError: there is none of that name for such an input.
        MissingExtraError: its package is not installed.
        DataError: its files are others.
    """
    find_frozen(modality.kind, name)
    if modality.kind == "video":
        from tonggan.models.video_embedder import VideoEmbedder

        return VideoEmbedder.load(name)
    if modality.kind == "image":
        from tonggan.models.image_embedder import ImageEmbedder

        return ImageEmbedder.load(name)
    if modality.kind == "audio":
        from tonggan.models.audio_embedder import AudioEmbedder

        return AudioEmbedder.load(name, sample_rate=modality.config.sample_rate)
    from tonggan.models.text_embedder import TextEmbedder

    return TextEmbedder.load(name, precision="fp32")  # in which what a text is embedded with changes nothing
