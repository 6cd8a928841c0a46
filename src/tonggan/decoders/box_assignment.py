"""Which cells of a dense detector learn which box: task-aligned assignment (TOOD, Feng et al. 2021).

A cell that both finds a box's class and fits it well is aligned with it; the most aligned ones learn it, and how sure
they shall be is how well they fit. So the cell that scores best is the one whose box is best.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from tonggan.layers.boxes import pairwise_iou

_SCORE_POWER, _IOU_POWER = 0.5, 6.0
_BLOCK = 512  # boxes at once, so that memory does not grow with those of a picture


class Assignment(NamedTuple):
    """The cells of one picture that learn a box.

    Attributes:
        cells: int64 [K], their places, no one twice.
        boxes: int64 [K], the place of the box that each learns.
        quality: float [K], what each shall score for the class of its box, 0 to 1.
    """

    cells: Tensor
    boxes: Tensor
    quality: Tensor


def assign(
    scores: Tensor, found: Tensor, points: Tensor, boxes: Tensor, labels: Tensor, *, candidates: int, least: float
) -> Assignment:
    """The assignment of one picture; no gradient passes.

    Args:
        scores: float [P, C], of each cell and class, 0 to 1.
        found: float [P, 4], the boxes that the cells say.
        points: float [P, 2], x and y of the middle of each cell, which must lie in a box to learn it.
        boxes: float [G, 4], those that are there.
        labels: int64 [G], their classes.
        candidates: how many cells learn a box at most.
        least: the side of the smallest box; a smaller one is looked for in a square of this side.
    """
    wide = at_least(boxes, least)
    parts = [
        _candidates(scores, found, points, wide[low:high], boxes[low:high], labels[low:high], candidates)
        for low, high in ((low, low + _BLOCK) for low in range(0, len(boxes), _BLOCK))
    ]
    if not parts:
        nothing = points.new_zeros(0, dtype=torch.int64)
        return Assignment(nothing, nothing, points.new_zeros(0))
    alignment, iou, cells = (torch.cat(each) for each in zip(*parts, strict=True))  # each [G, candidates]
    owners = torch.arange(len(boxes), device=boxes.device)[:, None].expand_as(cells)
    aligned = alignment > 0
    alignment, iou, cells, owners = (each[aligned] for each in (alignment, iou, cells, owners))
    # A cell that several boxes want learns the one that it fits best.
    order = torch.argsort(iou, descending=True, stable=True)
    place = torch.arange(len(order), device=order.device)
    first = torch.full((len(points),), len(order), device=order.device)
    first.scatter_reduce_(0, cells[order], place, "amin")
    chosen = order[first[first < len(order)]]
    alignment, iou, cells, owners = (each[chosen] for each in (alignment, iou, cells, owners))
    # The best cell of a box shall score as high as the best fit, the others in proportion.
    most_aligned = alignment.new_zeros(len(boxes)).scatter_reduce(0, owners, alignment, "amax")
    best_iou = iou.new_zeros(len(boxes)).scatter_reduce(0, owners, iou, "amax")
    return Assignment(cells, owners, alignment / most_aligned[owners] * best_iou[owners])


def _candidates(
    scores: Tensor, found: Tensor, points: Tensor, wide: Tensor, boxes: Tensor, labels: Tensor, count: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Alignment, intersection over union and place of the ``count`` most aligned cells of each box, [G, count]."""
    iou = pairwise_iou(boxes, found)
    alignment = scores.T[labels].pow(_SCORE_POWER) * iou.pow(_IOU_POWER)
    alignment = alignment.masked_fill(~lies_within(points, wide), 0)
    best, cells = alignment.topk(min(count, len(points)), dim=1)
    return best, iou.gather(1, cells), cells


def at_least(boxes: Tensor, side: float) -> Tensor:
    """``boxes [G, 4]`` with sides of at least ``side``, around the same middle."""
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = ((boxes[:, 2:] - boxes[:, :2]) / 2).clamp(min=side / 2)
    return torch.cat([middle - half, middle + half], dim=1)


def lies_within(points: Tensor, boxes: Tensor) -> Tensor:
    """Which ``points [P, 2]`` lie within which ``boxes [G, 4]``, on the border included: bool [G, P]."""
    after = (points >= boxes[:, None, :2]).all(dim=-1)
    return after & (points <= boxes[:, None, 2:]).all(dim=-1)
