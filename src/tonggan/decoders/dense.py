"""The dense head: each cell of the feature maps says what object it lies in, and how far its edges are.

No anchor boxes (FCOS, Tian et al. 2019). Which cells learn which box is decided by how well they find it (TOOD, Feng et
al. 2021), the distance of an edge is a distribution over cells (Li et al. 2020), and of boxes that overlap the surest
stays.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from tonggan.decoders.answers import TARGET, Answer, Boxes
from tonggan.decoders.base import Context, Head, HeadConfig
from tonggan.decoders.box_assignment import assign, lies_within
from tonggan.decoders.feature_maps import FeatureMaps
from tonggan.layers.activation import Activation
from tonggan.layers.boxes import nms
from tonggan.layers.feature_pyramid import convolution_block
from tonggan.layers.precision import in_float32
from tonggan.tokens import Arrays, Prediction

_CELLS = 10  # that see one object and are sure of it, at most: so many boxes for each that stays are compared
_PRIOR = 0.01  # what a cell scores at first, so that the many that see nothing do not drown the others
# Weights of the losses, for each box. About five cells learn each, so these are the usual 0.5, 7.5 and 1.5 for a cell.
_CLASSES, _BOXES, _EDGES = 0.1, 1.5, 0.3
_EPSILON = 1e-7
_FALL = 0.5  # of the first distributions of distances, per cell: boxes start some 3 cells wide


class DenseHeadConfig(HeadConfig):
    """Boxes from the feature maps of a picture, anchor-free."""

    gives: ClassVar[type[Answer]] = Boxes
    is_default: ClassVar[bool] = True
    kind: Literal["dense"] = "dense"
    levels: int = Field(default=3, ge=1)
    """How many of the encoder's feature maps are read, from the coarsest on; fine maps find small objects."""
    width: int = Field(default=64, ge=1)
    """Channels of the maps."""
    depth: int = Field(default=2, ge=0)
    """Convolutions before the classes, and as many before the edges."""
    activation: Activation = "relu"
    """After each convolution."""
    bins: int = Field(default=16, ge=2)
    """Number of distances, in cells, that an edge is classified into; no edge is farther away than one less."""
    candidates: int = Field(default=10, ge=1)
    """Maximum number of cells that are assigned to one box in training."""
    min_score: float = Field(default=0.01, ge=0, lt=1)
    """Boxes with a lower score are discarded; a low value costs time but no precision, since boxes are ranked."""
    max_iou: float = Field(default=0.6, gt=0, le=1)
    """IoU above which the weaker of two boxes of one class is suppressed."""
    limit: int = Field(default=300, ge=1)
    """Maximum number of boxes in a picture."""

    def build(self, dim: int, *, answer: Boxes, encoders: Mapping[str, nn.Module]) -> DenseHead:
        return DenseHead(self, dim, answer=answer, encoders=encoders)


class _Cells(NamedTuple):
    """What P cells of n pictures say: ``classes [n, P, C]`` and ``edges [n, P, 4, N]``, both logits."""

    rows: Tensor
    classes: Tensor
    edges: Tensor
    points: Tensor
    strides: Tensor

    def boxes(self) -> Tensor:
        """``[n, P, 4]`` in pixels of the square: the mean of the distributions."""
        distances = self.edges.softmax(dim=-1) @ torch.arange(self.edges.shape[-1], device=self.edges.device).float()
        distances = distances * self.strides[:, None]
        return torch.cat([self.points - distances[..., :2], self.points + distances[..., 2:]], dim=-1)


class _Goals(NamedTuple):
    """What they shall say: ``scores [n, P, C]`` where ``counts [n, P]``, and K of the cells the boxes ``[K, 4]``."""

    scores: Tensor
    counts: Tensor
    pictures: Tensor
    cells: Tensor
    boxes: Tensor
    quality: Tensor


