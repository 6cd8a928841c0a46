"""Which found boxes are right, by COCO's rules, and the curves that follow from it for any draw of the pictures.

The rules are those of ``pycocotools.cocoeval``: in each picture and class the found boxes take, the most confident
first, the object of their class that they overlap most and that none has taken yet. A crowd stands for any number of
objects; what lies on it is neither right nor wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tonggan.layers.boxes import pairwise_iou
from tonggan.tasks.measure import Floats

# Intersections over union from which on a found box is right, 0.50 to 0.95.
IOUS = np.linspace(0.5, 0.95, 10)
_RECALLS = np.linspace(0.0, 1.0, 101)

MATCH = np.dtype(
    [
        ("score", np.float64),
        ("label", np.int32),
        ("rank", np.int32),  # among those of its class in the picture
        ("right", np.uint16),  # a bit for each of IOUS: it takes an object
        ("ignored", np.uint16),  # likewise: it lies on a crowd
        ("overlap", np.float32),  # the most with an object of any class
        ("own_overlap", np.float32),  # the most with one of its class
    ]
)
"""What is kept of a found box."""


def match_boxes(found: Tensor, truth: Tensor) -> NDArray[np.void]:
    """MATCH [D] of the boxes found in one picture, the most confident first; of equal ones the first comes first.

    Both are given in the pixels of the same picture or of the same square: stretching both changes no overlap.

    Args:
        found: [D, 6] of x1, y1, x2, y2, score, class number.
        truth: [G, 6] of x1, y1, x2, y2, class number, whether it is a crowd.
    """
    found, truth = found.detach().cpu().double(), truth.detach().cpu().double()
    found = found[torch.argsort(found[:, 4], descending=True, stable=True)]
    labels, true_labels, crowd = found[:, 5].numpy(), truth[:, 4].numpy(), truth[:, 5].numpy() > 0
    overlaps: Floats = pairwise_iou(found[:, :4], truth[:, :4], crowd=truth[:, 5] > 0).numpy()
    matches = np.zeros(len(found), dtype=MATCH)
    matches["score"], matches["label"] = found[:, 4].numpy(), labels
    for label in np.unique(labels):
        rows, columns = np.flatnonzero(labels == label), np.flatnonzero(true_labels == label)
        matches["rank"][rows] = np.arange(len(rows))
        own = overlaps[np.ix_(rows, columns)]
        matches["right"][rows], matches["ignored"][rows] = _take_objects(own, crowd[columns])
        matches["own_overlap"][rows] = own[:, ~crowd[columns]].max(axis=1, initial=0.0)
    matches["overlap"] = overlaps[:, ~crowd].max(axis=1, initial=0.0)
    return matches


def _take_objects(overlaps: Floats, crowd: NDArray[np.bool_]) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """By found box, the bits of IOUS at which it takes an object, and at which it lies on a crowd.

    Args:
        overlaps: [D, G] of boxes, the most confident first, with objects of the same class.
        crowd: [G].
    """
    least = np.minimum(IOUS, 1 - 1e-10)[:, None]
    bits = 1 << np.arange(len(IOUS), dtype=np.uint16)
    right, ignored = np.zeros((2, len(overlaps)), dtype=np.uint16)
    taken = np.zeros((len(IOUS), overlaps.shape[1]), dtype=bool)
    for place in np.flatnonzero(overlaps.max(axis=1, initial=0.0) >= least[0]):
        near = np.flatnonzero(overlaps[place] >= least[0])
        enough = ~taken[:, near] & (overlaps[place, near] >= least)
        objects, crowds = enough & ~crowd[near], enough & crowd[near]
        takes = objects.any(axis=1)
        # Of equal overlaps the last, as there.
        best = len(near) - 1 - np.where(objects, overlaps[place, near], -1.0)[:, ::-1].argmax(axis=1)
        taken[takes, near[best[takes]]] = True
        right[place] = bits[takes].sum()
        ignored[place] = bits[~takes & crowds.any(axis=1)].sum()
    return right, ignored


class ClassCurves:
    """Found boxes of one class in many pictures, sorted once, from which precision and recall follow for any counts.

    Equal scores are no common threshold: as in pycocotools those of earlier pictures come first.

    Args:
        matches: MATCH [D] of this class, picture by picture.
        pictures: int64 [D], the picture of each.
        objects: [N], how many objects of the class each picture has, crowds left out.
    """

    def __init__(self, matches: NDArray[np.void], pictures: NDArray[np.int64], objects: Floats) -> None:
        order = np.argsort(-matches["score"], kind="stable")
        self.scores, self.pictures, self.objects = matches["score"][order], pictures[order], objects
        bits = 1 << np.arange(len(IOUS), dtype=np.uint16)[:, None]
        self.right = (matches["right"][order] & bits) > 0  # [T, D]
        self.ignored = (matches["ignored"][order] & bits) > 0
        # Boxes of one picture and one score come together again each time that the picture is drawn.
        same = (np.diff(self.scores) == 0) & (np.diff(self.pictures) == 0)
        self.starts = np.append(0, np.flatnonzero(~same) + 1)[: len(order)]
        self.lengths = np.diff(np.append(self.starts, len(order)))
        unlike = (np.diff(self.right) | np.diff(self.ignored)).any(axis=0)
        self.has_ties = bool((same & unlike).any())
        self.has_ignored = bool(self.ignored.any())

    def _drawn(self, counts: Floats) -> tuple[NDArray[np.int64], Floats]:
        """Places of boxes in the order of their confidence, and how often each counts there."""
        copies = counts[self.pictures]
        places = np.arange(len(copies))
        if not self.has_ties:
            return places, copies  # copies of a box one after the other change no envelope
        run = np.repeat(np.arange(len(self.starts)), self.lengths)
        before = np.cumsum(self.lengths * copies[self.starts].astype(np.int64)) - self.lengths * copies[self.starts]
        repeated = np.repeat(places, copies.astype(np.int64))
        copy = np.arange(len(repeated)) - (np.cumsum(copies) - copies)[repeated]
        drawn = np.empty_like(repeated)
        own = run[repeated]
        drawn[(before[own] + copy * self.lengths[own] + repeated - self.starts[own]).astype(np.int64)] = repeated
        return drawn, np.ones(len(drawn))

    def curve(self, counts: Floats, level: int) -> tuple[Floats, Floats, NDArray[np.int64]]:
        """At each box that takes an object at ``IOUS[level]``: recall, precision, and its place in ``scores``."""
        return next(self._curves(counts, [level]))

    def _curves(self, counts: Floats, levels: Sequence[int]) -> Iterator[tuple[Floats, Floats, NDArray[np.int64]]]:
        places, weights = self._drawn(counts)
        said = np.cumsum(weights)
        total = max(float(counts @ self.objects), 1.0)
        for level in levels:
            right = np.flatnonzero(self.right[level, places])
            if self.has_ignored:
                said = np.cumsum(weights * ~self.ignored[level, places])
            hits = np.cumsum(weights[right])
            yield hits / total, hits / np.maximum(said[right], 1.0), places[right]

    def averages(self, counts: Floats) -> Floats:
        """[2, T]: by each of IOUS the average precision over 101 recalls, and the recall of all boxes."""
        found = np.zeros((2, len(IOUS)))
        for level, (recall, precision, _) in enumerate(self._curves(counts, range(len(IOUS)))):
            if len(recall):
                envelope = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
                found[:, level] = envelope[np.searchsorted(recall, _RECALLS)].mean(), recall[-1]
        return found
