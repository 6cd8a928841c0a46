"""A transformer over tubelets, small blocks of space and time, of a clip."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from tonggan.encoders.base import EncoderConfig
from tonggan.encoders.present import encode_present
from tonggan.encoders.video_frames import seen_frames
from tonggan.layers.transformer import Transformer, TransformerConfig
from tonggan.modalities.video import Video
from tonggan.tokens import Arrays, Tokens


class VideoTubeletsConfig(TransformerConfig, EncoderConfig):
    """Tubelets projected, learned places and times, pre-norm blocks (ViViT, Arnab et al. 2021)."""

    reads: ClassVar[str] = "video"
    kind: Literal["video_tubelets"] = "video_tubelets"
    patch: int = Field(default=16, ge=2)
    """Side of a tubelet in pixels; what is left over at the border is cut off."""
    depth: int = Field(default=2, ge=1)
    """Frames of a tubelet, one after the other; a last one that lacks some repeats its last frame."""

    def build(self, modality: Video, *, dim: int) -> nn.Module:
        """An encoder of that modality's clips."""
        return VideoTubelets(self, size=modality.config.size, frames=modality.config.frames, dim=dim)


class VideoTubelets(nn.Module):
    """Clips ``uint8 [B, K, 3, S, S]`` to Tokens ``[B, ceil(N / depth) * (S / patch)^2, dim]``, time by time."""

    undecayed = ("places", "times")

    def __init__(self, config: VideoTubeletsConfig, *, size: int, frames: int, dim: int) -> None:
        super().__init__()
        self.depth, self.patch = config.depth, config.patch
        self.projection = nn.Linear(config.depth * 3 * config.patch**2, dim)
        self.places = nn.Parameter(torch.randn((size // config.patch) ** 2, dim) * 0.02)
        self.times = nn.Parameter(torch.randn(-(-frames // config.depth), dim) * 0.02)
        self.dropout = nn.Dropout(config.dropout)
        self.transformer = Transformer(dim, config=config)

    def forward(self, arrays: Arrays) -> Tokens:
        """Tokens of a batch; only clips that are there pass through the transformer."""
        return encode_present(arrays, self._encode)

    def _encode(self, clips: Arrays) -> Tokens:
        frames, mask = seen_frames(clips)
        missing = -frames.shape[1] % self.depth
        if missing:
            frames = torch.cat([frames, frames[:, -1:].expand(-1, missing, -1, -1, -1)], dim=1)
        # A tubelet that begins in a real frame and ends after the last one repeats that one.
        last = (mask.sum(dim=1, keepdim=True) - 1).clamp(min=0)
        places = torch.minimum(torch.arange(frames.shape[1], device=mask.device).expand(len(frames), -1), last)
        frames = frames[torch.arange(len(frames), device=mask.device)[:, None], places]
        tubelets = self.projection((self._tubelets(frames).to(self.projection.weight.dtype) - 128) / 64)
        values = tubelets + self.places + self.times[: tubelets.shape[1], None]
        real = F.pad(mask, (0, missing))[:, :: self.depth]
        mask = real[:, :, None].expand(-1, -1, values.shape[2]).flatten(1)
        values = self.transformer(self.dropout(values.flatten(1, 2)), mask)
        return Tokens(values, mask)

    def _tubelets(self, frames: Tensor) -> Tensor:
        """Frames ``[B, N, 3, S, S]`` as ``[B, N / depth, (S / patch)^2, depth * 3 * patch^2]``."""
        batch, count, channels, size, _ = frames.shape
        side = size // self.patch
        cut = frames[..., : side * self.patch, : side * self.patch]
        shape = (batch, count // self.depth, self.depth, channels, side, self.patch, side, self.patch)
        return cut.reshape(shape).permute(0, 1, 4, 6, 2, 3, 5, 7).flatten(4).flatten(2, 3)
