"""What the picture encoders share: normalized pixels in, a convolutional trunk of theirs, a grid of Tokens out."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from tonggan.config import Config
from tonggan.encoders.present import encode_present
from tonggan.layers.activation import Activation
from tonggan.tokens import Arrays, Tokens


class ImageGridConfig(Config):
    """Fields that every convolutional picture encoder has."""

    activation: Activation = "relu"
    """Activation after each convolution."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Chance that a feature is dropped before the projection, in training."""
    pool: Literal["grid", "mean", "max"] = "grid"
    """Tokens of a picture: one for each cell of the last feature map, or one of each channel's mean or maximum."""


class ImageGrid(nn.Module):
    """Pictures ``uint8 [B, 3, S, S]`` to Tokens ``[B, H' * W', dim]`` in reading order, or ``[B, 1, dim]`` pooled.

    Each cell gets a learned vector of its place, because a set of Tokens has no order of its own.

    Args:
        trunk: maps ``[N, 3, S, S]`` to ``[N, num_channels, H', W']``.
        num_channels: channels that the trunk ends with.
        num_cells: H' * W'.
        dim: width of a token.
        config: pooling and dropout.
    """

    undecayed = ("positions",)
    ends = ("projection", "positions")

    def __init__(
        self, trunk: nn.Module, *, num_channels: int, num_cells: int, dim: int, config: ImageGridConfig
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.dropout = nn.Dropout(config.dropout)
        self.projection = nn.Linear(num_channels, dim)
        self.pool = config.pool
        self.positions: nn.Parameter | None = None
        if self.pool == "grid":
            self.positions = nn.Parameter(torch.randn(num_cells, dim) * 0.02)

    def forward(self, arrays: Arrays) -> Tokens:
        """Tokens of a batch; only pictures that are there pass through the trunk."""
        return encode_present(arrays, self._encode)

    def _encode(self, pictures: Arrays) -> Tokens:
        features: Tensor = self.trunk(normalize_pixels(pictures.values, dtype=self.projection.weight.dtype))
        cells = features.flatten(2).transpose(1, 2)  # [N, H' * W', C]
        if self.pool == "mean":
            cells = cells.mean(dim=1, keepdim=True)
        elif self.pool == "max":
            cells = cells.amax(dim=1, keepdim=True)
        values = self.projection(self.dropout(cells))
        if self.positions is not None:
            values = values + self.positions
        return Tokens(values, pictures.mask[:, None].expand(values.shape[:2]))


def normalize_pixels(pictures: Tensor, *, dtype: torch.dtype) -> Tensor:
    """Bytes 0 to 255 as numbers from -2 to 2, channels last in memory; exact in bfloat16 too."""
    return pictures.to(dtype, memory_format=torch.channels_last).sub_(128).mul_(1 / 64)


def halved(size: int, *, times: int) -> int:
    """Side of a feature map after it was halved and rounded up so often."""
    return math.ceil(size / (1 << times))
