"""Contrastive pretraining: two views of one item are to be alike, and unlike those of all others in the batch.

Views are random: pictures cropped and recolored, recordings cut, texts with gaps, each batch in one pass.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from tonggan.encoders.video_frames import SeenFrames
from tonggan.layers.precision import in_float32
from tonggan.modalities import Modality
from tonggan.pretraining.base import Draw, Guessed, Pretraining, PretrainingConfig
from tonggan.tokens import Arrays, Tokens
from tonggan.training.world import gathered, places_of_own
from tonggan.wording import Words

_RATIO = 4 / 3  # of the sides of a crop, at most
_GREY_CHANCE, _COLOR_CHANCE = 0.2, 0.8
_TURN = 0.1  # of the circle of hues, at full color
# Brightness and two axes of color, of which hue is the angle and saturation the length (NTSC's YIQ).
_YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


class ContrastiveConfig(PretrainingConfig):
    """Find the other view of each item among all of the batch: SimCLR (Chen et al. 2020) for pictures, which are
    cropped and recolored; clips likewise, all frames alike (CVRL, Qian et al. 2021); SimCSE (Gao et al. 2021) for
    texts, of which a part is left out, under dropout; of sounds two crops (COLA, Saeed et al. 2021).
    """

    reads: ClassVar[tuple[str, ...]] = ("image", "video", "text", "audio")
    default_of: ClassVar[tuple[str, ...]] = ("image", "video")
    words: ClassVar[Words] = Words(
        "tell two views of one item from those of others", "分辨同一内容的两个视图与其他内容"
    )
    kind: Literal["contrastive"] = "contrastive"
    temperature: float = Field(default=0.2, ge=0.01)
    """Similarities are divided by it."""
    least_crop: float = Field(default=0.2, gt=0, le=1)
    """Minimum share of a picture's area, or of a recording's length, that a view shows."""
    color: float = Field(default=0.5, ge=0, le=1)
    """Strength of random changes of brightness, contrast, saturation and hue of a view; 0 for none. Views are flipped
    if the column's augmentation flips."""
    left_out: float = Field(default=0.15, ge=0, lt=1)
    """Share of the tokens that is left out of a view of a text."""
    projection: int = Field(default=128, ge=8)
    """Width of the vectors by which views are compared."""

    def build(self, encoder: nn.Module, modality: Modality[Any], *, dim: int) -> Contrasted:
        return Contrasted(self, encoder, modality, dim=dim)


class Contrasted(Pretraining):
    """Items of a batch to the normalized, temperature-scaled cross-entropy (NT-Xent) of their two views."""

    splits_batches = False
    gathers = True

    def __init__(self, config: ContrastiveConfig, encoder: nn.Module, modality: Modality[Any], *, dim: int) -> None:
        super().__init__(encoder, config.kind)
        self.config, self.modality = config, modality
        self.norm = nn.LayerNorm(dim)
        self.projector = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, config.projection))

    def weight(self, batch: Any) -> float:
        return float(len(batch))

    def guess(self, arrays: Arrays, draw: Draw) -> Guessed:
        views = [make_view(arrays, self.modality.config, self.config, draw) for _ in range(2)]
        both = _joined(views)
        tokens: Tokens = self.encoder(both)
        vectors = F.normalize(self.projector(self.norm(tokens.mean())).float(), dim=1)
        with in_float32(vectors.device):
            every, present = (
                torch.cat([gathered(view) for view in each.chunk(2)]) for each in (vectors, tokens.present)
            )
            guessed = nt_xent(every, present, temperature=self.config.temperature)
            return guessed.take(places_of_own(arrays.mask))


def _joined(views: Sequence[Arrays]) -> Arrays:
    """One batch of several, padded to the longest row."""
    if len({each.values.shape for each in views}) == 1:
        return Arrays(torch.cat([each.values for each in views]), torch.cat([each.mask for each in views]))
    most = max(each.values.shape[1] for each in views)
    pads = [(0, most - each.values.shape[1]) for each in views]
    return Arrays(
        torch.cat([F.pad(each.values, pad) for each, pad in zip(views, pads, strict=True)]),
        torch.cat([F.pad(each.mask, pad) for each, pad in zip(views, pads, strict=True)]),
    )


def nt_xent(vectors: Tensor, present: Tensor, *, temperature: float) -> Guessed:
    """The loss of each of N items whose views are the unit ``vectors`` [2N, D], those of an item N apart.

    A view is to be nearer to its partner than to the 2N - 2 others; items that are not ``present`` [2N] take no part.
    """
    count = len(vectors) // 2
    logits = vectors @ vectors.T / temperature
    eye = torch.eye(2 * count, dtype=torch.bool, device=logits.device)
    logits = logits.masked_fill(eye | ~present, torch.finfo(logits.dtype).min)
    partner = torch.arange(2 * count, device=logits.device).roll(count)
    counted = (present & present[partner]).to(logits.dtype)
    losses = F.cross_entropy(logits, partner, reduction="none") * counted
    right = (logits.argmax(dim=1) == partner) * counted
    return Guessed(*(each.view(2, count).sum(dim=0) for each in (losses, counted, right)))


def make_view(arrays: Arrays, column: Any, config: ContrastiveConfig, draw: Draw) -> Arrays:
    """A random view of each item; one that is absent stays so.

    Args:
        arrays: pictures uint8 ``[B, 3, S, S]``, clips ``[B, K, 3, S, S]``, samples float ``[B, T]`` or ids int64
            ``[B, L]``.
        column: the config of the column.
        config: how far a view may be from the item.
        draw: of all randomness.
    """
    view: Arrays = _VIEWS[column.kind](arrays, column, config, draw)
    return view


