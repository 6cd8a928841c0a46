"""A convolution with its norm, which every convolutional encoder is made of. Activations and residuals are not here."""

from __future__ import annotations

import math
from typing import Literal

from torch import nn

from tonggan.layers.batch_norm import BatchNorm

Norm = Literal["batch", "group", "none"]


def build_convolution(
    before: int, after: int, *, norm: Norm, size: int = 3, stride: int = 1, pool: bool = False
) -> nn.Sequential:
    """A ``size`` x ``size`` convolution from ``before`` to ``after`` channels, then its norm.

    The side of a map becomes ``ceil(side / stride)``, halved and rounded up once more by ``pool``, a 2x2 max pooling
    between the two. ``norm`` is ``batch``, ``group`` (up to 16 channels in each; Wu & He 2018) or ``none``.
    """
    layers: list[nn.Module] = [
        # A bias would be undone by the norm that follows.
        nn.Conv2d(before, after, size, stride=stride, padding=size // 2, bias=norm == "none")
    ]
    if pool:
        layers.append(nn.MaxPool2d(2, ceil_mode=True))
    if norm == "batch":
        layers.append(BatchNorm(after))
    elif norm == "group":
        layers.append(nn.GroupNorm(after // math.gcd(after, 16), after))
    return nn.Sequential(*layers)
