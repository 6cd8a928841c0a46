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
    """Transformer blocks over the cells of a row; 0 for none."""

    def build(self, modality: TableRow, *, dim: int) -> nn.Module:
        """An encoder of that modality's columns; the modality must be fitted."""
        return TableEncoder(self, sizes=modality.sizes, token_of=modality.token_of, dim=dim)


class TableEncoder(nn.Module):
    """Cells ``float32 [B, C]`` to Tokens ``[B, L, dim]``; one whose cells are missing is absent.

    A number x becomes ``x * weight`` and category k its own vector; a token is the sum of its cells ``+ bias``.

    Args:
        config: the blocks.
        sizes: for each cell how many indices its category has, or 0 for a number.
        token_of: for each cell its token, from 0 to L - 1; those of one token are present together.
        dim: width of a token.
    """

    fixed_length: ClassVar[bool] = True

    def __init__(self, config: TableEncoderConfig, *, sizes: list[int], token_of: list[int], dim: int) -> None:
        super().__init__()
        numbers = [cell for cell, size in enumerate(sizes) if size == 0]
        categories = [cell for cell, size in enumerate(sizes) if size]
        offsets = [sum(sizes[:cell]) for cell in categories]
        self.weights: nn.Parameter | None = None
        self.embedding: nn.Embedding | None = None
        if numbers:
            # Tokens of several cells begin as large as those of one.
            shares = torch.tensor([[token_of.count(token_of[cell])] for cell in numbers]).rsqrt()
            self.weights = nn.Parameter(torch.randn(len(numbers), dim) * (0.5 * shares))
        if categories:
            # The columns share one table of vectors, each from its own offset on.
            self.embedding = nn.Embedding(sum(sizes), dim)
            nn.init.normal_(self.embedding.weight, std=0.5)
            # A name never seen starts as saying nothing.
            self.embedding.weight.data[offsets] = 0
        tokens = sorted(set(token_of))
        self.biases = nn.Parameter(torch.randn(len(tokens), dim) * 0.5)
        self.register_buffer("numbers", torch.tensor(numbers, dtype=torch.int64), persistent=False)
        self.register_buffer("categories", torch.tensor(categories, dtype=torch.int64), persistent=False)
        self.register_buffer("offsets", torch.tensor(offsets, dtype=torch.int64), persistent=False)
        self.register_buffer("order", torch.tensor(numbers + categories).argsort(), persistent=False)
        self.register_buffer("token_of", torch.tensor(token_of), persistent=False)
        self.register_buffer("first", torch.tensor([token_of.index(token) for token in tokens]), persistent=False)
        self.transformer = Transformer(dim, config=config)

    numbers: Tensor
    categories: Tensor
    offsets: Tensor
    order: Tensor
    token_of: Tensor
    first: Tensor

    def forward(self, arrays: Arrays) -> Tokens:
        """Tokens of a batch, one for each column, in the columns' order, then for each interval."""
        cells = arrays.values.masked_fill(~arrays.mask, 0)
        parts = []
        if self.weights is not None:
            parts.append(cells[:, self.numbers, None] * self.weights)
        if self.embedding is not None:
            parts.append(self.embedding(cells[:, self.categories].long() + self.offsets))
        values = torch.cat(parts, dim=1)[:, self.order]
        if len(self.first) < len(self.token_of):
            shape = values.shape[0], len(self.first), values.shape[2]
            values = values.new_zeros(shape).index_add(1, self.token_of, values)
        mask = arrays.mask[:, self.first]
        return Tokens(self.transformer(values + self.biases, mask), mask)
