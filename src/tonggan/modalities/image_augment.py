"""Random variation of a batch of pictures: where they move, and how they look; and what speaks against mirroring them.

What must move along with a picture, as boxes do, is told by a ``Movement``.
"""

from __future__ import annotations

import math
import re

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from tonggan.config import Config
from tonggan.modalities.movement import Movement, compose, mosaic, scaled, turned

# What a text says that is not true of the mirrored picture.
_SIDES = re.compile(
    r"\b(left|right|east|west|(counter|anti)?-?clockwise|(left|right)(most|ward|wards|hand|handed))\b"
    r"|[左右东西镜]|[顺逆]时针",
    re.IGNORECASE,
)
# Names of classes and columns of what is written: numbers, single letters, and what bears them.
_WRITTEN = re.compile(
    r"[-+]?\d+([.,]\d+)?|[a-z]|.*(?<![a-z])(digit|letter|number|numeral|character|glyph|alphabet|text|word|script|sign"
    r"|logo|captcha|page|document|invoice|receipt|form|plate|ticket|handwriting|handwritten|arrow|symbol)s?(?![a-z]).*"
    r"|.*(字|文|数字|符号|标志|标识|箭头|发票|收据|票据|车牌|表单|单据|手写).*",
    re.IGNORECASE,
)
_SIGN_DRAWS, _CHANCE = 999, 0.01


class ImageAugment(Config):
    """Random variation of pictures in training; each is drawn anew for every row. Zero turns one off."""

    flip: bool | None = None
    """Flip horizontally with probability one half. Null decides by the training part: no flips if the answer is a
    number or a text, if names of classes or columns mean digits, letters or writing, if a text mentions left or right,
    or if the pictures themselves have an orientation, as digits do. The saved recipe records the decision."""
    flip_vertical: bool = False
    """Flip vertically with probability one half, for pictures without a natural top."""
    turn: bool = False
    """Rotate by a random multiple of 90 degrees, for pictures without a natural top."""
    shift: float = Field(default=0.0625, ge=0, lt=1)
    """Shift by up to this fraction of the size in each direction; the border is filled by reflection, or with black if
    there are boxes or masks."""
    scale: float = Field(default=0.0, ge=0, le=4)
    """Enlarge or shrink by a factor between 1 / (1 + scale) and 1 + scale."""
    mosaic: float = Field(default=0.0, ge=0, le=1)
    """Probability of combining four pictures around a random point into one (Bochkovskiy et al. 2020). Only for boxes
    and masks; it has no effect without them, since any other label of a picture is not true of the other three."""
    cutout: float = Field(default=0.0, ge=0, le=1)
    """Gray out a square of this fraction of the size at a random position (DeVries and Taylor 2017)."""
    brightness: float = Field(default=0.0, ge=0, le=1)
    """Multiply by a factor between 1 - brightness and 1 + brightness."""
    contrast: float = Field(default=0.0, ge=0, le=1)
    """Scale differences from the picture's mean by a factor between 1 - contrast and 1 + contrast."""
    saturation: float = Field(default=0.0, ge=0, le=1)
    """Scale differences from each pixel's gray value by a factor between 1 - saturation and 1 + saturation."""

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
        values = _move(values, flip=bool(settings.flip), shift=settings.shift, generator=generator)
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
        flip=bool(settings.flip),
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


def tells_sides(text: str) -> bool:
    """Whether a text says something of a picture that is not true of its mirror image, such as 'left of the tree'."""
    return _SIDES.search(text) is not None


def is_written(name: str) -> bool:
    """Whether a class or column is called like something that no mirror may show: '7', 'b', 'invoices', 'left'."""
    return _WRITTEN.fullmatch(name.strip().replace("_", " ")) is not None or tells_sides(name.replace("_", " "))


def are_handed(pictures: Tensor) -> bool:
    """Whether pictures ``[N, 3, S, S]`` can be told from their mirror images, as those of digits, and not of cats.

    What changes its sign in a mirror is added up over the pictures: the difference of light between left and right,
    and where edges rise to the right rather than fall. Where a picture and its mirror image are equally likely, each
    picture's part has either sign by chance, so that random signs say how large such sums are (an exact test).
    """
    grey = pictures.float().mean(dim=1, keepdim=True)
    light = F.adaptive_avg_pool2d(grey, 16)
    fine = F.adaptive_avg_pool2d(grey, min(64, grey.shape[-1]))
    across = fine[..., 1:-1, 2:] - fine[..., 1:-1, :-2]
    down = fine[..., 2:, 1:-1] - fine[..., :-2, 1:-1]
    slant = across * down
    slant = slant + slant.flip(-1)
    parts = (light - light.flip(-1), F.adaptive_avg_pool2d(slant, 8), slant.mean(dim=(2, 3), keepdim=True))
    generator = torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, (_SIGN_DRAWS, len(pictures)), generator=generator).float() * 2 - 1
    for part in parts:
        each = part.flatten(1)
        each = each / each.square().mean(dim=1, keepdim=True).sqrt().clamp(min=1e-6)
        seen, drawn = each.sum(dim=0).square().sum(), (signs @ each).square().sum(dim=1)
        if (1 + int((drawn >= seen).sum())) / (1 + _SIGN_DRAWS) < _CHANCE:
            return True
    return False
