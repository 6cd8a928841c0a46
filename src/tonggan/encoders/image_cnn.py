"""A plain convolutional network for pictures, in the manner of VGG: fast and enough for simple scenes."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, PositiveInt
from torch import nn

from tonggan.encoders.base import EncoderConfig
from tonggan.encoders.image_grid import FeatureMap, ImageGrid, ImageGridConfig
from tonggan.layers.activation import build_activation
from tonggan.layers.convolution import Norm, build_convolution
from tonggan.modalities.image import Image


class ImageCNNConfig(ImageGridConfig, EncoderConfig):
    """Stages of 3x3 convolutions, each stage ended by 2x2 max pooling (Simonyan & Zisserman 2015)."""

    reads: ClassVar[str] = "image"
    free: ClassVar[tuple[str, ...]] = ("dropout", "pool")
    kind: Literal["image_cnn"] = "image_cnn"
    channels: tuple[PositiveInt, ...] = Field(default=(32, 64, 128), min_length=1)
    """Channels of each stage."""
    convolutions: int = Field(default=2, ge=1)
    """Convolutions in each stage."""
    norm: Norm = "batch"
    """Normalization after each convolution."""

    def build(self, modality: Image, *, dim: int) -> nn.Module:
        """An encoder of that modality's pictures."""
        layers: list[nn.Module] = []
        maps: dict[int, FeatureMap] = {}
        before, stride = 3, 1
        for channels in self.channels:
            for _ in range(self.convolutions):
                layers.append(build_convolution(before, channels, norm=self.norm))
                layers.append(build_activation(self.activation))
                before = channels
            maps[stride] = FeatureMap(len(layers) - 1, channels)
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
            stride *= 2
        maps[stride] = FeatureMap(len(layers) - 1, before)
        return ImageGrid(nn.Sequential(*layers), maps=maps, size=modality.config.size, dim=dim, config=self)