class DenseHead(Head):
    """Feature maps of a picture to ``boxes``, a list with ``[K, 6]`` of each row, the surest first.

    Their columns are x1, y1, x2, y2 in pixels of the square, score, class number. A row without the picture has none.
    """

    def __init__(self, config: DenseHeadConfig, dim: int, *, answer: Boxes, encoders: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.config = config
        self.answer = answer
        self.num_classes = len(answer.labels)
        width = config.width
        self.maps = FeatureMaps(
            encoders,
            answer.picture,
            dim=dim,
            width=width,
            count=config.levels,
            upward=True,
            activation=config.activation,
        )
        blocks = [convolution_block(width, width, config.activation) for _ in range(2 * config.depth)]
        # Few objects, and boxes of some cells: where all begin as wide as a picture, small objects are found late.
        rare = torch.full((self.num_classes,), -math.log(1 / _PRIOR - 1))
        near = (-_FALL * torch.arange(config.bins)).repeat(4)
        self.classes = nn.Sequential(*blocks[: config.depth], _last(width, rare))
        self.edges = nn.Sequential(*blocks[config.depth :], _last(width, near))

    def forward(self, context: Context, targets: Mapping[str, Arrays] | None = None) -> Prediction:
        cells = self._read(context)
        outputs: dict[str, Any] = {"boxes": self._answer(cells, context), "extent": self.maps.extent(context)}
        if targets:
            target = targets[TARGET].expand()
            losses = torch.stack(list(self._row_losses(cells, target).values())).sum(dim=0)
            outputs["loss"] = losses / (1 + target.mask.sum(dim=1))
        return Prediction(outputs)

    def losses(self, context: Context, targets: Mapping[str, Arrays]) -> dict[str, Tensor]:
        """``classes``, ``boxes`` and ``edges``, for each box and each picture, as one without boxes counts as well."""
        target = targets[TARGET].expand()
        losses = self._row_losses(self._read(context), target)
        return {name: rows.sum() / self.weight(targets) for name, rows in losses.items()}

    def weight(self, targets: Mapping[str, Arrays]) -> float:
        target = targets[TARGET].expand()
        return float(len(target) + target.mask.sum())

    def _read(self, context: Context) -> _Cells:
        rows, maps = self.maps(context)
        classes = [self.classes(each).flatten(2).transpose(1, 2) for each in maps]
        edges = [self.edges(each).flatten(2).transpose(1, 2) for each in maps]
        points, strides = (torch.cat(each) for each in zip(*map(_middles, maps, self.maps.strides), strict=True))
        shape = len(rows), len(points), 4, self.config.bins
        return _Cells(
            rows, torch.cat(classes, dim=1).float(), torch.cat(edges, dim=1).float().view(shape), points, strides
        )

    def _answer(self, cells: _Cells, context: Context) -> list[Tensor]:
        height, width = self.maps.size(context)
        with torch.no_grad(), in_float32(cells.points.device):
            scores = cells.classes.sigmoid()
            limits = cells.points.new_tensor([width, height, width, height])
            boxes = torch.minimum(cells.boxes().clamp(min=0), limits)
            found = [boxes.new_zeros(0, 6)] * len(context.tokens)
            for place, row in enumerate(cells.rows.tolist()):
                found[row] = self._surest(scores[place], boxes[place])
        return found

    def _surest(self, scores: Tensor, boxes: Tensor) -> Tensor:
        """``[K, 6]`` of one picture's cells: scores ``[P, C]``, boxes ``[P, 4]``."""
        flat = scores.flatten()
        best, places = flat.topk(min(_CELLS * self.config.limit, len(flat)))
        places = places[best >= self.config.min_score]
        cell, label = places // self.num_classes, places % self.num_classes
        kept = nms(boxes[cell], flat[places], label, max_iou=self.config.max_iou, limit=self.config.limit)
        cell, label, score = cell[kept], label[kept], flat[places[kept]]
        return torch.cat([boxes[cell], score[:, None], label[:, None].to(boxes.dtype)], dim=1)

    def _row_losses(self, cells: _Cells, target: Arrays) -> dict[str, Tensor]:
        """Of each row ``[B]``, added up over its cells; 0 without a picture."""
        with in_float32(cells.points.device):
            found = cells.boxes()
            goals = self._goals(cells, found.detach(), target)
            classes = F.binary_cross_entropy_with_logits(cells.classes, goals.scores, reduction="none")
            classes = (classes - binary_entropy(goals.scores)).sum(dim=2)
            boxes = complete_iou_loss(found[goals.pictures, goals.cells], goals.boxes)
            middles, strides = cells.points[goals.cells], cells.strides[goals.cells, None]
            distances = torch.cat([middles - goals.boxes[:, :2], goals.boxes[:, 2:] - middles], dim=1) / strides
            edges = distribution_focal_loss(cells.edges[goals.pictures, goals.cells], distances)
            rows = cells.rows[goals.pictures]
            nothing = found.new_zeros(len(target))
            return {
                "classes": _CLASSES * nothing.index_add(0, cells.rows, (classes * goals.counts).sum(dim=1)),
                "boxes": _BOXES * nothing.index_add(0, rows, goals.quality * boxes),
                "edges": _EDGES * nothing.index_add(0, rows, goals.quality * edges),
            }

    @torch.no_grad()
    def _goals(self, cells: _Cells, found: Tensor, target: Arrays) -> _Goals:
        """What the cells shall say; nothing is asked of those that see only boxes that are ignored."""
        sure = cells.classes.sigmoid()
        scores, counts = torch.zeros_like(sure), torch.ones_like(sure[..., 0])
        parts = []
        for place, row in enumerate(cells.rows.tolist()):
            there = target.values[row][target.mask[row]].float()
            ignored = there[:, 5] > 0
            counts[place] = ~lies_within(cells.points, there[ignored, :4]).any(dim=0)
            there = there[~ignored]
            boxes, labels = there[:, :4], there[:, 4].long()
            chosen, owners, quality = assign(
                sure[place],
                found[place],
                cells.points,
                boxes,
                labels,
                candidates=self.config.candidates,
                least=self.maps.strides[0],
            )
            scores[place, chosen, labels[owners]] = quality
            counts[place, chosen] = 1
            parts.append((torch.full_like(chosen, place), chosen, boxes[owners], quality))
        none = cells.rows[:0]
        parts.append((none, none, found.new_zeros(0, 4), found.new_zeros(0)))
        return _Goals(scores, counts, *map(torch.cat, zip(*parts, strict=True)))


def _last(width: int, bias: Tensor) -> nn.Conv2d:
    """A convolution of single cells that says little more than ``bias`` at first."""
    layer = nn.Conv2d(width, len(bias), 1)
    nn.init.normal_(layer.weight, std=0.05)  # with less, rare classes are found much later
    layer.bias = nn.Parameter(bias)
    return layer


def _middles(values: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Of the cells of a map ``[B, C, H, W]``: their middles ``[H * W, 2]`` as x and y, and ``stride`` ``[H * W]``."""
    height, width = ((torch.arange(side, device=values.device) + 0.5) * stride for side in values.shape[-2:])
    y, x = torch.meshgrid(height, width, indexing="ij")
    points = torch.stack([x, y], dim=-1).flatten(0, 1)
    return points, torch.full_like(points[:, 0], stride)


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
