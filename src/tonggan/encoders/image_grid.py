"""What the picture encoders share: normalized pixels in, a convolutional trunk of theirs, a grid of Tokens out.

On the way the trunk makes feature maps, of which heads that answer by place read the last one of each resolution.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from tonggan.config import Config
from tonggan.encoders.present import encode_present
from tonggan.layers.activation import Activation
from tonggan.layers.whitening import Whitening
from tonggan.tokens import Arrays, Tokens


class ImageGridConfig(Config):
    """Fields that every convolutional picture encoder has."""

    activation: Activation = "relu"
    """Activation after each convolution."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout probability before the projection, in training."""
    pool: Literal["grid", "mean", "max"] = "grid"
    """Tokens of a picture: one for each cell of the last feature map, or one with the mean or maximum of each channel.
    """


class FeatureMap(NamedTuple):
    """A feature map of a trunk: that layer of it which gives it, and its channels."""

    layer: int
    channels: int


class ImageGrid(nn.Module):
    """Pictures ``uint8 [B, 3, S, S]`` to Tokens ``[B, H' * W', dim]`` in reading order, or ``[B, 1, dim]`` pooled.

    Each cell gets a learned vector of its place, because a set of Tokens has no order of its own.

    Args:
        trunk: its layers map ``[N, 3, S, S]`` to ``[N, C, H', W']``.
        maps: the feature maps by their stride, the number of pixels of a side for one of theirs, finest first.
        size: S.
        dim: width of a token.
        config: pooling and dropout.

    Attributes:
        map_channels: of the feature maps, by their stride, finest first.
        gives_maps: whether the Tokens carry the feature maps; False until a head that reads them says so.
    """

    undecayed = ("positions",)
    ends = ("projection", "positions")

    def __init__(
        self, trunk: nn.Sequential, *, maps: Mapping[int, FeatureMap], size: int, dim: int, config: ImageGridConfig
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.map_channels = {stride: each.channels for stride, each in maps.items()}
        self.gives_maps = False
        self._map_layers = {each.layer for each in maps.values()}
        stride, last = list(maps.items())[-1]
        num_cells = math.ceil(size / stride) ** 2
        self.dropout = nn.Dropout(config.dropout)
        self.projection = nn.Linear(last.channels, dim)
        self.pool = config.pool
        self.positions: nn.Parameter | None = None
        if self.pool == "grid":
            self.positions = nn.Parameter(torch.randn(num_cells, dim) * 0.02)

    @property
    def adapts(self) -> bool:
        """Whether ``adapt`` has something to compute."""
        return isinstance(self.trunk[0], Whitening)

    def adapt(self, arrays: Arrays) -> None:
        """Compute of pictures of the training part what does not learn."""
        first = self.trunk[0]
        if isinstance(first, Whitening):
            first.adapt(normalize_pixels(arrays.values[arrays.mask], dtype=self.projection.weight.dtype))

    def forward(self, arrays: Arrays) -> Tokens:
        """Tokens of a batch; only pictures that are there pass through the trunk."""
        return encode_present(arrays, self._encode)

    def _encode(self, pictures: Arrays) -> Tokens:
        features = normalize_pixels(pictures.values, dtype=self.projection.weight.dtype)
        maps: list[Tensor] = []
        for place, layer in enumerate(self.trunk):
            features = layer(features)
            if self.gives_maps and place in self._map_layers:
                maps.append(features)
        cells = features.flatten(2).transpose(1, 2)  # [N, H' * W', C]
        if self.pool == "mean":
            cells = cells.mean(dim=1, keepdim=True)
        elif self.pool == "max":
            cells = cells.amax(dim=1, keepdim=True)
        values = self.projection(self.dropout(cells))
        if self.positions is not None:
            values = values + self.positions
        return Tokens(values, pictures.mask[:, None].expand(values.shape[:2]), maps)


def normalize_pixels(pictures: Tensor, *, dtype: torch.dtype) -> Tensor:
    """Bytes 0 to 255 as numbers from -2 to 2, channels last in memory; exact in bfloat16 too."""
    return pictures.to(dtype, memory_format=torch.channels_last).sub_(128).mul_(1 / 64)
