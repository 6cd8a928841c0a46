"""Pictures through pretrained weights: EfficientNet-Lite of the catalogue, or a folder in Hugging Face's layout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tonggan.encoders.image_trunk import ImageTrunk, image_sha256, image_side, open_image_trunk
from tonggan.encoders.present import encode_present
from tonggan.encoders.pretrained import PretrainedConfig, PretrainedEncoder
from tonggan.errors import ConfigError
from tonggan.modalities.base import InputConfig
from tonggan.modalities.image import Image
from tonggan.tokens import Arrays, Tokens

_ALL = 10_000  # blocks; more than any network has


class ImagePretrainedConfig(PretrainedConfig):
    """Pretrained weights, a norm, and a map to the model's width; a column without a size gets the weights' own."""

    reads: ClassVar[str] = "image"
    free: ClassVar[tuple[str, ...]] = ("pool",)
    kind: Literal["image_pretrained"] = "image_pretrained"
    pool: Literal["vector", "grid"] = "vector"
    """Tokens of a picture: the pooled vector that the network classifies by, or one for each cell of its last feature
    map."""

    def prepare(self, modality: InputConfig) -> InputConfig:
        """The pictures at the size that the weights were trained on, unless the column names one."""
        if "size" in modality.model_fields_set:
            return modality
        return modality.model_copy(update={"size": image_side(self.weights)})

    @property
    def base(self) -> Mapping[str, str]:
        return {"name": self.weights, "sha256": image_sha256(self.weights)}

    def build(self, modality: Image, *, dim: int) -> ImagePretrained:
        """An encoder of that modality's pictures.

        Raises:
            ConfigError: there are no such weights, or adapters are asked for where there is no linear map.
            DataError, MissingExtraError: the weights are damaged, or a package is missing.
        """
        num_learning = {"full": _ALL, "last": self.layers}.get(self.tune, 0)
        trunk = open_image_trunk(self.weights, num_learning=num_learning)
        has_linear = any(isinstance(each, nn.Linear) for block in trunk.blocks for each in block.modules())
        if self.tune == "low_rank" and not has_linear:
            raise ConfigError(
                "encoder image_pretrained",
                got=f"tune 'low_rank' with {self.weights}, which has convolutions alone",
                expected="a network with linear maps, to which adapters are added",
                remedy="Set tune to 'last' or 'full'",
            )
        return ImagePretrained(self, trunk, size=modality.config.size, dim=dim)


class ImagePretrained(PretrainedEncoder):
    """Pictures ``uint8 [B, 3, S, S]`` to Tokens ``[B, 1, dim]``, or of cells in reading order ``[B, L, dim]``.

    Batch normalization keeps the statistics that it was trained with: those of a few rows are worse.

    Args:
        config: what learns, and which Tokens.
        trunk: with its weights.
        size: S.
        dim: width of a token.

    Attributes:
        map_channels: of the feature maps, by their stride, finest first.
        gives_maps: whether the Tokens carry the feature maps; False until a head that reads them says so.
    """

    undecayed = ("positions",)
    ends = ("norm", "projection", "positions")

    def __init__(self, config: ImagePretrainedConfig, trunk: ImageTrunk, *, size: int, dim: int) -> None:
        super().__init__(config, trunk, blocks=trunk.blocks)
        self.map_channels = dict(trunk.map_channels)
        self.gives_maps = False
        self.norm = nn.LayerNorm(trunk.dim)
        self.projection = nn.Linear(trunk.dim, dim)
        self.positions: nn.Parameter | None = None
        if config.pool == "grid":
            self.positions = nn.Parameter(torch.randn(trunk.num_cells(size), dim) * 0.02)

    def forward(self, arrays: Arrays) -> Tokens:
        """Tokens of a batch; only pictures that are there pass through the trunk."""
        return encode_present(arrays, self._encode)

    def _encode(self, pictures: Arrays) -> Tokens:
        features = self.trunk(pictures.values)
        cells: Tensor = features.vector[:, None] if self.positions is None else features.cells
        values = self.projection(self.norm(cells))
        if self.positions is not None:
            values = values + self.positions
        mask = pictures.mask[:, None].expand(values.shape[:2])
        return Tokens(values, mask, features.maps if self.gives_maps else [])

    def train(self, mode: bool = True) -> Self:
        """As every pretrained encoder, with batch normalization in evaluation mode."""
        super().train(mode)
        for part in self.trunk.modules():
            if isinstance(part, _BatchNorm):
                part.eval()
        return self
