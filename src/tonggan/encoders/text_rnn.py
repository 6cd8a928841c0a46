"""A recurrent network over the token ids of a text, in one direction or both."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import nn

from tonggan.encoders.base import EncoderConfig
from tonggan.layers.recurrent import Recurrent, RecurrentConfig
from tonggan.modalities.text import Text
from tonggan.tokens import Arrays, Tokens


class TextRNNConfig(RecurrentConfig, EncoderConfig):
    """Token embedding, then recurrent layers (both ways: Graves and Schmidhuber 2005)."""

    reads: ClassVar[str] = "text"
    kind: Literal["text_rnn"] = "text_rnn"

    def build(self, modality: Text, *, dim: int) -> nn.Module:
        """An encoder of that modality's token ids; the modality must be fitted."""
        return TextRNN(self, num_tokens=modality.num_tokens, dim=dim)


class TextRNN(nn.Module):
    """Ids ``int64 [B, L]`` to Tokens ``[B, L, dim]``, one for each id."""

    ends = ("projection",)

    def __init__(self, config: TextRNNConfig, *, num_tokens: int, dim: int) -> None:
        super().__init__()
        width = config.width or dim
        self.embedding = nn.Embedding(num_tokens, width)
        nn.init.normal_(self.embedding.weight, std=0.1)
        self.recurrent = Recurrent(width, width=width, config=config)
        self.projection = nn.Linear(self.recurrent.width, dim)

    def forward(self, arrays: Arrays) -> Tokens:
        """Tokens of a batch."""
        values = self.recurrent(self.embedding(arrays.values), arrays.mask)
        return Tokens(self.projection(values), arrays.mask)
