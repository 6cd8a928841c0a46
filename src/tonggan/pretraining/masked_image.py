"""Masked image modeling: patches of a picture are made grey, and their pixels guessed from the rest."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from tonggan.encoders.image_grid import normalize_pixels
from tonggan.layers.precision import in_float32
from tonggan.modalities.image import Image
from tonggan.pretraining.base import Guessed, Pretraining, PretrainingConfig, drawn, refuse
from tonggan.tokens import Arrays
from tonggan.wording import Words

_GREY = 128  # which encoders read as 0


class MaskedImageConfig(PretrainingConfig):
    """Guess the pixels of hidden patches (SimMIM, Xie et al. 2022; MAE, He et al. 2022), for any grid of Tokens."""

    reads: ClassVar[tuple[str, ...]] = ("image",)
    words: ClassVar[Words] = Words("guess hidden patches of a picture from the rest", "由其余部分猜出图片中被遮住的块")
    varies: ClassVar[bool] = True
    kind: Literal["masked_image"] = "masked_image"
    hidden: float = Field(default=0.6, gt=0, lt=1)
    """Share of the patches to guess."""
    patch: int | None = Field(default=None, ge=1)
    """Side of a patch in pixels; null is an eighth of the picture."""

    def build(self, encoder: nn.Module, modality: Image, *, dim: int) -> MaskedImage:
        return MaskedImage(self, encoder, modality, dim=dim)


class MaskedImage(Pretraining):
    """Pictures ``uint8 [B, 3, S, S]`` to the mean absolute error of hidden pixels, which lie between -2 and 2."""

    def __init__(self, config: MaskedImageConfig, encoder: nn.Module, modality: Image, *, dim: int) -> None:
        super().__init__(encoder, config.kind)
        self.hidden, self.size = config.hidden, modality.config.size
        self.patch = config.patch or max(1, self.size // 8)
        self.cells = _cells_of(encoder, self.size)
        self.scale = math.ceil(self.size / self.cells)
        self.decoder = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 3 * self.scale**2))

    def guess(self, arrays: Arrays, generator: torch.Generator | None) -> Guessed:
        pictures, size = arrays.values, self.size
        side = math.ceil(size / self.patch)
        grid = drawn((len(pictures), 1, side, side), pictures, generator) < self.hidden
        hidden = grid.repeat_interleave(self.patch, 2).repeat_interleave(self.patch, 3)[:, :, :size, :size]
        hidden = hidden & arrays.mask[:, None, None, None]
        tokens = self.encoder(Arrays(pictures.masked_fill(hidden, _GREY), arrays.mask))
        made = self.decoder(tokens.values).transpose(1, 2).unflatten(2, (self.cells, self.cells))
        made = F.pixel_shuffle(made, self.scale)[:, :, :size, :size]
        with in_float32(pictures.device):
            errors = (made.float() - normalize_pixels(pictures, dtype=torch.float32)).abs() * hidden
            count: Tensor = 3.0 * hidden.flatten(1).sum(dim=1)
            return Guessed(errors.flatten(1).sum(dim=1), count.to(errors.dtype))


@torch.no_grad()
def _cells_of(encoder: nn.Module, size: int) -> int:
    """How many cells a side of the grid of Tokens has that ``encoder`` makes of a picture.

    Raises:
        ConfigError: it makes no square grid.
    """
    was_training = encoder.training
    encoder.eval()
    count = encoder(Arrays.whole(torch.full((1, 3, size, size), _GREY, dtype=torch.uint8))).values.shape[1]
    encoder.train(was_training)
    cells = math.isqrt(count)
    if cells < 2 or cells**2 != count:
        raise refuse(
            objective="masked_image",
            got=f"an encoder that makes {count} tokens of a picture",
            expected="a square grid of them, to guess each part of the picture by",
            remedy="Set encoder.pool=grid, choose another encoder, or the objective contrastive",
        )
    return cells
