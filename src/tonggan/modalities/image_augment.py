"""Random variation of a batch of pictures: where they move, and how they look.

What must move along with a picture, as boxes do, is told by a ``Movement``.
"""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor

from tonggan.config import Config
from tonggan.modalities.movement import Movement, compose, mosaic, scaled, turned


class ImageAugment(Config):
    """Random variation of pictures in training; each is drawn anew for every row. Zero turns one off."""

    flip: bool = False
    """Mirror left and right with chance one half. Off by default: it would make 'left of' and text wrong."""
    flip_vertical: bool = False
    """Mirror top and bottom with chance one half, where a picture has no way up."""
    turn: bool = False
    """Turn by a random number of quarter turns, likewise."""
    shift: float = Field(default=0.0625, ge=0, lt=1)
    """Move by up to this fraction of the size in each direction; the border is filled by reflection, or with black
    where boxes or masks follow."""
    scale: float = Field(default=0.0, ge=0, le=4)
    """Enlarge or shrink by a factor between 1 / (1 + scale) and 1 + scale."""
    mosaic: float = Field(default=0.0, ge=0, le=1)
    """Chance of four pictures around a random place instead of one (Bochkovskiy et al. 2020). It is for boxes and
    masks, and nothing happens without them: whatever else is told of a picture is not true of the other three."""
    cutout: float = Field(default=0.0, ge=0, le=1)
    """Grey out a square of this fraction of the size at a random place (DeVries and Taylor 2017)."""
    brightness: float = Field(default=0.0, ge=0, le=1)
    """Multiply by a factor between 1 - brightness and 1 + brightness."""
    contrast: float = Field(default=0.0, ge=0, le=1)
    """Spread around the picture's mean by a factor between 1 - contrast and 1 + contrast."""
    saturation: float = Field(default=0.0, ge=0, le=1)
    """Spread around each pixel's grey by a factor between 1 - saturation and 1 + saturation."""

    @property
    def moves(self) -> bool:
        """Whether pictures move in ways that no gather of whole pixels makes."""
        return bool(self.flip_vertical or self.turn or self.scale or self.mosaic)


def vary_pictures(
    values: Tensor, settings: ImageAugment, generator: torch.Generator, *, movement: Movement | None = None
) -> Tensor:
    """Pictures uint8 ``[B, 3, S, S]`` moved, by ``movement`` where it is given, relit and cut out."""
    if movement is not None:
        values = movement.pictures(values)
    elif settings.flip or settings.shift:
        values = _move(values, flip=settings.flip, shift=settings.shift, generator=generator)
    if settings.brightness or settings.contrast or settings.saturation:
        values = _relight(values, settings, generator=generator)
    if settings.cutout:
        values = _cut_out(values, fraction=settings.cutout, generator=generator)
    return values


def draw_movement(present: Tensor, size: int, settings: ImageAugment, *, generator: torch.Generator) -> Movement:
    """A movement of squares of ``size`` pixels; one that is not ``present`` [B] gets nothing of the others."""
    count = len(present)
    own = turned(
        size,
        count,
        flip=settings.flip,
        flip_vertical=settings.flip_vertical,
        turn=settings.turn,
        generator=generator,
    )
    reach = math.log1p(settings.scale)
    factor = ((torch.rand(count, generator=generator) * 2 - 1) * reach).exp()
    shift = (torch.rand(count, 2, generator=generator) * 2 - 1) * settings.shift * size
    own = compose(scaled(factor, offset=shift + (1 - factor).unsqueeze(1) * size / 2), own)
    chosen = present & (torch.rand(count, generator=generator) < settings.mosaic)
    if settings.mosaic:
        return mosaic(size, own, chosen=chosen, generator=generator)
    region = torch.tensor([0.0, 0, size, size]).expand(1, count, 4)
    return Movement(torch.arange(count).unsqueeze(0), own.unsqueeze(0), region)


def _move(values: Tensor, *, flip: bool, shift: float, generator: torch.Generator) -> Tensor:
    """Flip and shift as one gather: each output pixel names the pixel that it comes from."""
    batch, channels, height, width = values.shape
    rows = _source_index(batch, height, shift, generator)
    columns = _source_index(batch, width, shift, generator)
    if flip:
        mirrored = torch.rand(batch, 1, generator=generator) < 0.5
        columns = torch.where(mirrored, width - 1 - columns, columns)
    source = (rows.unsqueeze(2) * width + columns.unsqueeze(1)).view(batch, 1, height * width)
    return values.flatten(2).gather(2, source.expand(-1, channels, -1)).view_as(values)


def _source_index(batch: int, size: int, shift: float, generator: torch.Generator) -> Tensor:
    """[B, size] int64: positions moved by up to ``shift`` of the size, reflected at the border."""
    reach = int(shift * size)
    offset = torch.randint(-reach, reach + 1, (batch, 1), generator=generator)
    position = (torch.arange(size) + offset).abs()
    return torch.where(position > size - 1, 2 * (size - 1) - position, position)


def _relight(values: Tensor, settings: ImageAugment, *, generator: torch.Generator) -> Tensor:
    """Brightness, then contrast around the picture's own mean, one factor a row each."""
    factors = torch.rand(2, len(values), 1, 1, 1, generator=generator) * 2 - 1
    light = values.float() * (1 + settings.brightness * factors[0])
    mean = light.mean(dim=(1, 2, 3), keepdim=True)
    light = mean + (light - mean) * (1 + settings.contrast * factors[1])
    if settings.saturation:
        factor = torch.rand(len(values), 1, 1, 1, generator=generator) * 2 - 1
        grey = light.mean(dim=1, keepdim=True)
        light = grey + (light - grey) * (1 + settings.saturation * factor)
    return light.round().clamp(0, 255).to(torch.uint8)


def _cut_out(values: Tensor, *, fraction: float, generator: torch.Generator) -> Tensor:
    """A grey square whose center lies anywhere in the picture, so that it may reach over the border."""
    batch, _, height, width = values.shape
    center = torch.rand(2, batch, 1, generator=generator)
    near_row = (torch.arange(height) + 0.5 - center[0] * height).abs() <= fraction * height / 2
    near_column = (torch.arange(width) + 0.5 - center[1] * width).abs() <= fraction * width / 2
    return values.masked_fill((near_row.unsqueeze(2) & near_column.unsqueeze(1)).unsqueeze(1), 128)
