"""Pictures of any shape in the square that a model sees: where a point lies, and back, and the pixels in tensor code.

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


def to_square(pixels: Tensor, *, size: int, resize: Literal["squash", "crop", "pad"]) -> Tensor:
    """uint8 ``[B, H, W, 3]`` to ``[B, 3, size, size]`` as ``modalities.image`` does by OpenCV, to one level of 255.

    Averaged over areas where pictures shrink, interpolated where they grow: both are products with matrices that depend
    on H and W alone, so that an exported graph takes pictures of any shape.
    """
    values = pixels.permute(0, 3, 1, 2).float()
    height, width = torch.ones_like(values[0, 0, :, 0]).sum(), torch.ones_like(values[0, 0, 0]).sum()
    longer, shorter = torch.maximum(height, width), torch.minimum(height, width)
    shrinks = (shorter if resize == "crop" else longer) > size
    grows_too = (shorter < size) if resize == "squash" else torch.zeros_like(shrinks)
    maps = []
    for axis, length in ((2, height), (3, width)):
        places = torch.arange(values.shape[axis]).float()
        target, used = torch.full_like(length, size), length
        if resize == "pad":
            target = (length * size / longer).round().clamp(min=1)
        elif resize == "crop":
            used = shorter
        places = places - ((length - used) / 2).floor()
        maps.append(_weights(places, used, target, size=size, shrinks=shrinks, grows_too=grows_too))
    return torch.matmul(torch.matmul(maps[0], values), maps[1].transpose(0, 1)).round().clamp(0, 255).to(torch.uint8)


def _weights(places: Tensor, used: Tensor, target: Tensor, *, size: int, shrinks: Tensor, grows_too: Tensor) -> Tensor:
    """``[size, L]``: how much each of the L ``places`` of an axis counts for each of ``size``.

    Args:
        places: where pixels lie among those that are ``used``.
        used: how many are.
        target: how many pixels they become, in the middle of ``size``.
        size: of the square.
        shrinks: whether the picture does, along its longer axis.
        grows_too: whether it also grows along the other, for which OpenCV has weights of its own.
    """
    step = used / target
    out = (torch.arange(size).float() - ((size - target) / 2).floor()).unsqueeze(1)
    own = places.unsqueeze(0)
    area = (torch.minimum((out + 1) * step, own + 1) - torch.maximum(out * step, own)).clamp(min=0) / step
    middle = torch.minimum(((out + 0.5) * step - 0.5).clamp(min=0), used - 1)
    linear = (1 - (middle - own).abs()).clamp(min=0)
    first = torch.minimum((out * step).floor(), used - 1)
    share = (out + 1 - (first + 1) / step).clamp(min=0)
    share = torch.where(first < used - 1, share - share.floor(), 0.0)
    mixed = (own == first) * (1 - share) + (own == first + 1) * share
    inside = (out >= 0) & (out < target) & (own >= 0) & (own < used)
    return torch.where(grows_too & shrinks, mixed, torch.where(shrinks, area, linear)) * inside


def _nearest(count: int, source: int) -> Tensor:
    """int64 [count]: for each of ``count`` pixels in a row, which of ``source`` pixels over the same length is there.

    The middles of pixels are compared, so that neither side is favored.
    """
    return torch.div((2 * torch.arange(count) + 1) * source, 2 * count, rounding_mode="floor")
