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

from tonggan.alignment.base import AlignmentConfig

_MAX_LOG_SCALE = math.log(100)  # beyond, training is unstable (Radford et al. 2021)


class ContrastiveConfig(AlignmentConfig):
    """How sharply matching pairs are separated from others."""

    kind: Literal["contrastive"] = "contrastive"
    temperature: float = Field(default=0.05, ge=0.01)
    """Cosines are divided by it; where it is learned, the value to start from."""
    learn_temperature: bool = False
    """Whether it is a parameter, as in CLIP."""

    def build(self) -> Contrastive:
        return Contrastive(self)


class Contrastive(nn.Module):
    """The symmetric InfoNCE loss with in-batch negatives (van den Oord et al. 2018; CLIP, Radford et al. 2021)."""

    def __init__(self, config: ContrastiveConfig) -> None:
        super().__init__()
        scale = torch.tensor(-math.log(config.temperature))
        if config.learn_temperature:
            self.log_scale = nn.Parameter(scale)
        else:
            self.register_buffer("log_scale", scale)

    def forward(self, left: Tensor, right: Tensor, *, matches: Tensor | None = None) -> Tensor:
        """The mean over both directions of the cross-entropy of finding each row's partner.

        Args:
            left: ``[B, D]`` of one tower, of any length.
            right: ``[B, D]`` of the other; row i belongs to row i.
            matches: bool ``[B, B]``, True where right j belongs to left i as well; such pairs are no negatives.
        """
        scale = self.log_scale.clamp(max=_MAX_LOG_SCALE).exp()
        logits = scale * (F.normalize(left, dim=-1) @ F.normalize(right, dim=-1).T)
        if matches is not None:
            own = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
            logits = logits.masked_fill(matches & ~own, -torch.inf)
        target = torch.arange(len(logits), device=logits.device)
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
