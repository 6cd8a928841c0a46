"""Adversarial alignment: no classifier is to tell from a vector which modality it came from."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from tonggan.alignment.base import Alignment, Paired, PairShape
from tonggan.alignment.contrastive import Contrastive, TemperatureConfig


class AdversarialConfig(TemperatureConfig):
    """A contrastive loss, and the discriminator that the towers are to deceive."""

    kind: Literal["adversarial"] = "adversarial"
    compares_sets = True
    weight: float = Field(default=0.1, gt=0)
    """Weight of the reversed gradient."""
    hidden: int = Field(default=64, ge=1)
    """Width of the discriminator."""

    def build(self, shape: PairShape) -> Alignment:
        return Adversarial(self, shape)


class Adversarial(Alignment):
    """InfoNCE plus the cross-entropy of a modality discriminator behind a gradient reversal layer.

    The discriminator learns to tell left from right; towers get its gradient times ``-weight``
    (Ganin & Lempitsky 2015; ACMR, Wang et al. 2017).
    """

    def __init__(self, config: AdversarialConfig, shape: PairShape) -> None:
        super().__init__()
        self.contrastive = Contrastive(config)
        self.discriminator = nn.Sequential(nn.Linear(shape.dim, config.hidden), nn.GELU(), nn.Linear(config.hidden, 1))
        self.weight = config.weight

    def loss(self, pairs: Paired) -> Tensor:
        loss = self.contrastive.loss(pairs)
        both = F.normalize(torch.cat([pairs.left, pairs.right]), dim=-1) * pairs.left.shape[-1] ** 0.5
        logits = self.discriminator(reversed_gradient(both, self.weight)).squeeze(-1)
        is_left = torch.arange(len(both), device=both.device) < len(pairs.left)
        return loss + F.binary_cross_entropy_with_logits(logits, is_left.to(logits.dtype))


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor, weight: float) -> Tensor:
        context.weight = weight
        return values.view_as(values)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -context.weight * gradients[0], None


def reversed_gradient(values: Tensor, weight: float) -> Tensor:
    """``values`` as they are, whose gradient comes back times ``-weight``."""
    reversed_: Tensor = _Reversal.apply(values, weight)  # type: ignore[no-untyped-call]
    return reversed_
