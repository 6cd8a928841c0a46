"""Text in the decoder's own tokens: the embeddings of the language model that will read them, and nothing else.

It has no weights of its own: the model hands it the decoder's embedding, which is trained, or not, with the decoder.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

from torch import Tensor, nn

from tonggan.encoders.base import EncoderConfig
from tonggan.errors import ConfigError
from tonggan.modalities.text import Text
from tonggan.tokens import Arrays, Tokens


class TextLanguageConfig(EncoderConfig):
    """A text that the language model behind it reads as its own words."""

    reads: ClassVar[str] = "text"
    kind: Literal["text_language"] = "text_language"

    def build(self, modality: Text, *, dim: int) -> nn.Module:
        """An encoder of that modality's token ids.

        Raises:
            ConfigError: the modality's tokens are not those of a language model.
        """
        if modality.config.language is None:
            raise ConfigError(
                "encoder text_language",
                got="a text column with a vocabulary of its own",
                expected="one in the tokens of the language model that reads it",
                remedy="Set the column's 'language' to the head's 'base', or use the encoder text_transformer",
            )
        return TextLanguage(dim=dim)


class TextLanguage(nn.Module):
    """Ids ``int64 [B, L]`` to Tokens ``[B, L, dim]``."""

    def __init__(self, *, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self._embed: Callable[[Tensor], Tensor] | None = None

    def read_as(self, embed: Callable[[Tensor], Tensor]) -> None:
        """Take the decoder's embedding, ids ``[...]`` to ``[..., dim]``."""
        self._embed = embed

    def forward(self, arrays: Arrays) -> Tokens:
        """Tokens of a batch, one for each id."""
        assert self._embed is not None, "no decoder has given its embedding"
        return Tokens(self._embed(arrays.values), arrays.mask)
