"""Triplets: a pair is to be nearer than the nearest of what does not belong to it, by a margin."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from tonggan.alignment.base import Alignment, AlignmentConfig, Paired, PairShape


class EuclideanConfig(AlignmentConfig):
    """How much nearer, and than what."""

    kind: Literal["euclidean"] = "euclidean"
    compares_sets = True
    margin: float = Field(default=0.2, gt=0)
    """How much closer than a negative a pair must be: Euclidean distance between unit vectors."""
    negatives: Literal["hardest", "semi_hard"] = "semi_hard"
    """Which negative counts: 'hardest' is the nearest other row of the batch, 'semi_hard' the nearest that is farther
    away than the pair itself. Early in training, the hardest may collapse all vectors to one point."""

    def build(self, shape: PairShape) -> Alignment:  # noqa: ARG002
        return Euclidean(self)


class Euclidean(Alignment):
    """The triplet loss with hard negatives of the batch (FaceNet, Schroff et al. 2015; VSE++, Faghri et al. 2018).

    The mean over both directions of ``max(0, margin + |x_i - y_i| - |x_i - y_n|)``, vectors of length 1.
    """

    def __init__(self, config: EuclideanConfig) -> None:
        super().__init__()
        self.config = config

    def loss(self, pairs: Paired) -> Tensor:
        forth, back = pairs.similarities("cosine")
        return (self._triplets(forth, pairs.belongs) + self._triplets(back, pairs.belongs.T)) / 2

    def _triplets(self, cosines: Tensor, belongs: Tensor) -> Tensor:
        distances = (2 - 2 * cosines).clamp(min=1e-8).sqrt()  # the root's slope is infinite at 0
        own = distances.diagonal()
        wrong = distances.masked_fill(belongs, torch.inf)
        nearest = wrong.min(dim=1).values
        if self.config.negatives == "semi_hard":
            farther = wrong.masked_fill(wrong <= own.unsqueeze(1), torch.inf).min(dim=1).values
            nearest = torch.where(farther.isfinite(), farther, nearest)
        # A row that everything belongs to has no negative.
        return (self.config.margin + own - nearest).clamp(min=0).mean()
