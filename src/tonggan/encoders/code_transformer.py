"""A transformer over the tokens of a program, with their indentation; it sees no tree and no data flow."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from tonggan.encoders.base import EncoderConfig
from tonggan.layers.transformer import Transformer, TransformerConfig
from tonggan.modalities.code import NUM_LAYOUTS, Code
from tonggan.tokens import Arrays, Tokens


class CodeTransformerConfig(TransformerConfig, EncoderConfig):
    """Embeddings of tokens, of depths and beginnings of lines, positions, pre-norm blocks, a final norm."""

    reads: ClassVar[str] = "code"
    is_default: ClassVar[bool] = True
    free: ClassVar[tuple[str, ...]] = ("dropout", "width")
    kind: Literal["code_transformer"] = "code_transformer"
    width: int | None = Field(default=None, ge=2)
    """Width of the blocks; null takes the model's own, any other is projected to it."""
    causal: bool = False
    """Whether a token attends only to those before it, as in a language model."""

    def build(self, modality: Code, *, dim: int) -> nn.Module:
        """An encoder of that modality's tokens; the modality must be fitted."""
        return CodeTransformer(self, num_tokens=modality.num_tokens, max_tokens=modality.config.max_tokens, dim=dim)


class CodeTransformer(nn.Module):
    """``int64 [B, L, 7]`` of a column of code to Tokens ``[B, L, dim]``, L at most ``max_tokens``."""

    undecayed = ("positions",)
    ends = ("projection",)

    def __init__(self, config: CodeTransformerConfig, *, num_tokens: int, max_tokens: int, dim: int) -> None:
        super().__init__()
        width = config.width or dim
        self.embedding = nn.Embedding(num_tokens, width)
        self.layout = nn.Embedding(NUM_LAYOUTS, width)
        for embedding in (self.embedding, self.layout):
            nn.init.normal_(embedding.weight, std=0.02)
        self.positions = nn.Parameter(torch.randn(max_tokens, width) * 0.02)
        self.dropout = nn.Dropout(config.dropout)
        self.transformer = Transformer(width, config=config, causal=config.causal)
        self.projection = nn.Identity() if width == dim else nn.Linear(width, dim)

    def forward(self, arrays: Arrays) -> Tokens:
        """Tokens of a batch, one for each token of code."""
        # What lies under the mask is meaningless, and may be no number of an embedding.
        read = arrays.values[..., [0, 2]].masked_fill(~arrays.mask.unsqueeze(-1), 0)
        values = self.embedding(read[..., 0]) + self.layout(read[..., 1]) + self.positions[: read.shape[1]]
        values = self.transformer(self.dropout(values), arrays.mask)
        return Tokens(self.projection(values), arrays.mask)
