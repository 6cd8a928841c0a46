"""A transformer over tubelets, small blocks of space and time, of a clip."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from tonggan.encoders.base import EncoderConfig
from tonggan.encoders.image_grid import normalize_pixels
from tonggan.encoders.present import encode_present
from tonggan.encoders.video_frames import SeenFrames
from tonggan.layers.convolution import build_convolution
from tonggan.layers.transformer import Transformer, TransformerConfig
from tonggan.modalities.video import Video
from tonggan.tokens import Arrays, Tokens


class VideoTubeletsConfig(TransformerConfig, EncoderConfig):
    """Tubelets projected, learned places and times, pre-norm blocks (ViViT, Arnab et al. 2021); before them early
    convolutions (Xiao et al. 2021) over each frame and how it differs from the one before (Wang et al. 2016).
    """

    reads: ClassVar[str] = "video"
    kind: Literal["video_tubelets"] = "video_tubelets"
    patch: int = Field(default=16, ge=2)
    """Side of a tubelet in pixels; the remainder at the border is cut off."""
    depth: int = Field(default=2, ge=1)
    """Consecutive frames of a tubelet; an incomplete last one repeats its last frame."""
    stem: tuple[PositiveInt, ...] = (16, 32)
    """Channels of 3x3 convolutions over a frame and its difference from the previous one; each halves it. Without any
    (``[]``) tubelets are cut from raw pixels, from which few clips are not enough to learn motion."""

    @model_validator(mode="after")
    def _whole_cells(self) -> Self:
        if self.patch % 2 ** len(self.stem):
            raise ValueError(f"{len(self.stem)} convolutions need a patch that is a multiple of {2 ** len(self.stem)}")
        return self

    def build(self, modality: Video, *, dim: int) -> nn.Module:
        """An encoder of that modality's clips."""
        return VideoTubelets(self, size=modality.config.size, frames=modality.config.frames, dim=dim)


class VideoTubelets(nn.Module):
    """Clips ``uint8 [B, K, 3, S, S]`` to Tokens ``[B, ceil(N / depth) * (S / patch)^2, dim]``, time by time."""

    undecayed = ("places", "times")

    def __init__(self, config: VideoTubeletsConfig, *, size: int, frames: int, dim: int) -> None:
        super().__init__()
        self.front_end = SeenFrames()
        self.depth, self.side = config.depth, size // config.patch
        channels = (6 if config.stem else 3, *config.stem)
        self.stem = nn.Sequential(
            *(
                nn.Sequential(build_convolution(before, after, norm="group", pool=True), nn.ReLU())
                for before, after in pairwise(channels)
            )
        )
        self.cell = config.patch // 2 ** len(config.stem)
        self.projection = nn.Linear(config.depth * channels[-1] * self.cell**2, dim)
        self.places = nn.Parameter(torch.randn(self.side**2, dim) * 0.02)
        self.times = nn.Parameter(torch.randn(-(-frames // config.depth), dim) * 0.02)
        self.dropout = nn.Dropout(config.dropout)
        self.transformer = Transformer(dim, config=config)

    def forward(self, arrays: Arrays) -> Tokens:
        """Tokens of a batch; only clips that are there pass through the transformer."""
        return encode_present(self.front_end(arrays), self._encode)

    def _encode(self, clips: Arrays) -> Tokens:
        frames, mask = clips.values, clips.mask
        missing = -frames.shape[1] % self.depth
        if missing:
            frames = torch.cat([frames, frames[:, -1:].expand(-1, missing, -1, -1, -1)], dim=1)
        if not torch.compiler.is_exporting():  # a graph is given clips of as many frames
            # A tubelet that begins in a real frame and ends after the last one repeats that one.
            last = (mask.sum(dim=1, keepdim=True) - 1).clamp(min=0)
            places = torch.minimum(torch.arange(frames.shape[1], device=mask.device).expand(len(frames), -1), last)
            frames = frames[torch.arange(len(frames), device=mask.device)[:, None], places]
        tubelets = self.projection(self._tubelets(self._maps(frames)))
        values = tubelets + self.places + self.times[: tubelets.shape[1], None]
        real = F.pad(mask, (0, missing))[:, :: self.depth]
        mask = real[:, :, None].expand(-1, -1, values.shape[2]).flatten(1)
        values = self.transformer(self.dropout(values.flatten(1, 2)), mask)
        return Tokens(values, mask)

    def _maps(self, frames: Tensor) -> Tensor:
        """Frames ``[B, N, 3, S, S]`` as the convolutions have them ``[B, N, C, H, W]``; without any, normalized."""
        pixels = normalize_pixels(frames.flatten(0, 1), dtype=self.projection.weight.dtype)
        maps = pixels
        if len(self.stem):
            changes = F.pad(pixels.view(frames.shape).diff(dim=1), (0, 0) * 3 + (1, 0)).flatten(0, 1)
            maps = self.stem(torch.cat([pixels, changes], dim=1).contiguous(memory_format=torch.channels_last))
        return maps.view(*frames.shape[:2], *maps.shape[1:])

    def _tubelets(self, maps: Tensor) -> Tensor:
        """Maps of frames ``[B, N, C, H, W]`` as ``[B, N / depth, (S / patch)^2, depth * C * cell^2]``."""
        batch, count, channels = maps.shape[:3]
        side, cell = self.side, self.cell
        cut = maps[..., : side * cell, : side * cell]
        shape = (batch, count // self.depth, self.depth, channels, side, cell, side, cell)
        return cut.reshape(shape).permute(0, 1, 4, 6, 2, 3, 5, 7).flatten(4).flatten(2, 3)
