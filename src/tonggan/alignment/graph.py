"""Graph convolution before matching: each vector is first mixed with those of the rows that are most like it."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from tonggan.alignment.base import Alignment, Paired, PairShape
from tonggan.alignment.contrastive import Contrastive, TemperatureConfig


class GraphConfig(TemperatureConfig):
    """A contrastive loss, and the graph of each side."""

    kind: Literal["graph"] = "graph"
    neighbors: int = Field(default=5, ge=1)
    """Number of neighbors of each row in the batch, by cosine similarity."""
    share: float = Field(default=0.3, gt=0, lt=1)
    """Share of a vector that comes from its neighbors."""

    def build(self, shape: PairShape) -> Alignment:  # noqa: ARG002
        return Graph(self)


class Graph(Alignment):
    """InfoNCE of vectors after one step over the batch's similarity graph.

    ``X' = (1 - share) X + share D^-1 A X``, where A links each row to its nearest: a graph convolution without weights
    of its own (Kipf & Welling 2017; Wu et al. 2019), so that a vector alone, without a graph, lies in the same space.
    """

    def __init__(self, config: GraphConfig) -> None:
        super().__init__()
        self.contrastive = Contrastive(config)
        self.neighbors, self.share = config.neighbors, config.share

    def loss(self, pairs: Paired) -> Tensor:
        loss: Tensor = self.contrastive(self.convolved(pairs.left), self.convolved(pairs.right), matches=pairs.matches)
        return loss

    def convolved(self, vectors: Tensor) -> Tensor:
        """``[B, D]`` of length 1, each mixed with its neighbors; a batch of one row as it is."""
        units = F.normalize(vectors, dim=-1)
        count = min(self.neighbors, len(units) - 1)
        if count < 1:
            return units
        likeness = (units @ units.T).detach().fill_diagonal_(-torch.inf)
        nearest = likeness.topk(count, dim=1).indices
        return (1 - self.share) * units + self.share * units[nearest].mean(dim=1)
