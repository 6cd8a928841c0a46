"""A compact transformer for pictures, for sets that are too small for one of plain patches."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from tonggan.encoders.base import EncoderConfig
from tonggan.encoders.image_grid import normalize_pixels
from tonggan.encoders.present import encode_present
from tonggan.layers.transformer import Transformer, TransformerConfig
from tonggan.modalities.image import Image
from tonggan.tokens import Arrays, Tokens

_COARSER = 2  # feature maps that are made of the last one


class ImageViTConfig(TransformerConfig, EncoderConfig):
    """Convolutions with max pooling make the tokens, a transformer relates them (CCT, Hassani et al. 2021)."""

    reads: ClassVar[str] = "image"
    free: ClassVar[tuple[str, ...]] = ("dropout", "pool")
    kind: Literal["image_vit"] = "image_vit"
    num_layers: int = Field(default=4, ge=0)
    """Number of blocks."""
    mlp_ratio: float = Field(default=2.0, gt=0)
    """Hidden width of each block's perceptron, as a multiple of the width."""
    width: int | None = Field(default=None, ge=2)
    """Width of the blocks; null takes the model's own, any other is projected to it."""
    convolutions: int | None = Field(default=None, ge=1, le=6)
    """3x3 convolutions before the transformer; each halves the picture. Null chooses 2 up to 48 pixels, 3 up to 96, 4
    above."""
    stem_channels: int = Field(default=64, ge=1)
    """Channels after each convolution but the last."""
    pool: Literal["grid", "mean", "attention"] = "grid"
    """Tokens of a picture: one for each cell, or one for all, with equal or learned weights."""

    def build(self, modality: Image, *, dim: int) -> nn.Module:
        """An encoder of that modality's pictures.

        Raises:
            ConfigError: ``num_heads`` does not divide the width.
        """
        return ImageViT(self, size=modality.config.size, dim=dim)


class ImageViT(nn.Module):
    """Pictures ``uint8 [B, 3, S, S]`` to Tokens ``[B, L, dim]`` in reading order, or ``[B, 1, dim]`` pooled.

    The feature maps are what the convolutions give, what the transformer makes of the last one, and maxima of 2x2 and
    4x4 cells of that (as in Li et al. 2022, "Exploring plain vision transformer backbones").

    Attributes:
        map_channels: of the feature maps, by their stride, finest first.
        gives_maps: whether the Tokens carry the feature maps; False until a head that reads them says so.
    """

    undecayed = ("positions",)
    ends = ("projection",)

    def __init__(self, config: ImageViTConfig, *, size: int, dim: int) -> None:
        super().__init__()
        width = config.width or dim
        count = config.convolutions or (2 if size <= 48 else 3 if size <= 96 else 4)
        channels = [3, *[config.stem_channels] * (count - 1), width]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=1, bias=False) for before, after in pairwise(channels)
        )
        for layer in self.convolutions:
            nn.init.kaiming_normal_(layer.weight)  # type: ignore[arg-type]
        self.side = -(-size // 2**count)
        self.map_channels = {2 ** (place + 1): channels[place + 1] for place in range(count)}
        self.map_channels |= {2 ** (count + step): width for step in range(1, _COARSER + 1)}
        self.gives_maps = False
        self.positions = nn.Parameter(torch.randn(self.side**2, width) * 0.02)
        self.dropout = nn.Dropout(config.dropout)
        self.transformer = Transformer(width, config=config)
        self.pool = config.pool
        self.weighting = nn.Linear(width, 1) if config.pool == "attention" else None
        self.projection = nn.Identity() if width == dim else nn.Linear(width, dim)

    def forward(self, arrays: Arrays) -> Tokens:
        """Tokens of a batch; only pictures that are there pass through the network."""
        return encode_present(arrays, self._encode)

    def _encode(self, pictures: Arrays) -> Tokens:
        features = normalize_pixels(pictures.values, dtype=self.positions.dtype)
        maps: list[Tensor] = []
        for layer in self.convolutions:
            # The maximum first, which is the same and leaves a quarter to the activation.
            features = F.max_pool2d(layer(features), 3, stride=2, padding=1).relu()
            maps.append(features)
        cells = features.flatten(2).transpose(1, 2) + self.positions
        mask = pictures.mask[:, None].expand(cells.shape[:2])
        cells = self.transformer(self.dropout(cells), mask)
        if self.gives_maps:
            maps[-1] = cells.transpose(1, 2).unflatten(2, (self.side, self.side))
            for _ in range(_COARSER):
                maps.append(F.max_pool2d(maps[-1], 2, ceil_mode=True))
        if self.weighting is not None:
            cells = self.weighting(cells).softmax(dim=1).transpose(1, 2) @ cells
        elif self.pool == "mean":
            cells = cells.mean(dim=1, keepdim=True)
        return Tokens(self.projection(cells), mask[:, : cells.shape[1]], maps if self.gives_maps else [])
