"""Residual networks for pictures, from the few-minute nets for 32x32 pictures to the classic shape for large ones."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator
from torch import Tensor, nn

from tonggan.encoders.base import EncoderConfig
from tonggan.encoders.image_grid import FeatureMap, ImageGrid, ImageGridConfig
from tonggan.layers.activation import Activation, build_activation
from tonggan.layers.convolution import build_convolution
from tonggan.modalities.image import Image

ResidualNorm = Literal["batch", "group"]


class ImageResNetConfig(ImageGridConfig, EncoderConfig):
    """A stem and residual stages.

    With ``downsample: stride`` a stage opens with a strided residual block (He et al. 2016). With ``max_pool`` it opens
    with a plain convolution and max pooling and may have no residual block at all (ResNet-9, Page 2018, for DAWNBench).
    """

    reads: ClassVar[str] = "image"
    is_default: ClassVar[bool] = True
    free: ClassVar[tuple[str, ...]] = ("dropout", "pool")
    kind: Literal["image_resnet"] = "image_resnet"
    stem_channels: int = Field(default=32, ge=1)
    """Channels after the stem."""
    stem_stride: Literal[1, 2, 4] | None = None
    """Stride of the stem; null chooses 1 up to 48 pixels, 2 up to 128, 4 above."""
    channels: tuple[PositiveInt, ...] = Field(default=(64, 128, 256), min_length=1)
    """Channels of each stage."""
    blocks: tuple[NonNegativeInt, ...] = (1, 1, 1)
    """Residual blocks of each stage."""
    strides: tuple[Literal[1, 2], ...] = (2, 2, 2)
    """Stride of each stage: 2 halves the feature map, 1 keeps its size."""
    downsample: Literal["stride", "max_pool"] = "max_pool"
    """How a stage opens."""
    norm: ResidualNorm = "batch"
    """Normalization after each convolution."""

    @model_validator(mode="after")
    def _same_number_of_stages(self) -> Self:
        if not len(self.channels) == len(self.blocks) == len(self.strides):
            raise ValueError("channels, blocks and strides must have one entry for each stage")
        if self.downsample == "stride" and 0 in self.blocks:
            raise ValueError("downsample 'stride' needs at least one block in each stage")
        return self

    def build(self, modality: Image, *, dim: int) -> nn.Module:
        """An encoder of that modality's pictures."""
        size = modality.config.size
        total: int = self.stem_stride or (1 if size <= 48 else 2 if size <= 128 else 4)
        layers: list[nn.Module] = [*self._stem(total)]
        before = self.stem_channels
        maps = {total: FeatureMap(len(layers) - 1, before)}
        for channels, num_blocks, stride in zip(self.channels, self.blocks, self.strides, strict=True):
            layers.extend(self._stage(before, channels, num_blocks=num_blocks, stride=stride))
            before, total = channels, total * stride
            maps[total] = FeatureMap(len(layers) - 1, before)
        return ImageGrid(nn.Sequential(*layers), maps=maps, size=size, dim=dim, config=self)

    def _stem(self, stride: int) -> list[nn.Module]:
        if stride < 4:
            convolution = build_convolution(3, self.stem_channels, norm=self.norm, stride=stride)
        else:
            convolution = build_convolution(3, self.stem_channels, norm=self.norm, size=7, stride=2, pool=True)
        return [convolution, build_activation(self.activation)]

    def _stage(self, before: int, channels: int, *, num_blocks: int, stride: int) -> list[nn.Module]:
        layers: list[nn.Module] = []
        if self.downsample == "max_pool":
            layers.append(build_convolution(before, channels, norm=self.norm, pool=stride == 2))
            layers.append(build_activation(self.activation))
            before, stride = channels, 1
        for _ in range(num_blocks):
            block = ResidualBlock(before, channels, stride=stride, norm=self.norm, activation=self.activation)
            layers.append(block)
            before, stride = channels, 1
        return layers


class ResidualBlock(nn.Module):
    """``act(shortcut(x) + norm(conv(act(norm(conv(x))))))``; the shortcut is a 1x1 convolution where shapes change.

    ``[B, before, H, W]`` to ``[B, after, ceil(H / stride), ceil(W / stride)]``.
    """

    def __init__(self, before: int, after: int, *, stride: int, norm: ResidualNorm, activation: Activation) -> None:
        super().__init__()
        self.first = build_convolution(before, after, norm=norm, stride=stride)
        self.second = build_convolution(after, after, norm=norm)
        changes = before != after or stride != 1
        self.shortcut = build_convolution(before, after, norm=norm, size=1) if changes else nn.Identity()
        self.stride = stride
        self.activation = build_activation(activation)

    def forward(self, values: Tensor) -> Tensor:
        """The block's output."""
        inner = self.second(self.activation(self.first(values)))
        # Not a 1x1 convolution with a stride: where channels are few, oneDNN 3.12 writes past the memory of its
        # gradient on CPUs without AVX-512.
        kept = values if self.stride == 1 else values[:, :, :: self.stride, :: self.stride]
        output: Tensor = self.activation(self.shortcut(kept) + inner)
        return output
