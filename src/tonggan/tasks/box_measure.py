"""Metrics of found boxes, equal to those of pycocotools; curves, and what a score of 0 means.

================  ==================================================================================================
metric            definition
================  ==================================================================================================
map_50            mean over the classes of the average precision at an intersection over union of 0.50
map, map_75       COCO's mAP, the mean over 0.50 to 0.95 in steps of 0.05; the same at 0.75
average_recall    COCO's AR: the share of objects that the boxes find, mean over 0.50 to 0.95 and the classes
precision, ...    recall and F1 of all boxes at the measure's confidence, at 0.50, all classes together
count_error       mean absolute error of the number of objects in a picture at that confidence
ap_50_CLASS       average precision of one class at 0.50, where there are at most 20 classes
================  ==================================================================================================

A picture that is drawn twice counts as its copy would. A class without objects in any picture is left out, as in
pycocotools; one that only a draw lacks counts as on all pictures, else a draw without it might look better.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tonggan.tasks.box_matches import IOUS, MATCH, ClassCurves, match_boxes
from tonggan.tasks.figures import Chart, Line, Section, Table
from tonggan.tasks.measure import Floats, Measure, Reducer
from tonggan.tokens import Arrays
from tonggan.wording import Words, listed

_MAX_CLASSES = 20  # with metrics of their own
_MAX_LINES = 8
_MAX_POINTS = 200
_SHARES = (0, 0.25, 0.5, 0.75, 1)


def measure_boxes(
    found: Sequence[Tensor], truth: Arrays, *, labels: Sequence[str], confidence: float, limit: int = 100
) -> BoxMeasure:
    """The measure of the boxes found in N pictures, of which only the matches are kept.

    Args:
        found: of each picture [D, 6] of x1, y1, x2, y2, score, class number, at any scores.
        truth: values [N, B, 6] of x1, y1, x2, y2, class number, whether it is a crowd; mask [N, B].
        labels: names of the classes.
        confidence: from which score on a box is an answer.
        limit: how many boxes of a class the average precision looks at in a picture, 100 as in COCO.
    """
    objects = np.zeros((len(found), len(labels)))
    matches = np.empty(len(found), dtype=object)
    for row, (boxes, values, mask) in enumerate(zip(found, truth.values, truth.mask, strict=True)):
        there = values[mask]
        matches[row] = match_boxes(boxes, there)
        numbers = there[there[:, 5] == 0, 4].long().cpu().numpy()
        objects[row] = np.bincount(numbers, minlength=len(labels))
    rows = {"objects": objects, "matches": matches}
    return BoxMeasure(rows, "map_50", True, labels=labels, confidence=confidence, limit=limit)


@dataclass(frozen=True, eq=False)
class BoxMeasure(Measure):
    """Found boxes beside those that are there.

    Rows are pictures, with ``objects [N, C]``, how many of each class there are, and ``matches``, MATCH [D] each.

    Attributes:
        labels: names of the C classes.
        confidence: from which score on a box is an answer.
        limit: how many boxes of a class the average precision looks at in a picture.
    """

    labels: Sequence[str]
    confidence: float
    limit: int = 100

    worst_title = Words("The pictures with the most mistakes", "错误最多的图片")
    worst_note = Words(
        "Pictures with the lowest F1: objects that no box finds, and boxes where no such object is.",
        "F1 最低的图片：有目标未被检出，或检出框处没有该类目标。",
    )

    @cached_property
    def _all(self) -> tuple[NDArray[np.void], NDArray[np.int64]]:
        """The matches of all pictures, and the picture of each."""
        matches = list(self.rows["matches"])
        pictures = np.repeat(np.arange(len(matches)), np.array([len(each) for each in matches], dtype=np.int64))
        return np.concatenate([np.zeros(0, MATCH), *matches]), pictures

    @cached_property
    def _curves(self) -> dict[int, ClassCurves]:
        """Those of the classes that have objects, by number."""
        matches, pictures = self._all
        objects = self.rows["objects"]
        seen = matches["rank"] < self.limit
        places = {number: np.flatnonzero(seen & (matches["label"] == number)) for number in self._occurring}
        return {
            number: ClassCurves(matches[place], pictures[place], objects[:, number]) for number, place in places.items()
        }

    @cached_property
    def _occurring(self) -> list[int]:
        found: list[int] = np.flatnonzero(self.rows["objects"].sum(axis=0)).tolist()
        return found

    @cached_property
    def _averages(self) -> dict[int, Floats]:
        """Of each class in all pictures, [2, T]: average precision and recall."""
        once = np.ones(len(self))
        return {number: curves.averages(once) for number, curves in self._curves.items()}

    def make_reducers(self) -> Sequence[Reducer]:
        names = ["map_50", "map", "map_75", "average_recall"]
        own = [number for number in self._occurring if len(self.labels) <= _MAX_CLASSES]
        names += [f"ap_50_{self.labels[number]}" for number in own]

        def averages(counts: Floats) -> list[float]:
            found = {
                number: curves.averages(counts) if counts @ curves.objects else self._averages[number]
                for number, curves in self._curves.items()
            }
            if not found:
                return [math.nan] * 4
            precision, recall = np.mean(list(found.values()), axis=0)
            each = [found[number][0, 0] for number in own]
            return [precision[0], precision.mean(), precision[5], recall.mean(), *each]

        answers = Reducer(["precision", "recall", "f1", "count_error"], self._reduce_answers)
        return [Reducer(names, averages), answers]

    @cached_property
    def _answers(self) -> tuple[Floats, Floats, Floats]:
        """Of each picture at the confidence: right boxes, all boxes but those on crowds, objects."""
        matches, pictures = self._all
        said = (matches["score"] >= self.confidence) & (matches["ignored"] & 1 == 0)
        right = said & (matches["right"] & 1 > 0)
        hits, boxes = (np.bincount(pictures[each], minlength=len(self)).astype(np.float64) for each in (right, said))
        return hits, boxes, self.rows["objects"].sum(axis=1)

    def _reduce_answers(self, counts: Floats) -> list[float]:
        each, (_, boxes, objects) = self._answers, self._answers
        hits, said, there = (float(counts @ values) for values in each)
        error = counts @ np.abs(boxes - objects) / max(counts.sum(), 1.0)
        if not there:
            return [math.nan, math.nan, math.nan, error]
        return [hits / max(said, 1.0), hits / there, 2 * hits / (said + there), error]

    def best_confidence(self) -> float:
        """From which score on boxes should be answers for the best F1 on these pictures; the present one without any.

        To be chosen on pictures that are not those of the final number.
        """
        matches, _ = self._all
        matches = matches[matches["ignored"] & 1 == 0]
        scores = np.sort(matches["score"])[::-1]
        if not (matches["right"] & 1).any():
            return self.confidence
        order = np.argsort(-matches["score"], kind="stable")
        hits = np.cumsum(matches["right"][order] & 1)
        f1 = 2 * hits / (np.arange(len(hits)) + 1 + self.rows["objects"].sum())
        ends = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)  # equal scores are one threshold
        best = ends[f1[ends].argmax()]
        return float(scores[best : best + 2].mean())  # between it and the next

    def at_confidence(self, confidence: float) -> Self:
        """The same with the boxes from another score on as answers."""
        return replace(self, confidence=confidence)

    @property
    def leading(self) -> Sequence[str]:
        return ("map_50", "map") if self._occurring else ("map_50",)

    def badness(self) -> Floats:
        """One minus the F1 of each picture; 0 for a picture without objects in which nothing is found."""
        hits, said, there = self._answers
        both = said + there
        return np.where(both > 0, 1 - 2 * hits / np.maximum(both, 1), 0.0)

    def differs(self, other: Self) -> NDArray[np.bool_]:
        pairs = zip(self._said(), other._said(), strict=True)
        return np.array([not np.array_equal(one, another) for one, another in pairs], dtype=bool)

    def _said(self) -> list[NDArray[Any]]:
        """The matches of each picture that are answers, whatever their scores."""
        names = [name for name in MATCH.fields or () if name not in ("score", "rank")]
        return [np.sort(each[names][each["score"] >= self.confidence]) for each in self.rows["matches"]]

    def notes(self) -> list[Words]:
        found = [self._why_zero()] if not self.score() else self._classes_at_zero()
        absent = [name for number, name in enumerate(self.labels) if number not in self._occurring]
        if absent and self._occurring:
            english, chinese = listed(absent, limit=5)
            found.append(
                Words(
                    f"These pictures hold no {english}, so the means leave it out.",
                    f"这些图片中没有{chinese}，故均值不计入。",
                )
            )
        if (self.rows["objects"] > self.limit).any():
            most = int(self.rows["objects"].max())
            english = f"A picture holds up to {most:,} objects of a class; mAP looks at the {self.limit} surest boxes."
            found.append(
                Words(english, f"一张图片中同类目标最多有 {most:,} 个；mAP 只看置信度最高的 {self.limit} 个框。")
            )
        return found

    def _why_zero(self) -> Words:
        matches = self._all[0][self._all[0]["rank"] < self.limit]
        if not self._occurring:
            english = "mAP is undefined: there is no object in any of these pictures."
            return Words(english, "mAP 无定义：这些图片中没有任何目标。")
        if not len(matches):
            english = "mAP is 0 because no box was found in any picture, not even at the lowest confidence."
            return Words(english, "mAP 为 0：在任何图片中都没有检出框，最低置信度下也没有。")
        overlap = f"{matches['overlap'].max():.2f}"
        if matches["overlap"].max() < IOUS[0]:
            return Words(
                f"mAP is 0 because none of the {len(matches):,} boxes that were found overlaps an object by half; the "
                f"best intersection over union is {overlap}. The model does not yet place its boxes right.",
                f"mAP 为 0：检出的 {len(matches):,} 个框与目标的交并比均未达到 0.5，"
                f"最高为 {overlap}。模型尚不能正确定位。",
            )
        near = int((matches["overlap"] >= IOUS[0]).sum())
        return Words(
            f"mAP is 0 because the boxes have the wrong classes: {near:,} of {len(matches):,} overlap an object by "
            f"half (the best intersection over union is {overlap}), none of them one of its own class.",
            f"mAP 为 0：框的类别有误。{len(matches):,} 个框中有 {near:,} 个与目标的交并比达到 0.5（最高为 {overlap}），"
            "但类别都不对。",
        )

    def _classes_at_zero(self) -> list[Words]:
        zero = [self.labels[number] for number, each in self._averages.items() if not each[0, 0]]
        if not zero:
            return []
        english, chinese = listed(zero, limit=5)
        said = f"No box finds an object of {english}: that average precision is 0."
        return [Words(said, f"没有框检出{chinese}：其平均精确率为 0。")]

    def sections(self) -> list[Section]:
        return [self._precision_by_recall(), self._by_class()] if self._occurring else []

    def _precision_by_recall(self) -> Section:
        objects = self.rows["objects"].sum(axis=0)
        shown = sorted(self._occurring, key=lambda number: -objects[number])[:_MAX_LINES]
        lines = []
        for number in shown:
            recall, precision, _ = self._curves[number].curve(np.ones(len(self)), 0)
            places = np.unique(np.linspace(0, len(recall) - 1, min(_MAX_POINTS, len(recall))).astype(int))
            points = list(zip(recall[places].tolist(), precision[places].tolist(), strict=True))
            lines.append(Line(Words(self.labels[number], self.labels[number]), points))
        english = (
            "From the surest box to the least sure one: what share of the objects is found (recall), and what share of "
            "the boxes is right (precision), at an intersection over union of 0.50."
        )
        chinese = "从置信度最高的框到最低的框：检出了多少目标（召回率），框中有多少正确（精确率），交并比为 0.50。"
        if hidden := len(self._occurring) - len(shown):
            english += f" The {len(shown)} classes with the most objects; {hidden} others are not shown."
            chinese += f"显示目标最多的 {len(shown)} 个类别；其余 {hidden} 个未显示。"
        chart = Chart(Words("Recall", "召回率"), Words("Precision", "精确率"), lines, ticks=_SHARES)
        return Section(Words("Precision by recall", "精确率—召回率曲线"), Words(english, chinese), [chart])

    def _by_class(self) -> Section:
        objects = self.rows["objects"].sum(axis=0)
        matches, _ = self._all
        said = np.bincount(matches["label"][matches["score"] >= self.confidence], minlength=len(self.labels))
        columns = [
            Words("Class", "类别"),
            Words("Objects", "目标数"),
            Words("Boxes", "检出框数"),
            Words("AP at 0.50", "AP（0.50）"),
            Words("AP at 0.50 to 0.95", "AP（0.50–0.95）"),
            Words("Recall at 0.50", "召回率（0.50）"),
        ]
        rows = []
        for number, (precision, recall) in self._averages.items():
            numbers = [f"{int(objects[number]):,}", f"{int(said[number]):,}"]
            shares = [precision[0], precision.mean(), recall[0]]
            rows.append([self.labels[number], *numbers, *(f"{value:.3f}" for value in shares)])
        note = Words(
            f"Boxes: those with a confidence of {self.confidence:.2f} or more. AP is the area below the curve, of "
            "boxes at all confidences.",
            f"检出框数：置信度不低于 {self.confidence:.2f} 的框。AP 是曲线下的面积，计入所有置信度的框。",
        )
        return Section(Words("By class", "各类别"), note, table=Table(columns, rows))
