"""A transformer over the token ids of a text; without layers, a bag of embeddings. It knows no tokenizer."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from tonggan.encoders.base import EncoderConfig
from tonggan.layers.transformer import Transformer, TransformerConfig
from tonggan.modalities.text import Text
from tonggan.tokens import Arrays, Tokens


class TextTransformerConfig(TransformerConfig, EncoderConfig):
    """Token embedding, positions, pre-norm blocks, a final norm (both ways: BERT, Devlin et al. 2019)."""

    reads: ClassVar[str] = "text"
    is_default: ClassVar[bool] = True
    free: ClassVar[tuple[str, ...]] = ("dropout", "width")
    kind: Literal["text_transformer"] = "text_transformer"
    width: int | None = Field(default=None, ge=2)
    """Width of the blocks; null takes the model's own, any other is projected to it."""
    positions: Literal["learned", "rotary"] = "learned"
    """How positions are encoded. A bag of embeddings (num_layers 0) has none."""
    causal: bool = False
    """Whether a token attends only to those before it, as in a language model (GPT, Radford et al. 2018)."""

    def build(self, modality: Text, *, dim: int) -> nn.Module:
        """An encoder of that modality's token ids; the modality must be fitted."""
        return TextTransformer(self, num_tokens=modality.num_tokens, max_tokens=modality.config.max_tokens, dim=dim)


class TextTransformer(nn.Module):
    """Ids ``int64 [B, L]`` to Tokens ``[B, L, dim]``, L at most ``max_tokens``."""

    undecayed = ("positions",)
    ends = ("projection",)

    def __init__(self, config: TextTransformerConfig, *, num_tokens: int, max_tokens: int, dim: int) -> None:
        super().__init__()
        width = config.width or dim
        self.embedding = nn.Embedding(num_tokens, width)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.positions: nn.Parameter | None = None
        if config.positions == "learned" and config.num_layers > 0:
            self.positions = nn.Parameter(torch.randn(max_tokens, width) * 0.02)
        self.dropout = nn.Dropout(config.dropout)
        self.transformer = Transformer(width, config=config, rotary=config.positions == "rotary", causal=config.causal)
        self.projection = nn.Identity() if width == dim else nn.Linear(width, dim)

    def forward(self, arrays: Arrays) -> Tokens:
        """Tokens of a batch, one for each id."""
        values = self.embedding(arrays.values)
        if self.positions is not None:
            values = values + self.positions[: values.shape[1]]
        values = self.transformer(self.dropout(values), arrays.mask)
        return Tokens(self.projection(values), arrays.mask)
