"""Where the pictures of a batch went when they were varied, so that boxes and masks can follow them.

A new picture is made of pieces of old ones: of one that was mirrored, turned, scaled and shifted, or four in a mosaic.
Coordinates are those of edges: the pixel in column i reaches from x = i to x = i + 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Movement:
    """How B new pictures are made of P pieces each; a later piece lies over an earlier one.

    Attributes:
        rows: int64 ``[P, B]``, the old picture that a piece shows.
        matrices: float32 ``[P, B, 2, 3]``, from places (x, y, 1) in the old picture to those in the new one.
        regions: float32 ``[P, B, 4]``, left, top, right and bottom of what a piece fills of the new picture.
    """

    rows: Tensor
    matrices: Tensor
    regions: Tensor

    def pictures(self, values: Tensor, *, nearest: bool = False, fill: float = 0) -> Tensor:
        """The new pictures, in the dtype of ``values`` ``[B, C, H, W]``; what no piece shows is ``fill``.

        Args:
            values: the old ones.
            nearest: whether a pixel is that at the nearest place, as it must be of class numbers, instead of a mixture.
            fill: in all channels.
        """
        height, width = values.shape[-2:]
        moved = torch.full_like(values, fill)
        half = torch.tensor([width / 2, height / 2])
        # Piece by piece, so that only what a piece fills is computed, and picture by picture, as what is sampled of one
        # stays in the processor's caches: all at once take half as long again.
        for rows, matrices, regions in zip(self.rows, self.matrices, self.regions, strict=True):
            pixels = (regions - 0.5).ceil().int().tolist()  # the pixels whose middles lie within
            for row, (source, (left, top, right, bottom)) in enumerate(zip(rows.tolist(), pixels, strict=True)):
                if left >= right or top >= bottom:
                    continue
                y, x = torch.arange(top, bottom) + 0.5, torch.arange(left, right) + 0.5
                old = _source_places(matrices[row : row + 1], x, y)
                inside = (old[..., 0] >= 0) & (old[..., 0] <= width) & (old[..., 1] >= 0) & (old[..., 1] <= height)
                sampled = F.grid_sample(
                    values[source : source + 1].float(),
                    old / half - 1,
                    mode="nearest" if nearest else "bilinear",
                    padding_mode="border",
                    align_corners=False,
                )
                if not values.is_floating_point():
                    sampled = sampled.round_()
                there = moved[row, :, top:bottom, left:right]
                there.copy_(torch.where(inside, sampled[0].to(values.dtype), there))
        return moved

    def boxes(self, boxes: Tensor, mask: Tensor, *, least_part: float = 0.25) -> tuple[Tensor, Tensor]:
        """The boxes that are seen in the new pictures, cut at their borders: ``[B, M, F]`` and their mask ``[B, M]``.

        Args:
            boxes: ``[B, N, F]``, of which the first four numbers are left, top, right and bottom.
            mask: ``[B, N]``.
            least_part: of a box's area that must be left to keep it.
        """
        parts, kept = [], []
        for rows, matrices, regions in zip(self.rows, self.matrices, self.regions, strict=True):
            old, there = boxes[rows], mask[rows]
            corners = torch.stack([old[..., [0, 1]], old[..., [2, 3]]], dim=2)  # [B, N, 2, 2]
            new = torch.einsum("bij,bnkj->bnki", matrices[:, :, :2], corners) + matrices[:, None, None, :, 2]
            low, high = new.amin(dim=2), new.amax(dim=2)
            whole = (high - low).prod(dim=-1)
            low = low.maximum(regions[:, None, :2])
            high = high.minimum(regions[:, None, 2:])
            seen = (high - low).clamp(min=0).prod(dim=-1)
            parts.append(torch.cat([low, high, old[..., 4:]], dim=-1))
            kept.append(there & (seen > 0) & (seen >= least_part * whole))
        values, found = torch.cat(parts, dim=1), torch.cat(kept, dim=1)
        order = torch.argsort(~found, dim=1, stable=True)[:, : max(1, int(found.sum(dim=1).max()))]
        chosen = found.gather(1, order)
        values = values.gather(1, order.unsqueeze(-1).expand(-1, -1, values.shape[-1]))
        return values.masked_fill(~chosen.unsqueeze(-1), 0), chosen


def _source_places(matrices: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """``[B, H, W, 2]``: where in the old pictures the places ``x`` [W], ``y`` [H] of the new ones come from."""
    inverse = torch.linalg.inv(matrices[:, :, :2])
    places = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)  # [H, W, 2]
    return torch.einsum("bij,bhwj->bhwi", inverse, places - matrices[:, None, None, :, 2])


def compose(second: Tensor, first: Tensor) -> Tensor:
    """``[..., 2, 3]``: the map that does ``first`` and then ``second``."""
    linear = second[..., :2] @ first[..., :2]
    offset = (second[..., :2] @ first[..., 2:]) + second[..., 2:]
    return torch.cat([linear, offset], dim=-1)


def scaled(factor: Tensor, *, offset: Tensor) -> Tensor:
    """``[B, 2, 3]``: ``x * factor + offset`` of ``factor`` [B] and ``offset`` [B, 2]."""
    matrix = torch.eye(2).expand(len(factor), 2, 2) * factor.view(-1, 1, 1)
    return torch.cat([matrix, offset.unsqueeze(-1)], dim=-1)


def turned(
    size: int, num_rows: int, *, flip: bool, flip_vertical: bool, turn: bool, generator: torch.Generator
) -> Tensor:
    """``[B, 2, 3]``: random mirrorings and quarter turns of squares onto themselves."""

    def sign(wanted: bool) -> Tensor:
        return 1 - 2.0 * (torch.rand(num_rows, generator=generator) < (0.5 if wanted else 0))

    linear = torch.diag_embed(torch.stack([sign(flip), sign(flip_vertical)], dim=1))
    quarters = torch.randint(4 if turn else 1, (num_rows,), generator=generator)
    quarter = torch.tensor([[[1.0, 0], [0, 1]], [[0, -1], [1, 0]], [[-1, 0], [0, -1]], [[0, 1], [-1, 0]]])
    linear = quarter[quarters] @ linear
    center = torch.full((num_rows, 2, 1), size / 2)
    return torch.cat([linear, center - linear @ center], dim=-1)


def mosaic(size: int, own: Tensor, *, chosen: Tensor, generator: torch.Generator) -> Movement:
    """Of the ``chosen`` [B] rows four pictures around a random place, theirs among them (Bochkovskiy et al. 2020).

    Args:
        size: of the squares.
        own: ``[B, 2, 3]``, how each picture moves within its own square.
        chosen: bool; the others keep their picture, moved by ``own``.
        generator: of all that is random.
    """
    count = len(own)
    center = (0.3 + 0.4 * torch.rand(count, 2, generator=generator)) * size
    rows = torch.stack([torch.arange(count), *torch.randint(count, (3, count), generator=generator)])
    quadrants = torch.rand(count, 4, generator=generator).argsort(dim=1).T
    matrices, regions = [], []
    for place in range(4):
        quadrant = quadrants[place]
        is_right, is_low = quadrant % 2, quadrant // 2
        corner = torch.stack([is_right, is_low], dim=1)
        region = torch.cat([center * corner, torch.where(corner > 0, float(size), center)], dim=1)
        # A place near the middle of the picture lies in the middle of its part.
        shown = (0.3 + 0.4 * torch.rand(count, 2, generator=generator)) * size
        offset = (region[:, :2] + region[:, 2:]) / 2 - shown
        if place == 0:
            offset = torch.where(chosen.unsqueeze(1), offset, 0.0)
            region = torch.where(chosen.unsqueeze(1), region, torch.tensor([0.0, 0, size, size]))
        else:
            region = torch.where(chosen.unsqueeze(1), region, 0.0)
        matrices.append(compose(scaled(torch.ones(count), offset=offset), own[rows[place]]))
        regions.append(region)
    return Movement(rows, torch.stack(matrices), torch.stack(regions))
