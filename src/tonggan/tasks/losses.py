"""Losses of labels with class weights, focal factor and label smoothing, for each row.

Not here: regression's losses, which torch has as they are.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from tonggan.config import Config


class LabelLossConfig(Config):
    """How a loss over labels counts rare classes, easy rows and wrong labels."""

    class_weights: Literal["none", "balanced"] = "none"
    """'balanced' gives every class the same total weight: rows / (classes * rows of the class)."""
    focal_gamma: float = Field(default=0.0, ge=0.0, le=10.0)
    """Focal loss (Lin et al. 2017): loss * (1 - p)^gamma, p the probability of the row's class; 0 is cross entropy."""
    label_smoothing: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of the target spread evenly over all classes (Szegedy et al. 2016)."""


def cross_entropy(logits: Tensor, target: Tensor, *, config: LabelLossConfig, weights: Tensor | None) -> Tensor:
    """[B]: the loss of ``logits`` [B, C] against class numbers ``target`` [B]; ``weights`` [C] are of the classes."""
    log_probabilities = logits.float().log_softmax(dim=1)
    loss = F.cross_entropy(logits.float(), target, label_smoothing=config.label_smoothing, reduction="none")
    if config.focal_gamma > 0:
        # log(1 - p) as the sum of the other classes: exact, with a finite gradient, where p rounds to 1.
        others = log_probabilities.scatter(1, target.unsqueeze(1), -torch.inf).logsumexp(dim=1)
        loss = loss * (config.focal_gamma * others).exp()
    return loss if weights is None else loss * weights.to(logits.device)[target]


def binary_cross_entropy(logits: Tensor, target: Tensor, *, config: LabelLossConfig, weights: Tensor | None) -> Tensor:
    """Elementwise loss of ``logits`` against ``target`` in {0, 1}, both [B, C].

    ``weights`` [C, 2] are those of the answers 0 and 1 of each column.
    """
    logits, target = logits.float(), target.float()
    smoothed = target * (1 - config.label_smoothing) + config.label_smoothing / 2
    loss = F.binary_cross_entropy_with_logits(logits, smoothed, reduction="none")
    if config.focal_gamma > 0:
        wrong = torch.where(target > 0.5, -logits, logits)
        loss = loss * (config.focal_gamma * F.logsigmoid(wrong)).exp()
    if weights is None:
        return loss
    negative, positive = weights.to(logits.device).unbind(dim=1)
    return loss * torch.where(target > 0.5, positive, negative)


def balanced_weights(counts: Tensor) -> Tensor:
    """Weights of classes that were seen ``counts`` [..., C] times, as scikit-learn's ``class_weight='balanced'``."""
    counts = counts.double()
    return (counts.sum(dim=-1, keepdim=True) / (counts.shape[-1] * counts.clamp(min=1))).float()
