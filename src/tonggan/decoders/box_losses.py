"""What a found box costs: how badly it overlaps, and how wrong its edges are."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_EPSILON = 1e-7


def complete_iou_loss(found: Tensor, boxes: Tensor) -> Tensor:
    """[K]: 1 less the complete IoU of ``found [K, 4]`` with ``boxes [K, 4]`` (CIoU, Zheng et al. 2020).

    Beside the overlap the distance of the middles and the difference of the shapes count, so that boxes that do not
    touch learn as well.
    """
    low, high = torch.maximum(found[:, :2], boxes[:, :2]), torch.minimum(found[:, 2:], boxes[:, 2:])
    common = (high - low).clamp(min=0).prod(dim=1)
    sides, true_sides = found[:, 2:] - found[:, :2], boxes[:, 2:] - boxes[:, :2]
    iou = common / (sides.prod(dim=1) + true_sides.prod(dim=1) - common + _EPSILON)
    around = torch.maximum(found[:, 2:], boxes[:, 2:]) - torch.minimum(found[:, :2], boxes[:, :2])
    between = (found[:, :2] + found[:, 2:] - boxes[:, :2] - boxes[:, 2:]) / 2
    distance = between.pow(2).sum(dim=1) / (around.pow(2).sum(dim=1) + _EPSILON)
    shape = 4 / math.pi**2 * (_slope(true_sides) - _slope(sides)).pow(2)
    weight = (shape / (shape - iou + 1 + _EPSILON)).detach()
    return 1 - iou + distance + weight * shape


def _slope(sides: Tensor) -> Tensor:
    return torch.atan(sides[:, 0] / (sides[:, 1] + _EPSILON))


def distribution_focal_loss(logits: Tensor, distances: Tensor) -> Tensor:
    """[K]: how little the distributions over 0, 1, ... say the true distances (Li et al. 2020), mean of the edges.

    The least that is possible is left out, so that distributions without a mistake cost nothing.

    Args:
        logits: [K, 4, N], of each edge over the distances 0 to N - 1.
        distances: [K, 4], the true ones; those beyond the ends count as at the ends.
    """
    last = logits.shape[-1] - 1
    distances = distances.clamp(0, last)
    low = distances.floor().clamp(max=last - 1)
    share = distances - low
    logs = F.log_softmax(logits, dim=-1)
    lower, upper = (logs.gather(-1, place.long().unsqueeze(-1)).squeeze(-1) for place in (low, low + 1))
    return (binary_entropy(share).neg() - lower * (1 - share) - upper * share).mean(dim=1)


def binary_entropy(share: Tensor) -> Tensor:
    """Of something that is so likely, in nats: what a cross entropy with it costs at least."""
    return -torch.xlogy(share, share) - torch.xlogy(1 - share, 1 - share)
