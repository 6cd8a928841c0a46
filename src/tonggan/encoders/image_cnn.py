"""A plain convolutional network for pictures, in the manner of VGG: fast, and more than enough for simple scenes."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, PositiveInt
from torch import nn

from tonggan.encoders.base import EncoderConfig
from tonggan.encoders.image_grid import FeatureMap, ImageGrid, ImageGridConfig
from tonggan.layers.activation import build_activation
from tonggan.layers.convolution import Norm, build_convolution
from tonggan.layers.whitening import Whitening
from tonggan.modalities.image import Image


class ImageCNNConfig(ImageGridConfig, EncoderConfig):
    """Stages of 3x3 convolutions, each stage ended by 2x2 max pooling (Simonyan & Zisserman 2015).

    With ``whiten`` and ``pool_first`` it has the shape of the network that learns CIFAR-10 in the least time (Jordan
    2024, arXiv:2404.00498).
    """

    reads: ClassVar[str] = "image"
    free: ClassVar[tuple[str, ...]] = ("dropout", "pool")
    kind: Literal["image_cnn"] = "image_cnn"
    channels: tuple[PositiveInt, ...] = Field(default=(32, 64, 128), min_length=1)
    """Channels of each stage."""
    convolutions: int = Field(default=2, ge=1)
    """Convolutions in each stage."""
    norm: Norm = "batch"
    """Normalization after each convolution."""
    whiten: bool = False
    """Start with a convolution that is computed from the training part instead of learned: the principal directions of
    2x2 patches."""
    pool_first: bool = False
    """Pool after the first convolution of a stage instead of the last, which saves a third of the time and costs some
    accuracy."""

    def build(self, modality: Image, *, dim: int) -> nn.Module:
        """An encoder of that modality's pictures."""
        layers: list[nn.Module] = []
        maps: dict[int, FeatureMap] = {}
        before, stride = 3, 1
        if self.whiten:
            layers = [Whitening(before), build_activation(self.activation)]
            before = 2 * 4 * before
        for channels in self.channels:
            for place in range(self.convolutions):
                pools = self.pool_first and place == 0
                layers.append(build_convolution(before, channels, norm=self.norm, pool=pools))
                layers.append(build_activation(self.activation))
                before = channels
            if not self.pool_first:
                maps[stride] = FeatureMap(len(layers) - 1, channels)
                layers.append(nn.MaxPool2d(2, ceil_mode=True))
            stride *= 2
            maps[stride] = FeatureMap(len(layers) - 1, channels)
        return ImageGrid(nn.Sequential(*layers), maps=maps, size=modality.config.size, dim=dim, config=self)