def _picture(arrays: Arrays, column: Any, config: ContrastiveConfig, draw: Draw) -> Arrays:
    flips = column.augment is not None and column.augment.flip
    values = _crop(arrays.values, least=config.least_crop, flips=flips, draw=draw)
    if config.color:
        values = _recolor(values, config.color, draw)
    return replace(arrays, values=(values * 255).round().clamp(0, 255).to(torch.uint8))


def _clip(arrays: Arrays, column: Any, config: ContrastiveConfig, draw: Draw) -> Arrays:
    """The frames that are seen, cropped alike, and recolored as one tall picture of them all."""
    seen = SeenFrames()(arrays)
    frames = seen.values
    flips = column.augment is not None and column.augment.flip
    values = _crop(frames.flatten(1, 2), least=config.least_crop, flips=flips, draw=draw).view(frames.shape)
    if config.color:
        tall = _recolor(values.transpose(1, 2).flatten(2, 3), config.color, draw)
        values = tall.reshape(len(tall), 3, *frames.shape[1::2], -1).transpose(1, 2)
    return Arrays((values * 255).round().clamp(0, 255).to(torch.uint8), seen.mask)


def _crop(pictures: Tensor, *, least: float, flips: bool, draw: Draw) -> Tensor:
    """Float ``[B, C, S, S]`` from 0 to 1: a random part of each, scaled to the whole (Szegedy et al. 2015)."""
    area, ratio, left, top, mirror = draw(5, like=pictures).unbind(dim=1)
    side = (least + (1 - least) * area).sqrt()
    stretch = ((2 * ratio - 1) * math.log(_RATIO) / 2).exp()
    width, height = (side * stretch).clamp(max=1), (side / stretch).clamp(max=1)
    sign = torch.where(mirror < 0.5, -1.0, 1.0) if flips else torch.ones_like(mirror)
    zero = torch.zeros_like(width)
    across = torch.stack([width * sign, zero, (2 * left - 1) * (1 - width)], dim=1)
    down = torch.stack([zero, height, (2 * top - 1) * (1 - height)], dim=1)
    grid = F.affine_grid(torch.stack([across, down], dim=1), list(pictures.shape), align_corners=False)
    values = pictures.contiguous().float() / 255
    return F.grid_sample(values, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _recolor(pictures: Tensor, strength: float, draw: Draw) -> Tensor:
    """Brightness, contrast, saturation and hue changed in four of five pictures, and one of five grey."""
    light, contrast, saturation, hue, changed, grey = draw(6, 1, 1, 1, like=pictures).unbind(dim=1)
    factor = 1 + strength * 0.8 * (2 * light - 1)
    spread = 1 + strength * 0.8 * (2 * contrast - 1)
    values = pictures * factor
    mean = values.mean(dim=(1, 2, 3), keepdim=True)
    values = mean + (values - mean) * spread
    length = (1 + strength * 0.8 * (2 * saturation - 1)) * (grey >= _GREY_CHANCE)
    angle = 2 * math.pi * _TURN * strength * (2 * hue - 1)
    is_changed = changed < _COLOR_CHANCE
    length = torch.where(is_changed, length, (grey >= _GREY_CHANCE).to(length.dtype)).flatten()
    angle = torch.where(is_changed, angle, 0).flatten()
    values = torch.where(is_changed, values, pictures)
    return torch.einsum("bij,bjhw->bihw", _color_maps(length, angle), values).clamp(0, 1)


def _color_maps(length: Tensor, angle: Tensor) -> Tensor:
    """[B, 3, 3]: RGB to RGB with color ``length`` times as strong and turned by ``angle``."""
    yiq = _YIQ.to(length.device)
    turned = torch.zeros(len(length), 3, 3, device=length.device)
    turned[:, 0, 0] = 1
    turned[:, 1, 1] = turned[:, 2, 2] = length * angle.cos()
    turned[:, 1, 2], turned[:, 2, 1] = -length * angle.sin(), length * angle.sin()
    maps: Tensor = torch.linalg.inv(yiq) @ turned @ yiq
    return maps


def _recording(arrays: Arrays, column: Any, config: ContrastiveConfig, draw: Draw) -> Arrays:
    del column
    share, start = draw(2, like=arrays.values).unbind(dim=1)
    whole = arrays.mask.sum(dim=1)
    length = ((config.least_crop + (1 - config.least_crop) * share) * whole).ceil().long()
    first = (start * (whole - length + 1)).long().clamp(min=0)
    places = torch.arange(max(1, int(length.max())), device=arrays.values.device)
    mask = places < length.unsqueeze(1)
    index = (first.unsqueeze(1) + places).clamp(max=arrays.values.shape[1] - 1)
    return replace(arrays, values=arrays.values.gather(1, index).masked_fill(~mask, 0), mask=mask)


def _text(arrays: Arrays, column: Any, config: ContrastiveConfig, draw: Draw) -> Arrays:
    del column
    chance = draw(arrays.mask.shape[1], like=arrays.values)
    kept = arrays.mask & (chance >= config.left_out)
    kept = torch.where(kept.any(dim=1, keepdim=True), kept, arrays.mask)
    # Real tokens stand first, in their order.
    order = torch.argsort(~kept, dim=1, stable=True)
    return replace(arrays, values=arrays.values.gather(1, order), mask=kept.gather(1, order))


_VIEWS: Mapping[str, Any] = {"image": _picture, "video": _clip, "audio": _recording, "text": _text}
