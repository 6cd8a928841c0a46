"""Alignment beside a label task: both vectors of a pair also tell its class."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from tonggan.alignment.base import Alignment, Paired, PairShape
from tonggan.alignment.contrastive import Contrastive, TemperatureConfig
from tonggan.errors import ConfigError


class MultitaskConfig(TemperatureConfig):
    """A contrastive loss and how much the classes count beside it."""

    kind: Literal["multitask"] = "multitask"
    compares_sets = True
    reads_labels = True
    label_weight: float = Field(default=0.5, gt=0)
    """Weight of the classification loss (cross-entropy)."""

    def build(self, shape: PairShape) -> Alignment:
        if not shape.num_labels:
            raise ConfigError(
                "alignment 'multitask'",
                got="no column of classes",
                expected="one that the vectors should predict as well",
                remedy="Name it with --target COL, or choose another alignment",
            )
        return Multitask(self, shape)


class Multitask(Alignment):
    """InfoNCE plus ``label_weight`` times the cross-entropy of a linear classifier that reads either vector.

    Multitask learning (Caruana 1997), as it aligns modalities in deep cross-modal retrieval (Wang et al. 2017).
    """

    def __init__(self, config: MultitaskConfig, shape: PairShape) -> None:
        super().__init__()
        self.contrastive = Contrastive(config)
        self.classifier = nn.Linear(shape.dim, shape.num_labels)
        self.weight = config.label_weight

    def loss(self, pairs: Paired) -> Tensor:
        assert pairs.labels is not None, "a label task needs labels"
        loss = self.contrastive.loss(pairs)
        known = pairs.labels >= 0
        if not known.any():
            return loss
        scale = pairs.left.shape[-1] ** 0.5
        for vectors in (pairs.left, pairs.right):
            logits = self.classifier(scale * F.normalize(vectors[known], dim=-1))
            loss = loss + self.weight / 2 * F.cross_entropy(logits, pairs.labels[known])
        return loss
