"""How heads that answer by place read a picture: its feature maps as a pyramid, under what the other inputs say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tonggan.decoders.base import Context
from tonggan.errors import ConfigError
from tonggan.layers.activation import Activation
from tonggan.layers.feature_pyramid import FeaturePyramid


class FeatureMaps(nn.Module):
    """The feature maps of one picture of each row, joined, and modulated by the other inputs (Perez et al. 2018).

    Args:
        encoders: of the inputs, by name; that of ``picture`` is told to give its feature maps.
        picture: name of the input.
        dim: of the Tokens.
        width: channels of the maps.
        finest: stride of the finest map that may be read; the picture's pixels for one of its own.
        count: how many maps are read, the coarsest ones; None for all.
        upward: whether fine maps speak to coarse ones, too.
        activation: after each convolution.

    Attributes:
        strides: of the maps, finest first.

    Raises:
        ConfigError: the encoder has no feature maps, or too few.
    """

    def __init__(
        self,
        encoders: Mapping[str, nn.Module],
        picture: str,
        *,
        dim: int,
        width: int,
        finest: int = 1,
        count: int | None = None,
        upward: bool = False,
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        encoder: Any = encoders[picture]
        known: Mapping[int, int] = getattr(encoder, "map_channels", {})
        channels = {stride: known[stride] for stride in sorted(known) if stride >= finest}
        if not channels or len(channels) < (count or 1):
            raise ConfigError(
                f"the encoder of '{picture}'",
                got=f"feature maps of stride {', '.join(map(str, channels))}" if known else "no feature maps",
                expected=f"{count or 1} of stride {finest} or more, as the head reads them",
                remedy="Choose 'image_resnet' with more stages, 'image_vit', 'image_pretrained' with EfficientNet, "
                "or another setting of the head",
            )
        encoder.gives_maps = True
        self.picture = picture
        self.strides = tuple(channels)[-(count or len(channels)) :]
        read = [channels[stride] for stride in self.strides]
        self.pyramid = FeaturePyramid(read, width=width, upward=upward, activation=activation)
        self.others = tuple(name for name in encoders if name != picture)
        self.modulation: nn.Linear | None = None
        if self.others:
            self.modulation = nn.Linear(dim, 2 * width)
            nn.init.zeros_(self.modulation.weight)
            nn.init.zeros_(self.modulation.bias)

    def forward(self, context: Context) -> tuple[Tensor, list[Tensor]]:
        """The rows that have a picture, int64 [n], and their maps ``[n, width, H, W]``, finest first."""
        tokens = context.encoded[self.picture]
        rows = tokens.present.nonzero().squeeze(1)
        read = tokens.maps[-len(self.strides) :]
        maps = self.pyramid(read if len(rows) == len(tokens) else [each[rows] for each in read])
        if self.modulation is None:
            return rows, maps
        said = self.modulation(context.tokens.mean()[rows])
        spoken = torch.stack([context.encoded[name].present[rows] for name in self.others]).any(dim=0)
        scale, shift = said.masked_fill(~spoken[:, None], 0)[:, :, None, None].chunk(2, dim=1)
        return rows, [each * (1 + scale) + shift for each in maps]

    def extent(self, context: Context) -> Tensor:
        """Height and width of each row's picture before it was brought to one size, int64 ``[B, 2]``."""
        arrays = context.inputs[self.picture]
        extent = arrays.extent
        if extent is None:
            extent = torch.tensor(arrays.values.shape[-2:], device=arrays.mask.device).expand(len(arrays), 2)
        return extent if arrays.index is None else extent[arrays.index]

    def size(self, context: Context) -> tuple[int, int]:
        """Height and width of the pictures that the encoder sees."""
        height, width = context.inputs[self.picture].values.shape[-2:]
        return height, width
