"""Feature maps of several resolutions, each of which learns what the others see."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from tonggan.layers.activation import Activation, build_activation
from tonggan.layers.convolution import build_convolution


class FeaturePyramid(nn.Module):
    """Maps of one width, from coarse to fine (Lin et al. 2017), and with ``upward`` back again (Liu et al. 2018).

    Maps ``[B, C, H, W]``, the finest first, to maps ``[B, width, H, W]`` of the same sides.

    Args:
        channels: of the maps that it reads.
        width: channels of those that it gives.
        upward: whether a way from fine to coarse follows, so that coarse maps know exact places as well.
        activation: after each convolution.
    """

    def __init__(self, channels: Sequence[int], *, width: int, upward: bool, activation: Activation) -> None:
        super().__init__()

        def convolutions(count: int, *, stride: int = 1) -> nn.ModuleList:
            return nn.ModuleList(convolution_block(width, width, activation, stride=stride) for _ in range(count))

        steps = len(channels) - 1
        self.laterals = nn.ModuleList(convolution_block(each, width, activation, size=1) for each in channels)
        self.down = convolutions(steps)
        self.shrinking = convolutions(steps if upward else 0, stride=2)
        self.up = convolutions(steps if upward else 0)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        found = [lateral(each) for lateral, each in zip(self.laterals, maps, strict=True)]
        for level in reversed(range(len(self.down))):
            found[level] = self.down[level](found[level] + enlarged(found[level + 1], like=found[level]))
        for level, (shrink, convolution) in enumerate(zip(self.shrinking, self.up, strict=True)):
            found[level + 1] = convolution(found[level + 1] + shrink(found[level]))
        return found


def convolution_block(before: int, after: int, activation: Activation, *, size: int = 3, stride: int = 1) -> nn.Module:
    """A convolution with batch normalization and activation: ``[B, before, H, W]`` to ``[B, after, H', W']``."""
    convolution = build_convolution(before, after, norm="batch", size=size, stride=stride)
    return nn.Sequential(convolution, build_activation(activation))


def enlarged(values: Tensor, *, like: Tensor) -> Tensor:
    """``values [B, C, h, w]`` with the sides of ``like``, each cell repeated."""
    return F.interpolate(values, size=like.shape[-2:], mode="nearest")
