"""Table cells: one token for each column, so that numbers and categories can be attended to like words."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from tonggan.encoders.base import EncoderConfig
from tonggan.layers.transformer import Transformer, TransformerConfig
from tonggan.modalities.table import TableRow
from tonggan.tokens import Arrays, Tokens


class TableEncoderConfig(TransformerConfig, EncoderConfig):
    """Feature tokenizer and pre-norm blocks over the cells of a row (FT-Transformer, Gorishniy et al. 2021)."""

    reads: ClassVar[str] = "table"
    is_default: ClassVar[bool] = True
    kind: Literal["table"] = "table"
    num_layers: int = Field(default=2, ge=0)
    """Blocks in which the cells of a row see each other; 0 leaves each cell alone."""

    def build(self, modality: TableRow, *, dim: int) -> nn.Module:
        """An encoder of that modality's columns; the modality must be fitted."""
        sizes = [modality.num_categories.get(name) for name in modality.cells]
        return TableEncoder(self, num_categories=sizes, dim=dim)


class TableEncoder(nn.Module):
    """Cells ``float32 [B, C]`` to Tokens ``[B, C, dim]``; a missing cell is an absent token.

    A number x becomes ``x * weight + bias`` of its column, category k its own vector ``+ bias``.

    Args:
        config: the blocks.
        num_categories: for each column how many indices it has, or None for a number.
        dim: width of a token.
    """

    fixed_length: ClassVar[bool] = True

    def __init__(self, config: TableEncoderConfig, *, num_categories: list[int | None], dim: int) -> None:
        super().__init__()
        numbers = [column for column, size in enumerate(num_categories) if size is None]
        categories = [column for column, size in enumerate(num_categories) if size is not None]
        sizes = [size for size in num_categories if size is not None]
        offsets = [sum(sizes[:column]) for column in range(len(sizes))]
        self.weights: nn.Parameter | None = None
        self.embedding: nn.Embedding | None = None
        if numbers:
            self.weights = nn.Parameter(torch.randn(len(numbers), dim) * 0.5)
        if categories:
            # The columns share one table of vectors, each from its own offset on.
            self.embedding = nn.Embedding(sum(sizes), dim)
            nn.init.normal_(self.embedding.weight, std=0.5)
            # A name never seen starts as saying nothing.
            self.embedding.weight.data[offsets] = 0
        self.biases = nn.Parameter(torch.randn(len(num_categories), dim) * 0.5)
        self.register_buffer("numbers", torch.tensor(numbers, dtype=torch.int64), persistent=False)
        self.register_buffer("categories", torch.tensor(categories, dtype=torch.int64), persistent=False)
        self.register_buffer("offsets", torch.tensor(offsets, dtype=torch.int64), persistent=False)
        self.register_buffer("order", torch.tensor(numbers + categories).argsort(), persistent=False)
        self.transformer = Transformer(dim, config=config)

    numbers: Tensor
    categories: Tensor
    offsets: Tensor
    order: Tensor

    def forward(self, arrays: Arrays) -> Tokens:
        """Tokens of a batch, one for each column, in the columns' order."""
        cells = arrays.values.masked_fill(~arrays.mask, 0)
        parts = []
        if self.weights is not None:
            parts.append(cells[:, self.numbers, None] * self.weights)
        if self.embedding is not None:
            parts.append(self.embedding(cells[:, self.categories].long() + self.offsets))
        values = torch.cat(parts, dim=1)[:, self.order] + self.biases
        return Tokens(self.transformer(values, arrays.mask), arrays.mask)
