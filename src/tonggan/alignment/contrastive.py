"""InfoNCE: what belongs together is drawn together, and apart from all else in the batch.

It knows no modality: any two towers that give vectors of one width can be aligned with it.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from tonggan.alignment.base import Alignment, AlignmentConfig, Paired, PairShape
from tonggan.alignment.distances import Distance

_MAX_LOG_SCALE = math.log(100)  # beyond, training is unstable (Radford et al. 2021)


class TemperatureConfig(AlignmentConfig):
    """How sharply matching pairs are separated from others."""

    temperature: float = Field(default=0.05, ge=0.01)
    """Similarities are divided by it; if it is learned, its initial value."""
    learn_temperature: bool = False
    """Whether the temperature is learned, as in CLIP."""
    distance: Distance = "cosine"
    """How vectors are compared."""


class ContrastiveConfig(TemperatureConfig):
    """InfoNCE alone."""

    kind: Literal["contrastive"] = "contrastive"
    compares_sets = True

    def build(self, shape: PairShape) -> Alignment:  # noqa: ARG002
        return Contrastive(self)


class Contrastive(Alignment):
    """The symmetric InfoNCE loss with in-batch negatives (van den Oord et al. 2018; CLIP, Radford et al. 2021).

    The mean over both directions of the cross-entropy of finding each row's partner,
    ``-log(exp(s_ii / t) / sum_j exp(s_ij / t))``, where other partners of a row are no negatives.
    """

    def __init__(self, config: TemperatureConfig) -> None:
        super().__init__()
        self.distance = config.distance
        scale = torch.tensor(-math.log(config.temperature))
        if config.learn_temperature:
            self.log_scale = nn.Parameter(scale)
        else:
            self.register_buffer("log_scale", scale)

    def loss(self, pairs: Paired) -> Tensor:
        scale = self.log_scale.clamp(max=_MAX_LOG_SCALE).exp()
        forth, back = (scale * each for each in pairs.similarities(self.distance))
        if pairs.matches is not None:
            own = torch.eye(len(forth), dtype=torch.bool, device=forth.device)
            others = pairs.matches & ~own
            forth, back = forth.masked_fill(others, -torch.inf), back.masked_fill(others.T, -torch.inf)
        target = torch.arange(len(forth), device=forth.device)
        return (F.cross_entropy(forth, target) + F.cross_entropy(back, target)) / 2
