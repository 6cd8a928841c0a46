"""A small relational transformer over code graphs, and scores of their rewrites by pointing."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from tonggan.codelm.review.learned.code_graph import EDGE_KINDS
from tonggan.codelm.review.learned.examples import ExampleBatch
from tonggan.codelm.review.learned.neighbors import NUM_EVIDENCES
from tonggan.codelm.review.learned.rewrites import LABELS, REWRITE_KINDS
from tonggan.layers.attention import Attention
from tonggan.layers.transformer import TransformerBlock, TransformerConfig

_NEAR = 8  # distances between tokens that are told one by one
_DISTANCES = 24  # that are told in all, the further ones in steps that grow


class RewriteScorerConfig(TransformerConfig):
    """Size of the network."""

    dim: int = Field(default=128, ge=8)
    """Width of a token."""
    num_layers: int = Field(default=4, ge=1)
    """Number of blocks."""
    num_heads: int = Field(default=4, ge=1)
    """Attention heads of each block."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout probability of activations in training; the default is 0, since a training never sees all the bugs that
    could be drawn."""


class RelationalAttention(Attention):
    """Attention with a number added for each edge from a query to a key (Hellendoorn et al. 2020), and no dropout."""

    def related(self, values: Tensor, bias: Tensor) -> Tensor:
        """``[B, L, dim]``; ``bias`` ``[B, H, L, L]`` is added to the attention's logits."""
        query, key, value = self._project(values, None)
        # The fused operation has no gradient for the bias, and the one that has is five times as slow as this.
        logits = torch.einsum("bhqe,bhke->bhqk", query * query.shape[-1] ** -0.5, key) + bias
        found = logits.softmax(dim=-1).to(value.dtype) @ value
        output: Tensor = self.out_projection(found.transpose(1, 2).flatten(2))
        return output


class RelationalBlock(TransformerBlock):
    """A pre-norm block whose attention knows the edges."""

    def __init__(self, dim: int, *, num_heads: int, hidden: int, dropout: float) -> None:
        super().__init__(dim, num_heads=num_heads, hidden=hidden, dropout=dropout)
        self.attention: RelationalAttention = RelationalAttention(dim, num_heads=num_heads)

    def forward(self, values: Tensor, bias: Tensor) -> Tensor:
        """``values [B, L, dim]`` with ``bias [B, H, L, L]``, in the shape of ``values``."""
        values = values + self.dropout(self.attention.related(self.attention_norm(values), bias))
        output: Tensor = values + self.dropout(self.mlp(self.mlp_norm(values)))
        return output


class RewriteScorer(nn.Module):
    """How much speaks for each rewrite of a function, and for none.

    Args:
        vocabulary_size: numbers of words.
        config: size.
    """

    undecayed = ("words", "edges", "distances", "labels", "kinds", "evidence")

    def __init__(self, vocabulary_size: int, *, config: RewriteScorerConfig) -> None:
        super().__init__()
        dim = config.dim
        self.num_heads = config.num_heads
        self.words = nn.EmbeddingBag(vocabulary_size, dim, mode="mean")
        self.input_norm = nn.LayerNorm(dim)
        self.edges = nn.Embedding(2 * len(EDGE_KINDS), config.num_heads)
        self.distances = nn.Embedding(2 * _DISTANCES, config.num_heads)
        self.blocks = nn.ModuleList(
            RelationalBlock(
                dim, num_heads=config.num_heads, hidden=round(dim * config.mlp_ratio), dropout=config.dropout
            )
            for _ in range(config.num_layers)
        )
        self.norm = nn.LayerNorm(dim)
        self.labels, self.kinds = nn.Embedding(len(LABELS), dim), nn.Embedding(len(REWRITE_KINDS), dim)
        self.evidence = nn.Embedding(NUM_EVIDENCES, dim)
        self.new_name = nn.Linear(dim, dim, bias=False)
        self.score = nn.Sequential(nn.Linear(3 * dim, dim), nn.GELU(), nn.Linear(dim, 1))
        self.score_of_none = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, 1))
        for table in (self.edges, self.distances, self.evidence):
            nn.init.zeros_(table.weight)

    def forward(self, batch: ExampleBatch) -> Tensor:
        """Logits ``[B, 1 + R]`` in float32: of no rewrite, then of each of a function's; -inf where it has fewer."""
        values = self.encode(batch)
        here = values[batch.rows, batch.tokens]
        sources = values[batch.rows[:, None], batch.sources].mean(dim=1)
        there = self.labels(batch.labels) + self.kinds(batch.kinds) + self.evidence(batch.evidence).sum(dim=1)
        there = there + self.new_words(batch)
        there = there + torch.where(batch.has_sources[:, None], sources, sources.new_zeros(()))
        scores = self.score(torch.cat([here, there, here * there], dim=-1)).squeeze(-1).float()
        weight = batch.mask.to(values.dtype).unsqueeze(-1)
        none = self.score_of_none((values * weight).sum(dim=1) / weight.sum(dim=1)).float()
        most = int(batch.columns.max()) + 1 if len(batch.columns) else 0
        logits = scores.new_full((len(batch.mask), most), -torch.inf)
        return torch.cat([none, logits.index_put((batch.rows, batch.columns), scores)], dim=1)

    def new_words(self, batch: ExampleBatch) -> Tensor:
        """What the names mean that come in the place of others, ``[N, dim]``; zero where none does."""
        found: Tensor = self.new_name(self.words(batch.new_words, batch.new_starts))
        return found

    def encode(self, batch: ExampleBatch) -> Tensor:
        """What each token means in its function, ``[B, L, dim]``."""
        embedded = self.input_norm(self.words(batch.words, batch.starts))
        values = embedded.new_zeros((*batch.mask.shape, embedded.shape[-1])).masked_scatter(
            batch.mask.unsqueeze(-1), embedded
        )
        bias = self._bias(batch)
        for block in self.blocks:
            values = block(values, bias)
        output: Tensor = self.norm(values)
        return output

    def _bias(self, batch: ExampleBatch) -> Tensor:
        """``[B, H, L, L]``: what edges and distances add to the logits; much less than anything where no token is."""
        num_rows, length = batch.mask.shape
        rows, source, target, kind = batch.edges.unbind(1)
        places = torch.cat([(rows * length + source) * length + target, (rows * length + target) * length + source])
        numbers = self.edges(torch.cat([kind, kind + len(EDGE_KINDS)]))
        bias = numbers.new_zeros((num_rows * length * length, self.num_heads)).index_add(0, places, numbers)
        steps = torch.arange(length, device=places.device)
        bias = bias.view(num_rows, length, length, -1) + self.distances(_bucket(steps[None] - steps[:, None]))
        masked: Tensor = bias.permute(0, 3, 1, 2).masked_fill(~batch.mask[:, None, None, :], -1e4)
        return masked


def _bucket(distance: Tensor) -> Tensor:
    """The number of a distance (Raffel et al. 2020): near ones have their own, farther ones share by powers."""
    size = distance.abs()
    far = _NEAR + (2 * torch.log2(size.clamp(min=1) / _NEAR)).long()
    bucket = torch.where(size < _NEAR, size, far.clamp(max=_DISTANCES - 1))
    return torch.where(distance < 0, bucket + _DISTANCES, bucket)
