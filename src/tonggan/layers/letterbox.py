"""Where a point of a picture lies in the square that a model sees, and back, for boxes and for masks.

A picture of any height and width becomes a square of ``size`` pixels as in ``modalities.image``: ``squash`` stretches
it, ``pad`` keeps its shape and adds borders, half of them left and above. Its sides are rounded to whole pixels, so the
ratio of each axis is that of the rounded side; with it the way back is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Resize = Literal["squash", "pad"]


@dataclass(frozen=True)
class Letterbox:
    """How B pictures lie in their squares.

    Attributes:
        extent: int64 [B, 2], height and width of the pictures, upright.
        inner: int64 [B, 2], height and width of what they became.
        corner: int64 [B, 2], the row and column of their first pixel in the square.
        size: height and width of the square.
    """

    extent: Tensor
    inner: Tensor
    corner: Tensor
    size: int

    @classmethod
    def of(cls, extent: Tensor, *, size: int, resize: Resize) -> Letterbox:
        """That of pictures of ``extent`` int64 [B, 2], height and width."""
        if resize == "squash":
            inner = torch.full_like(extent, size)
        else:
            scale = size / extent.amax(dim=1, keepdim=True).double()
            inner = (extent.double() * scale).round().clamp(min=1).long()
        corner = torch.div(size - inner, 2, rounding_mode="floor")
        return cls(extent, inner, corner, size)

    def to_square(self, boxes: Tensor) -> Tensor:
        """``boxes`` [B, N, 4], x1, y1, x2, y2 in pixels of the pictures, in pixels of the squares."""
        return (boxes.double() * self._scale + self._offset).to(boxes.dtype)

    def to_picture(self, boxes: Tensor) -> Tensor:
        """The inverse of ``to_square``; what lies on a border lies outside the picture."""
        return ((boxes.double() - self._offset) / self._scale).to(boxes.dtype)

    def clip(self, boxes: Tensor) -> Tensor:
        """``boxes`` [B, N, 4] of the pictures without what lies outside of them."""
        limit = self.extent.flip(1).repeat(1, 2)[:, None].to(boxes.dtype)
        return torch.minimum(boxes.clamp(min=0), limit)

    @property
    def _scale(self) -> Tensor:
        """float64 [B, 1, 4]: pixels of the square for one of the picture, for x, y, x, y."""
        return (self.inner.double() / self.extent.double()).flip(1).repeat(1, 2)[:, None]

    @property
    def _offset(self) -> Tensor:
        return self.corner.double().flip(1).repeat(1, 2)[:, None]

    def mask_to_square(self, mask: Tensor, *, outside: int) -> Tensor:
        """[size, size]: a mask [H, W] of the only picture, each pixel from the nearest one, borders ``outside``."""
        (height, width), (top, left) = self.inner[0].tolist(), self.corner[0].tolist()
        rows, columns = (_nearest(*pair) for pair in zip(self.inner[0].tolist(), self.extent[0].tolist(), strict=True))
        square = mask.new_full((self.size, self.size), outside)
        square[top : top + height, left : left + width] = mask[rows[:, None], columns[None, :]]
        return square

    def masks_to_pictures(self, masks: Tensor) -> list[Tensor]:
        """[H, W] for each picture: class numbers [B, size, size], each pixel from the nearest one."""
        found = []
        for mask, extent, inner, corner in zip(
            masks, self.extent.tolist(), self.inner.tolist(), self.corner.tolist(), strict=True
        ):
            rows, columns = (_nearest(*pair) for pair in zip(extent, inner, strict=True))
            found.append(mask[corner[0] + rows[:, None], corner[1] + columns[None, :]])
        return found


def _nearest(count: int, source: int) -> Tensor:
    """int64 [count]: for each of ``count`` pixels in a row, which of ``source`` pixels over the same length is there.

    The middles of pixels are compared, so that neither side is favored.
    """
    return torch.div((2 * torch.arange(count) + 1) * source, 2 * count, rounding_mode="floor")
