"""A network over the tokens of a program that knows how they hang together: its syntax tree and its data flow."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from tonggan.encoders.base import EncoderConfig
from tonggan.layers.transformer import TransformerBlock, TransformerConfig
from tonggan.modalities.code import NUM_LAYOUTS, RELATIONS, Code
from tonggan.tokens import Arrays, Tokens

_FIRST = 3  # of the columns of code, the first relation


class CodeGraphConfig(TransformerConfig, EncoderConfig):
    """Messages along relations, both ways (Allamanis et al. 2018), each followed by a transformer block: next and last
    use, last write, what a value is computed for, and what a token stands in.
    """

    reads: ClassVar[str] = "code"
    free: ClassVar[tuple[str, ...]] = ("dropout", "width")
    kind: Literal["code_graph"] = "code_graph"
    width: int | None = Field(default=None, ge=4)
    """Width of the blocks; null takes the model's own, any other is projected to it."""

    def build(self, modality: Code, *, dim: int) -> nn.Module:
        """An encoder of that modality's tokens; the modality must be fitted."""
        return CodeGraph(self, num_tokens=modality.num_tokens, num_kinds=modality.num_kinds, dim=dim)


class CodeGraph(nn.Module):
    """``int64 [B, L, 7]`` of a column of code to Tokens ``[B, L, dim]``.

    A token is embedded by its id, its kind in the tree and its layout; rotary positions tell its neighbors.
    """

    ends = ("projection",)

    def __init__(self, config: CodeGraphConfig, *, num_tokens: int, num_kinds: int, dim: int) -> None:
        super().__init__()
        width = config.width or dim
        embeddings = [nn.Embedding(size, width) for size in (num_tokens, num_kinds, NUM_LAYOUTS)]
        for embedding in embeddings:
            nn.init.normal_(embedding.weight, std=0.02)
        self.embeddings = nn.ModuleList(embeddings)
        self.dropout = nn.Dropout(config.dropout)
        self.messages = nn.ModuleList(Messages(width, dropout=config.dropout) for _ in range(config.num_layers))
        hidden = round(width * config.mlp_ratio)
        self.blocks = nn.ModuleList(
            TransformerBlock(width, num_heads=config.num_heads, hidden=hidden, dropout=config.dropout, rotary=True)
            for _ in range(config.num_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.projection = nn.Identity() if width == dim else nn.Linear(width, dim)

    def forward(self, arrays: Arrays) -> Tokens:
        """Tokens of a batch, one for each token of code."""
        # What lies under the mask is meaningless, and may be no number of an embedding.
        read = arrays.values.masked_fill(~arrays.mask.unsqueeze(-1), -1)
        ids, targets = read[..., :_FIRST].clamp(min=0), read[..., _FIRST:]
        values = self.dropout(torch.stack([each(ids[..., place]) for place, each in enumerate(self.embeddings)]).sum(0))
        for messages, block in zip(self.messages, self.blocks, strict=True):
            values = block(values + messages(values, targets), arrays.mask)
        return Tokens(self.projection(self.norm(values)), arrays.mask)


class Messages(nn.Module):
    """What tokens hear along each relation: from the one that it leads to, and of those that lead to them the mean."""

    def __init__(self, dim: int, *, dropout: float) -> None:
        super().__init__()
        self.size = max(1, dim // 4)
        self.norm = nn.LayerNorm(dim)
        self.said = nn.Linear(dim, 2 * len(RELATIONS) * self.size, bias=False)
        self.heard = nn.Linear(2 * len(RELATIONS) * self.size, dim, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, values: Tensor, targets: Tensor) -> Tensor:
        """``values [B, L, dim]`` with the positions ``targets [B, L, R]``, -1 for none, to the same shape."""
        said = self.said(self.norm(values)).unflatten(2, (2, len(RELATIONS), self.size))
        there = (targets >= 0).unsqueeze(-1)
        places = targets.clamp(min=0).unsqueeze(-1).expand(-1, -1, -1, self.size)
        forth = said[:, :, 0].gather(1, places) * there
        number = torch.zeros(targets.shape, dtype=said.dtype, device=said.device)
        number = number.scatter_add(1, targets.clamp(min=0), there.squeeze(-1).to(said.dtype))
        back = torch.zeros_like(forth).scatter_add(1, places, said[:, :, 1] * there)
        back = back / number.clamp(min=1).unsqueeze(-1)
        output: Tensor = self.dropout(self.heard(torch.cat([forth, back], dim=2).flatten(2)))
        return output
