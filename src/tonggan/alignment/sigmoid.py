"""SigLIP: each pair by itself is told to belong together or not, without a softmax over the batch."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tonggan.alignment.base import Alignment, AlignmentConfig, Paired, PairShape


class SigmoidConfig(AlignmentConfig):
    """Scale and bias of the logits, both learned from the given values on."""

    kind: Literal["sigmoid"] = "sigmoid"
    compares_sets = True
    scale: float = 10.0
    """Cosines are multiplied by it."""
    bias: float = -10.0
    """Added to the scaled cosine; it offsets the many pairs that do not match."""

    def build(self, shape: PairShape) -> Alignment:  # noqa: ARG002
        return Sigmoid(self)


class Sigmoid(Alignment):
    """The sigmoid loss (SigLIP, Zhai et al. 2023): ``-1/B sum_ij log sigma(z_ij (t x_i y_j + b))``.

    ``z`` is 1 where right j belongs to left i, and -1 elsewhere.
    """

    def __init__(self, config: SigmoidConfig) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(math.log(config.scale)))
        self.bias = nn.Parameter(torch.tensor(config.bias))

    def loss(self, pairs: Paired) -> Tensor:
        forth, back = pairs.similarities("cosine")
        logits = self.log_scale.exp() * (forth + back.T) / 2 + self.bias
        return -F.logsigmoid(torch.where(pairs.belongs, logits, -logits)).sum() / len(logits)
