"""Weights of text encoders by name: of the catalogue, or of a folder. Nothing is downloaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from tonggan.weights.catalogue import find_weights
from tonggan.weights.e5_file import E5File
from tonggan.weights.text_folder import TextFolder

if TYPE_CHECKING:
    import tokenizers

MINILM, E5 = "minilm", "e5"
"""all-MiniLM-L6-v2 (Wang et al. 2020; English) and multilingual E5 small (Wang et al. 2024), both 384 wide."""
NAMES = (MINILM, E5)
"""Text encoders of the catalogue."""


class TextWeights(Protocol):
    """A text encoder in files: what a network and a modality are made of.

    Attributes:
        name: what it is called.
        config: its shape, in the fields of Hugging Face's ``config.json``.
        max_tokens: of a text, where it is fewer than the encoder has positions.
        prompt: stands before every text, as the encoder was trained to.
        passage_prompt: stands before what a question is to find, instead of ``prompt``.
        temperature: that cosines were divided by in training: the lower it is, the more a small difference says.
    """

    name: str
    config: dict[str, Any]
    max_tokens: int | None
    prompt: str
    passage_prompt: str
    temperature: float

    @property
    def tokenizer(self) -> tokenizers.Tokenizer:
        """The vocabulary; it writes what opens and closes a text around it."""

    def tensors(self) -> Mapping[str, Tensor]:
        """The weights by Hugging Face's names; a matrix may be packed, uint8 ``[rows, blocks, 18]``."""

    @property
    def sha256(self) -> str:
        """Of the bytes that the weights are in."""


def open_text_weights(name: str | Path) -> TextWeights:
    """What ``name`` means: ``minilm``, ``e5``, or a folder in Hugging Face's layout.

    Raises:
        ConfigError: there is no such folder.
        DataError: files are missing, damaged or exchanged.
        MissingExtraError: a name of the catalogue is asked for and its package is not installed.
    """
    if name == E5:
        (path,) = find_weights(E5).files().values()
        return E5File(path, name=E5)
    if name == MINILM:
        return TextFolder(find_weights(MINILM).folders()[0] / "model", name=MINILM)
    return TextFolder(Path(name).expanduser())
