"""Keypoints of a picture as Tokens: as many as there are, in no order, each with what it looks like and where it is."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from tonggan.encoders.base import EncoderConfig
from tonggan.encoders.present import encode_present
from tonggan.layers.transformer import Transformer, TransformerConfig
from tonggan.modalities.base import InputConfig
from tonggan.modalities.image import ImageConfig
from tonggan.modalities.keypoints import DESCRIPTOR, GEOMETRY, Keypoints, KeypointsConfig
from tonggan.tokens import Arrays, Tokens

_FREQUENCIES = 4  # of places: waves of the whole side, a half, a quarter and an eighth of it
_PLACE = 4 * _FREQUENCIES + 3  # and the logarithm of the scale, cosine and sine of the direction


class ImageSIFTConfig(TransformerConfig, EncoderConfig):
    """RootSIFT descriptors (Arandjelović & Zisserman 2012) with their geometry, related by a transformer.

    A column of pictures becomes one of keypoints, which are found once, when files are decoded. Other settings of a
    picture's variation in training do not apply.
    """

    reads: ClassVar[str] = "keypoints"
    converts: ClassVar[tuple[str, ...]] = ("image",)
    free: ClassVar[tuple[str, ...]] = ("dropout", "hidden")
    kind: Literal["image_sift"] = "image_sift"
    width: int | None = Field(default=None, ge=2)
    """Width of the blocks; null takes the model's own, any other is projected to it."""
    hidden: float = Field(default=0.1, ge=0, lt=1)
    """Probability that a keypoint is dropped in training."""

    def prepare(self, modality: InputConfig) -> InputConfig:
        """The keypoints of a column of pictures."""
        return KeypointsConfig.of(modality) if isinstance(modality, ImageConfig) else modality

    def build(self, modality: Keypoints, *, dim: int) -> nn.Module:
        """An encoder of that modality's keypoints."""
        del modality
        return ImageSIFT(self, dim=dim)


class ImageSIFT(nn.Module):
    """Keypoints ``[B, 1 + K, 133]`` to Tokens ``[B, 1 + K, dim]``.

    The first token stands for the picture: a learned vector and how many keypoints there are, so that a blank picture
    has an answer of its own.
    """

    undecayed = ("picture",)
    ends = ("projection",)

    def __init__(self, config: ImageSIFTConfig, *, dim: int) -> None:
        super().__init__()
        width = config.width or dim
        self.hidden = config.hidden
        self.descriptor = nn.Linear(DESCRIPTOR, width)
        self.place = nn.Linear(_PLACE, width, bias=False)
        self.count = nn.Linear(1, width, bias=False)
        self.picture = nn.Parameter(torch.randn(width) * 0.02)
        self.dropout = nn.Dropout(config.dropout)
        self.transformer = Transformer(width, config=config)
        self.projection = nn.Identity() if width == dim else nn.Linear(width, dim)

    def forward(self, arrays: Arrays) -> Tokens:
        """Tokens of a batch."""
        return encode_present(arrays, self._encode)

    def _encode(self, keypoints: Arrays) -> Tokens:
        values, mask = keypoints.values.to(self.picture.dtype), keypoints.mask
        if self.training and self.hidden:
            kept = torch.rand(mask.shape, device=mask.device) >= self.hidden
            kept[:, :1] = True
            mask = mask & kept
        # What lies under the mask may be anything, and must be no reason for a root of something below 0.
        values = values.masked_fill(~mask.unsqueeze(-1), 0)
        geometry, descriptors = values[..., :GEOMETRY], values[..., GEOMETRY:]
        tokens = self.descriptor(root_sift(descriptors) * math.sqrt(DESCRIPTOR)) + self.place(_waves(geometry))
        number = (mask.sum(dim=1, keepdim=True) - 1).to(values.dtype).log1p()
        tokens = torch.cat([(self.picture + self.count(number)).unsqueeze(1), tokens[:, 1:]], dim=1)
        tokens = self.projection(self.transformer(self.dropout(tokens), mask))
        return Tokens(tokens, mask)


def root_sift(descriptors: Tensor) -> Tensor:
    """``[..., 128]`` of length 1: the roots of each descriptor's shares, so that products are Hellinger's kernel."""
    shares = descriptors / descriptors.sum(dim=-1, keepdim=True).clamp(min=1e-6)
    return shares.sqrt()


def _waves(geometry: Tensor) -> Tensor:
    """``[..., 19]``: places as sines and cosines, the scale and the direction."""
    frequencies = math.pi * 2 ** torch.arange(_FREQUENCIES, device=geometry.device, dtype=geometry.dtype)
    angles = (geometry[..., :2, None] * frequencies).flatten(-2)
    return torch.cat([angles.sin(), angles.cos(), geometry[..., 2:]], dim=-1)
