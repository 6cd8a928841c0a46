"""Inception networks for pictures: blocks that look at several widths at once, for small pictures and large ones."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeInt, PositiveInt, model_validator
from torch import Tensor, nn

from tonggan.encoders.base import EncoderConfig
from tonggan.encoders.image_grid import FeatureMap, ImageGrid, ImageGridConfig
from tonggan.layers.activation import Activation, build_activation
from tonggan.layers.batch_norm import BatchNorm
from tonggan.layers.convolution import build_convolution
from tonggan.modalities.image import Image

_BRANCHES = 4


class ImageInceptionConfig(ImageGridConfig, EncoderConfig):
    """A stem, and stages of mixed blocks with factorized convolutions (Szegedy et al. 2015 and 2016).

    A stage after the first opens with a block that halves the feature map without a bottleneck: a convolution with a
    stride beside max pooling.
    """

    reads: ClassVar[str] = "image"
    free: ClassVar[tuple[str, ...]] = ("dropout", "pool")
    kind: Literal["image_inception"] = "image_inception"
    stem_channels: int = Field(default=32, ge=1)
    """Channels after the stem."""
    stem_stride: Literal[1, 2, 4, 8] | None = None
    """Stride of the stem; null chooses 1 up to 48 pixels, 2 up to 96, 4 up to 192, 8 above."""
    channels: tuple[PositiveInt, ...] = Field(default=(96, 192, 320), min_length=1)
    """Channels of each stage, shared by its branches; each a multiple of 4."""
    blocks: tuple[NonNegativeInt, ...] = (1, 1, 1)
    """Inception blocks of each stage, besides the one that opens it."""
    reaches: tuple[Literal[3, 5, 7, 9], ...] = (3, 5, 3)
    """Kernel size n of the longest branch of each stage, factorized into 1 x n and n x 1."""

    @model_validator(mode="after")
    def _has_whole_branches(self) -> Self:
        if not len(self.channels) == len(self.blocks) == len(self.reaches):
            raise ValueError("channels, blocks and reaches must have one entry for each stage")
        if any(channels % _BRANCHES for channels in self.channels):
            raise ValueError(f"channels must be multiples of {_BRANCHES}, the branches of a block")
        return self

    def build(self, modality: Image, *, dim: int) -> nn.Module:
        """An encoder of that modality's pictures."""
        size = modality.config.size
        total: int = self.stem_stride or next((stride for stride in (1, 2, 4) if size <= 48 * stride), 8)
        layers, maps = self._stem(total)
        before = self.stem_channels
        for stage, (channels, num_blocks, reach) in enumerate(
            zip(self.channels, self.blocks, self.reaches, strict=True)
        ):
            if stage == 0:
                layers.append(MixedBlock(before, channels, reach=reach, activation=self.activation))
            else:
                layers.append(ReductionBlock(before, channels, activation=self.activation))
                total *= 2
            layers += [
                MixedBlock(channels, channels, reach=reach, activation=self.activation) for _ in range(num_blocks)
            ]
            before = channels
            maps[total] = FeatureMap(len(layers) - 1, before)
        return ImageGrid(nn.Sequential(*layers), maps=maps, size=size, dim=dim, config=self)

    def _stem(self, total: int) -> tuple[list[nn.Module], dict[int, FeatureMap]]:
        """Convolutions, each of which halves the picture, or one that keeps it; and their feature maps by stride."""
        layers: list[nn.Module] = []
        maps: dict[int, FeatureMap] = {}
        before, stride = 3, 1
        while stride < total or not layers:
            step = 2 if stride < total else 1
            layers.append(build_convolution(before, self.stem_channels, norm="batch", stride=step))
            layers.append(build_activation(self.activation))
            before, stride = self.stem_channels, stride * step
            maps[stride] = FeatureMap(len(layers) - 1, before)
        return layers, maps


class MixedBlock(nn.Module):
    """Four branches side by side, each with a quarter of the channels, all convolutions with norm and activation.

    ``1x1``; ``1x1, 3x3``; ``1x1, 1xn, nx1``, where n is ``reach``; and the mean of 3x3 cells with ``1x1``. What they
    begin with is one convolution, and the mean is taken of what it gives, which is the same and less to add up.

    ``[B, before, H, W]`` to ``[B, after, H, W]``.
    """

    def __init__(self, before: int, after: int, *, reach: int, activation: Activation) -> None:
        super().__init__()
        width = after // _BRANCHES
        self.width = width
        self.first = nn.Conv2d(before, after, 1, bias=False)
        self.first_norm = BatchNorm(3 * width)
        self.pooled_norm = BatchNorm(width)
        self.near = build_convolution(width, width, norm="batch")
        self.wide = nn.Conv2d(width, width, (1, reach), padding=(0, reach // 2), bias=False)
        self.wide_norm = BatchNorm(width)
        self.high = nn.Conv2d(width, width, (reach, 1), padding=(reach // 2, 0), bias=False)
        self.high_norm = BatchNorm(width)
        self.activation = build_activation(activation)

    def forward(self, values: Tensor) -> Tensor:
        """The branches, in the order above."""
        single, pooled = self.first(values).split([3 * self.width, self.width], dim=1)
        single, near, far = self.activation(self.first_norm(single)).chunk(3, dim=1)
        far = self.activation(self.wide_norm(self.wide(far)))
        pooled = F.avg_pool2d(pooled, 3, stride=1, padding=1, count_include_pad=False)
        rest = [self.near(near), self.high_norm(self.high(far)), self.pooled_norm(pooled)]
        return torch.cat([single, self.activation(torch.cat(rest, dim=1))], dim=1)


class ReductionBlock(nn.Module):
    """``[B, before, H, W]`` to ``[B, after, ceil(H / 2), ceil(W / 2)]``: half convolved with a stride, half pooled."""

    def __init__(self, before: int, after: int, *, activation: Activation) -> None:
        super().__init__()
        self.strided = build_convolution(before, after // 2, norm="batch", stride=2)
        self.kept = build_convolution(before, after - after // 2, norm="batch", size=1)
        self.activation = build_activation(activation)

    def forward(self, values: Tensor) -> Tensor:
        """The strided convolution, and the maxima of 2x2 cells through a 1x1 convolution."""
        pooled = F.max_pool2d(values, 2, ceil_mode=True)
        output: Tensor = self.activation(torch.cat([self.strided(values), self.kept(pooled)], dim=1))
        return output
