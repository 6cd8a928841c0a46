"""Metrics of pixels that are told their class: a confusion matrix of each picture is all that is kept.

==============  ====================================================================================================
metric          definition
==============  ====================================================================================================
iou, dice       of two classes, of the second one: intersection over union, and F1, of the pixels of all pictures
miou            mean over the classes of the intersection over union of the pixels of all pictures
mean_dice       likewise of F1, where there are more than two classes
picture_iou     mean over the pictures of each one's own iou, or of its own miou where there are more than two classes
picture_dice    likewise of dice
pixel_accuracy  share of pixels whose class is right
iou_CLASS       of one class, where there are three to twenty
==============  ====================================================================================================

The first ones count pixels alike, so that large objects weigh more; those by picture count pictures alike. A class that
no picture has and that none is said to have is left out of a mean, as in scikit-learn's macro averages; one that only a
draw lacks counts as on all pictures, else a draw without it might look better. In a picture of its own a class counts
where it is there or is said to be; a picture without the second of two classes in which none is found has 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tonggan.modalities.regions import UNLABELED
from tonggan.tasks.figures import Matrix, Section, Table
from tonggan.tasks.measure import Floats, Measure, Reducer
from tonggan.wording import Words, listed

_MAX_CLASSES = 20
_FLATTERING = 0.8  # the share of the largest class above which pixel accuracy says little


def measure_regions(predicted: Iterable[Tensor], truth: Iterable[Tensor], *, labels: Sequence[str]) -> RegionMeasure:
    """The measure of N pictures.

    Args:
        predicted: class numbers of each picture, [H, W] of its own size.
        truth: the same size each; a pixel that is ``UNLABELED`` does not count.
        labels: names of the classes, two at least; of two the second is the one that is looked for.
    """
    pairs = zip(predicted, truth, strict=True)
    rows = [confusion(said, true, num_classes=len(labels)) for said, true in pairs]
    score = "iou" if len(labels) == 2 else "miou"
    return RegionMeasure({"confusion": np.stack(rows)}, score, True, labels=labels)


def confusion(predicted: Tensor, truth: Tensor, *, num_classes: int) -> NDArray[np.int64]:
    """[C, C]: pixels of each true class (row) that are said to be of each class (column)."""
    known = truth != UNLABELED
    pairs = truth[known].long() * num_classes + predicted[known].long()
    counts = torch.bincount(pairs, minlength=num_classes**2).cpu().numpy()
    found: NDArray[np.int64] = counts.reshape(num_classes, num_classes)
    return found


@dataclass(frozen=True, eq=False)
class RegionMeasure(Measure):
    """Pixels and their classes. Rows are pictures, with ``confusion`` int64 ``[N, C, C]``, true class by predicted one.

    Attributes:
        labels: names of the C classes.
    """

    labels: Sequence[str]

    worst_title = Words("The pictures with the most mistakes", "错误最多的图片")
    worst_note = Words(
        "Pictures whose own intersection over union is lowest.",
        "自身交并比最低的图片。",
    )

    @property
    def _is_binary(self) -> bool:
        return len(self.labels) == 2

    @cached_property
    def _total(self) -> Floats:
        """[C, C] of all pictures."""
        total: Floats = self.rows["confusion"].sum(axis=0).astype(np.float64)
        return total

    @cached_property
    def _own(self) -> tuple[Floats, Floats]:
        """Of each picture, its own intersection over union and F1; NaN where no pixel of it is labeled."""
        hits, said, there = _sums(self.rows["confusion"].astype(np.float64))
        scores = _ratios(hits, said, there)
        if self._is_binary:
            own = [np.where(said[:, 1] + there[:, 1] > 0, score[:, 1], 1.0) for score in scores]
        else:
            among = (said + there) > 0
            own = [np.where(among, score, 0.0).sum(axis=1) / np.maximum(among.sum(axis=1), 1) for score in scores]
        is_labeled = there.sum(axis=1) > 0
        iou, dice = (np.where(is_labeled, each, math.nan) for each in own)
        return iou, dice

    def make_reducers(self) -> Sequence[Reducer]:
        names = ["iou", "dice", "miou"] if self._is_binary else ["miou", "mean_dice"]
        shown = range(len(self.labels)) if 2 < len(self.labels) <= _MAX_CLASSES else ()
        own_names = [f"iou_{self.labels[number]}" for number in shown]
        matrices = self.rows["confusion"].reshape(len(self), -1).astype(np.float64)
        hits, said, there = _sums(self._total)
        among = said + there > 0
        whole = _ratios(hits, said, there)

        def pixels(counts: Floats) -> list[float]:
            total = (counts @ matrices).reshape(self._total.shape)
            drawn = _sums(total)
            absent = drawn[1] + drawn[2] == 0
            iou, dice = (np.where(absent, all_of, part) for all_of, part in zip(whole, _ratios(*drawn), strict=True))
            accuracy = float(np.trace(total) / total.sum()) if total.sum() else math.nan
            if not among.any():
                return [math.nan] * (len(names) + 1 + len(own_names))
            means = [iou[among].mean(), dice[among].mean()]
            leading = [iou[1], dice[1], means[0]] if self._is_binary else means
            if self._is_binary and not among[1]:
                leading[:2] = [math.nan, math.nan]
            return [*leading, accuracy, *(iou[number] if among[number] else math.nan for number in shown)]

        picture = Reducer(["picture_iou", "picture_dice"], self._reduce_pictures)
        return [Reducer([*names, "pixel_accuracy", *own_names], pixels), picture]

    def _reduce_pictures(self, counts: Floats) -> list[float]:
        weights = counts * np.isfinite(self._own[0])
        if not weights.sum():
            return [math.nan, math.nan]
        return [float(weights @ np.nan_to_num(own) / weights.sum()) for own in self._own]

    @property
    def leading(self) -> Sequence[str]:
        there = self.metrics()
        names = ("iou", "dice") if self._is_binary else ("miou", "mean_dice")
        return (self.score_name, *(name for name in names if name in there and name != self.score_name))

    def badness(self) -> Floats:
        """One minus the intersection over union of each picture by itself."""
        return 1 - np.nan_to_num(self._own[0], nan=1.0)

    def differs(self, other: Self) -> NDArray[np.bool_]:
        """Which pictures have another confusion matrix; answers that are wrong in other places may have the same."""
        different: NDArray[np.bool_] = (self.rows["confusion"] != other.rows["confusion"]).any(axis=(1, 2))
        return different

    def notes(self) -> list[Words]:
        hits, said, there = _sums(self._total)
        found = []
        if not there.sum():
            return [Words("No pixel of these pictures is labeled.", "这些图片中没有任何已标注的像素。")]
        largest = int(there.argmax())
        share = there[largest] / there.sum()
        if share > _FLATTERING:
            name = self.labels[largest]
            english = f"{share:.1%} of the pixels are '{name}'; always saying so has that pixel accuracy."
            found.append(Words(english, f"{share:.1%} 的像素是“{name}”；始终这样回答即有同样的像素准确率。"))
        looked_for = [1] if self._is_binary else range(len(self.labels))
        never = [self.labels[number] for number in looked_for if there[number] and not said[number]]
        wrong = [self.labels[number] for number in looked_for if there[number] and said[number] and not hits[number]]
        if never:
            english, chinese = listed(never, limit=5)
            told = f"No pixel is said to be {english}: that intersection over union is 0."
            found.append(Words(told, f"没有像素被判为{chinese}：其交并比为 0。"))
        if wrong:
            english, chinese = listed(wrong, limit=5)
            told = f"Pixels are said to be {english}, but none of them is: that intersection over union is 0."
            found.append(Words(told, f"有像素被判为{chinese}，但全都不对：其交并比为 0。"))
        absent = [self.labels[number] for number in looked_for if not there[number]]
        if absent:
            english, chinese = listed(absent, limit=5)
            found.append(Words(f"These pictures hold no {english}.", f"这些图片中没有{chinese}。"))
        return found

    def sections(self) -> list[Section]:
        return [self._by_class(), self._confusion()] if self._total.sum() else []

    def _by_class(self) -> Section:
        hits, said, there = _sums(self._total)
        iou, dice = _ratios(hits, said, there)
        columns = [
            Words("Class", "类别"),
            Words("Share of the pixels", "像素占比"),
            Words("IoU", "交并比"),
            Words("Dice", "Dice"),
            Words("Precision", "精确率"),
            Words("Recall", "召回率"),
        ]
        rows = []
        for number in np.flatnonzero(said + there).tolist():
            shares = [
                iou[number],
                dice[number],
                hits[number] / max(said[number], 1),
                hits[number] / max(there[number], 1),
            ]
            share = f"{there[number] / there.sum():.1%}"
            rows.append([self.labels[number], share, *(f"{value:.3f}" for value in shares)])
        note = Words(
            "Over the pixels of all pictures together. Precision: what share of the pixels said to be of the class is "
            "of it; recall: what share of its pixels is found.",
            "对所有图片的像素合并计算。精确率：判为该类的像素中正确的比例；召回率：该类像素中被找出的比例。",
        )
        return Section(Words("By class", "各类别"), note, table=Table(columns, rows))

    def _confusion(self) -> Section:
        there = self._total.sum(axis=1)
        shown: list[int] = np.sort(np.argsort(-there, kind="stable")[:_MAX_CLASSES]).tolist()
        shares = 1000 * self._total / np.maximum(there, 1)[:, None]
        english = "Rows: the true class. Columns: the predicted class. Of a thousand pixels of the true class."
        chinese = "行：真实类别；列：预测类别。数值为真实类别每一千个像素中的个数。"
        if num_hidden := len(self.labels) - len(shown):
            english += f" The {len(shown)} largest classes; {num_hidden} smaller ones are not shown."
            chinese += f"显示最大的 {len(shown)} 个类别；其余 {num_hidden} 个较小类别未显示。"
        counts = shares[np.ix_(shown, shown)].round().astype(int).tolist()
        matrix = Matrix([self.labels[number] for number in shown], counts)
        return Section(Words("Confusion matrix", "混淆矩阵"), Words(english, chinese), matrix=matrix)


def _sums(matrices: Floats) -> tuple[Floats, Floats, Floats]:
    """Of confusion matrices [..., C, C], by class: right pixels, pixels said to be of it, and pixels of it."""
    return np.diagonal(matrices, axis1=-2, axis2=-1), matrices.sum(axis=-2), matrices.sum(axis=-1)


def _ratios(hits: Floats, said: Floats, there: Floats) -> tuple[Floats, Floats]:
    """Intersection over union, and F1; 0 where there is neither."""
    both = said + there
    return hits / np.maximum(both - hits, 1), 2 * hits / np.maximum(both, 1)
