"""Masked image modeling: patches of a picture, or of all frames of a clip, are made grey, and guessed from the rest."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from tonggan.encoders.image_grid import normalize_pixels
from tonggan.encoders.video_frames import SeenFrames
from tonggan.layers.precision import in_float32
from tonggan.modalities import Video
from tonggan.modalities.image import Image
from tonggan.pretraining.base import Draw, Guessed, Pretraining, PretrainingConfig, refuse
from tonggan.tokens import Arrays
from tonggan.wording import Words

_GREY = 128  # which encoders read as 0


class MaskedImageConfig(PretrainingConfig):
    """Guess the pixels of hidden patches (SimMIM, Xie et al. 2022; MAE, He et al. 2022), for any grid of Tokens. Of a
    clip the same places of all its frames are hidden, for the next frame would tell (VideoMAE, Tong et al. 2022).
    """

    reads: ClassVar[tuple[str, ...]] = ("image", "video")
    words: ClassVar[Words] = Words("guess hidden patches of pictures from the rest", "由其余部分猜出画面中被遮住的块")
    varies: ClassVar[bool] = True
    kind: Literal["masked_image"] = "masked_image"
    hidden: float = Field(default=0.6, gt=0, lt=1)
    """Share of the patches that is masked."""
    patch: int | None = Field(default=None, ge=1)
    """Side of a patch in pixels; null is an eighth of the picture."""

    def build(self, encoder: nn.Module, modality: Image | Video, *, dim: int) -> MaskedImage:
        return MaskedImage(self, encoder, modality, dim=dim)


class MaskedImage(Pretraining):
    """Pictures ``uint8 [B, 3, S, S]``, or clips ``[B, K, 3, S, S]`` of which the mask shows N frames, to the mean
    absolute error of hidden pixels, which lie between -2 and 2.
    """

    def __init__(self, config: MaskedImageConfig, encoder: nn.Module, modality: Image | Video, *, dim: int) -> None:
        super().__init__(encoder, config.kind)
        self.hidden, self.size = config.hidden, modality.config.size
        self.patch = config.patch or max(1, self.size // 8)
        self.is_clip = isinstance(modality, Video)
        frames = modality.config.frames if isinstance(modality, Video) else None
        self.cells, self.depth = _cells_of(encoder, self.size, frames=frames)
        self.scale = math.ceil(self.size / self.cells)
        self.seen = SeenFrames()
        self.decoder = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 3 * self.depth * self.scale**2))

    def guess(self, arrays: Arrays, draw: Draw) -> Guessed:
        clips = self.seen(arrays) if self.is_clip else Arrays(arrays.values[:, None], arrays.mask[:, None])
        frames, size = clips.values, self.size
        side = math.ceil(size / self.patch)
        grid = draw(1, 1, side, side, like=frames) < self.hidden
        hidden = grid.repeat_interleave(self.patch, 3).repeat_interleave(self.patch, 4)[..., :size, :size]
        hidden = hidden & clips.mask[:, :, None, None, None]
        greyed = frames.masked_fill(hidden, _GREY)
        tokens = self.encoder(Arrays(greyed, clips.mask) if self.is_clip else Arrays(greyed[:, 0], arrays.mask))
        made = self._pixels(self.decoder(tokens.values))[:, : frames.shape[1], :, :size, :size]
        with in_float32(frames.device):
            pixels = normalize_pixels(frames.flatten(0, 1), dtype=torch.float32).view(frames.shape)
            errors = (made.float() - pixels).abs() * hidden
            count: Tensor = 3.0 * hidden.flatten(1).sum(dim=1)
            return Guessed(errors.flatten(1).sum(dim=1), count.to(errors.dtype))

    def _pixels(self, made: Tensor) -> Tensor:
        """Frames ``[B, N, 3, S, S]``, or a little more, of what the Tokens ``[B, L, …]`` say of their own."""
        cells, scale, rows = self.cells, self.scale, len(made)
        parts = made.reshape(rows, -1, cells, cells, self.depth, 3, scale, scale).permute(0, 1, 4, 5, 2, 6, 3, 7)
        return parts.reshape(rows, -1, 3, cells * scale, cells * scale)


@torch.no_grad()
def _cells_of(encoder: nn.Module, size: int, *, frames: int | None) -> tuple[int, int]:
    """How many cells a side of the grid of Tokens has that ``encoder`` makes of a picture, and for how many frames one
    stands; of ``frames`` frames of a clip, of which it has a grid at each time.

    Raises:
        ConfigError: it makes no square grid.
    """
    was_training = encoder.training
    encoder.eval()
    picture = torch.full((1, 1, 3, size, size), _GREY, dtype=torch.uint8)
    clips = [picture.expand(-1, number, -1, -1, -1) for number in (1, frames or 1)]
    given = [Arrays(each, torch.ones(each.shape[:2], dtype=torch.bool)) for each in clips]
    if frames is None:
        given = [Arrays.whole(picture[:, 0])] * 2
    count, whole = (encoder(each).values.shape[1] for each in given)
    encoder.train(was_training)
    cells = math.isqrt(count)
    if cells < 2 or cells**2 != count:
        raise refuse(
            objective="masked_image",
            got=f"an encoder that makes {count} tokens of a picture",
            expected="a square grid of them, to predict each part of the picture from",
            remedy="Set encoder.pool=grid, choose another encoder, or the objective contrastive",
        )
    return cells, math.ceil((frames or 1) / (whole // count))
