"""Boxes as tensors ``[..., 4]`` of x1, y1, x2, y2: how they overlap, which stay, what a feature map has there."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_BLOCK = 256


def box_areas(boxes: Tensor) -> Tensor:
    """[...]: width times height of ``boxes`` [..., 4]; 0 where one is turned inside out."""
    sides = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0)
    return sides[..., 0] * sides[..., 1]


def pairwise_iou(boxes: Tensor, others: Tensor, *, crowd: Tensor | None = None) -> Tensor:
    """[..., N, M]: intersection over union of each of ``boxes`` [..., N, 4] with each of ``others`` [..., M, 4].

    Two boxes without an area have 0.

    Args:
        boxes: found ones.
        others: those that they are compared with.
        crowd: bool [..., M], which of ``others`` stand for many objects: a box within one belongs to it, so that there
            the intersection is divided by the area of the found box alone, as in COCO.
    """
    low = torch.maximum(boxes[..., :, None, :2], others[..., None, :, :2])
    high = torch.minimum(boxes[..., :, None, 2:], others[..., None, :, 2:])
    sides = (high - low).clamp(min=0)
    common = sides[..., 0] * sides[..., 1]
    areas, other_areas = box_areas(boxes)[..., :, None], box_areas(others)[..., None, :]
    union = areas + other_areas - common
    if crowd is not None:
        union = torch.where(crowd[..., None, :], areas, union)
    return torch.where(common > 0, common / union, 0.0)


def nms(boxes: Tensor, scores: Tensor, labels: Tensor, *, max_iou: float = 0.5, limit: int | None = None) -> Tensor:
    """int64 [K]: places of the boxes that stay, the highest score first; of equal scores the first comes first.

    A box goes where one of the same label and a higher score that stays overlaps it by more than ``max_iou``
    (non-maximum suppression, greedy). Memory grows with N times 256, not with N squared.

    Args:
        boxes: float [N, 4] of one picture.
        scores: float [N].
        labels: int64 [N].
        max_iou: by how much boxes of one label may overlap.
        limit: no more than so many stay.
    """
    order = torch.argsort(scores, descending=True, stable=True)
    kept = order[:0]
    for start in range(0, len(order), _BLOCK):
        if limit is not None and len(kept) >= limit:
            break
        block = order[start : start + _BLOCK]
        stays = ~_overlap(kept, block, boxes, labels, max_iou).any(dim=0)
        block = block[stays]
        # Within the block: repeated until nothing moves, which is what one after the other gives (Zheng et al. 2020).
        over = _overlap(block, block, boxes, labels, max_iou).triu(diagonal=1)
        stays = torch.ones_like(block, dtype=torch.bool)
        while not torch.equal(stays, now := ~(over & stays[:, None]).any(dim=0)):
            stays = now
        kept = torch.cat([kept, block[stays]])
    return kept[:limit]


def _overlap(first: Tensor, second: Tensor, boxes: Tensor, labels: Tensor, max_iou: float) -> Tensor:
    """Which of the boxes at two lists of places have one label and overlap by more than ``max_iou``, bool [F, S]."""
    same = labels[first][:, None] == labels[second][None, :]
    return same & (pairwise_iou(boxes[first], boxes[second]) > max_iou)


def roi_align(features: Tensor, boxes: Tensor, *, stride: int, side: int, samples: int = 2) -> Tensor:
    """``[B, K, C, side, side]``: what a feature map ``[B, C, H, W]`` has in each of the ``boxes`` [B, K, 4].

    Each of the cells that a box is cut into is the mean of ``samples`` x ``samples`` places, interpolated between the
    middles of the map's cells (He et al. 2017, with the half pixel of torchvision's ``aligned=True``). Places beyond
    the map have the values of its border.

    Args:
        features: of B pictures.
        boxes: in pixels of the pictures.
        stride: pixels of a picture for one cell of the map.
        side: cells of a box, in each direction.
        samples: places of a cell, in each direction.
    """
    batch, channels, height, width = features.shape
    count = boxes.shape[1]
    steps = (torch.arange(side * samples, device=boxes.device, dtype=features.dtype) + 0.5) / (side * samples)
    low, high = (part.to(features.dtype) / stride for part in (boxes[..., :2], boxes[..., 2:]))
    places = low.unsqueeze(-1) + (high - low).unsqueeze(-1) * steps  # [B, K, 2, P]; cell n ends at n + 1
    x, y = (2 * places[..., axis, :] / size - 1 for axis, size in ((0, width), (1, height)))
    shape = (*x.shape, x.shape[-1])
    grid = torch.stack([x.unsqueeze(2).expand(shape), y.unsqueeze(3).expand(shape)], dim=-1)  # [B, K, P, P, 2]
    sampled = F.grid_sample(features, grid.flatten(1, 2), padding_mode="border", align_corners=False)
    cells = F.avg_pool2d(sampled, samples) if samples > 1 else sampled
    return cells.view(batch, channels, count, side, side).transpose(1, 2)
