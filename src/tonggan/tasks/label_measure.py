"""Metrics of classes and of labels, by scikit-learn's names and definitions; calibration; what a report shows of them.

A metric that the data leave undefined (a rank metric where only one class occurs) is left out, never NaN.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tonggan.tasks.figures import Chart, Line, Matrix, Section
from tonggan.tasks.measure import Floats, Measure, Ranking, Reducer
from tonggan.wording import Words

# Of each answer; how a single row lies among the others, or two or three, says nothing.
MIN_RANKED = 5
# On fewer rows no plot of the confidence says anything.
_MIN_CALIBRATED = 30
_LOWEST, _HIGHEST = 0.05, 20.0  # temperatures
_EPSILON = float(np.finfo(np.float64).eps)  # the least probability, as in scikit-learn
_LEAST = 1e-15  # that of an answer, in looking for the temperature
_MAX_CLASSES = 20
_MAX_POINTS = 200
_SHARES = (0, 0.25, 0.5, 0.75, 1)


@dataclass(frozen=True, eq=False)
class LabelMeasure(Measure):
    """What classes and labels share. Rows have ``outputs [N, W]``, logits, and ``target``.

    Attributes:
        labels: names of the C classes or labels.
        activation: logits ``[N, W]`` to probabilities ``[N, C]``.
        temperature: logits are divided by it before they become probabilities.
    """

    labels: Sequence[str]
    activation: Callable[[Tensor], Tensor]
    temperature: float

    @cached_property
    def probabilities(self) -> Floats:
        """[N, C] after temperature."""
        return self._probabilities(self.temperature)

    def _probabilities(self, temperature: float) -> Floats:
        found: Floats = self.activation(torch.from_numpy(self.rows["outputs"]).double() / temperature).numpy()
        return found

    @property
    @abstractmethod
    def predicted(self) -> NDArray[Any]:
        """What is predicted, like ``target``."""

    @abstractmethod
    def choices(self, probabilities: Floats) -> Floats:
        """[N, D, K]: for each of the D decisions about a row, the probabilities of the K answers."""

    def _losses(self, choices: Floats) -> Floats:
        """[N]: minus the log of the probability given to each row's target, the mean over its decisions."""
        target = self.rows["target"].reshape(*choices.shape[:2], 1).astype(np.int64)
        losses: Floats = _log_loss(np.take_along_axis(choices, target, axis=2), least=_EPSILON).mean(axis=(1, 2))
        return losses

    def probability_reducers(self) -> list[Reducer]:
        """Those that classes and labels share: log loss and calibration error."""
        losses, bins = self._losses(self.choices(self.probabilities)), self._bins(self.temperature)
        return [
            Reducer(["log_loss"], lambda counts: [counts @ losses / counts.sum()]),
            Reducer(["expected_calibration_error"], lambda counts: [bins.error(counts)]),
        ]

    def _bins(self, temperature: float) -> Bins:
        right = self.predicted == self.rows["target"]
        return Bins(self.choices(self._probabilities(temperature)).max(axis=2), right)

    def differs(self, other: Self) -> NDArray[np.bool_]:
        different: NDArray[np.bool_] = (self.predicted != other.predicted).reshape(len(self), -1).any(axis=1)
        return different

    def best_temperature(self) -> float:
        """The temperature with the least log loss on these rows (Guo et al. 2017, arXiv:1706.04599).

        The log loss is convex in one over the temperature, so a golden-section search over its logarithm finds it,
        here between 0.05 and 20, whatever the temperature is now.
        """
        # As if two more rows had been wrong (Platt 1999): without mistakes the data alone would ask for certainty.
        doubt = 2 / (len(self) + 2)

        def log_loss(log_temperature: float) -> float:
            choices = self.choices(self._probabilities(math.exp(log_temperature)))
            # If every answer were equally right, their mean would be the log loss.
            return float((1 - doubt) * self._losses(choices).mean() + doubt * _log_loss(choices, least=_LEAST).mean())

        return math.exp(_golden_section(log_loss, math.log(_LOWEST), math.log(_HIGHEST)))

    def at_temperature(self, temperature: float) -> Self:
        return replace(self, temperature=temperature)

    def sections(self) -> list[Section]:
        if len(self) < _MIN_CALIBRATED:
            return []
        charts = [
            _reliability_chart(self._bins(1.0), Words("As trained", "训练后原样")),
            _reliability_chart(
                self._bins(self.temperature),
                Words(
                    f"After temperature scaling, temperature {self.temperature:.3f}",
                    f"温度缩放后，温度为 {self.temperature:.3f}",
                ),
            ),
        ]
        note = Words(
            "Of the predictions made with some confidence, what share came true? On the dashed line both agree; a "
            "dot's area shows how many predictions it stands for.",
            "在某一置信度下的预测中，有多少是正确的？落在虚线上表示两者一致；点的面积表示预测数量。",
        )
        return [Section(Words("Can its confidence be trusted?", "置信度可信吗？"), note, charts)]


@dataclass(frozen=True, eq=False)
class ClassMeasure(LabelMeasure):
    """One of C classes for each row; ``target`` is int64 ``[N]``.

    Attributes:
        rare: the number of the class whose own metrics come first, where there is one.
    """

    rare: int | None = None

    @property
    def predicted(self) -> NDArray[np.int64]:
        outputs = self.rows["outputs"]
        found: NDArray[np.int64] = outputs.argmax(axis=1) if outputs.shape[1] > 1 else (outputs[:, 0] > 0).astype(int)
        return found

    @property
    def leading(self) -> Sequence[str]:
        return (self.score_name, *(() if self.rare is None else ("f1_rare",)))

    def notes(self) -> list[Words]:
        if self.rare is None:
            return []
        name = self.labels[self.rare]
        english = f"The rare class is '{name}'. Accuracy is misleading here: the constant answer scores high as well."
        return [Words(english, f"少数类为“{name}”。此处准确率会显得过高：固定答案的准确率同样很高。")]

    def choices(self, probabilities: Floats) -> Floats:
        return probabilities[:, None, :]

    def badness(self) -> Floats:
        """How sure the model was of a wrong class."""
        wrong: Floats = self.probabilities.max(axis=1) * (self.predicted != self.rows["target"])
        return wrong

    def make_reducers(self) -> Sequence[Reducer]:
        names = ["precision_macro", "recall_macro", "f1_macro", "f1_micro"]
        if self.rare is None:
            right = (self.predicted == self.rows["target"]).astype(np.float64)
            # By itself, as it is the score, of which many draws are made.
            accuracy = [Reducer(["accuracy"], lambda counts: [counts @ right / counts.sum()])]
            names = ["balanced_accuracy", *names]
        else:
            accuracy = []
            names = ["balanced_accuracy", "f1_rare", "precision_rare", "recall_rare", "accuracy", *names]
        return [*accuracy, Reducer(names, self._decisions(names)), *self._ranks(), *self.probability_reducers()]

    def _decisions(self, names: Sequence[str]) -> Callable[[Floats], list[float]]:
        """A class that occurs, but not in a draw, counts as on all rows: else a draw without it would look better."""
        truth, predicted, num_classes = self.rows["target"], self.predicted, len(self.labels)
        right = (predicted == truth).astype(np.float64)

        def by_class(counts: Floats) -> tuple[Floats, Floats, Floats]:
            hits = _bin_sums(truth, counts * right, num_classes)
            return hits, _bin_sums(predicted, counts, num_classes), _bin_sums(truth, counts, num_classes)

        on_all_rows = by_class(np.ones(len(truth)))
        occurring = on_all_rows[2] > 0
        among = occurring | (on_all_rows[1] > 0)

        def reduce(counts: Floats) -> list[float]:
            drawn = by_class(counts)
            not_drawn = (drawn[2] == 0) & (occurring | (drawn[1] == 0))
            hits, said, there = (
                np.where(not_drawn, whole, part) for part, whole in zip(drawn, on_all_rows, strict=True)
            )
            accuracy = counts @ right / counts.sum()
            balanced = (hits[occurring] / there[occurring]).mean()
            result = {"accuracy": accuracy, "f1_micro": accuracy, "balanced_accuracy": balanced}
            precision, recall, f1 = precision_recall_f1(hits, said, there)
            for name, values in {"precision": precision, "recall": recall, "f1": f1}.items():
                result[f"{name}_macro"] = values[among].mean()
                if self.rare is not None:
                    result[f"{name}_rare"] = values[self.rare]
            return [result[name] for name in names]

        return reduce

    def _ranks(self) -> list[Reducer]:
        """ROC-AUC and average precision, of the second of two classes or the means over all, if each has its rows."""
        target, num_classes = self.rows["target"], len(self.labels)
        if np.bincount(target, minlength=num_classes).min() < MIN_RANKED:
            return []
        area = "roc_auc" if num_classes == 2 else "roc_auc_ovr"
        classes = [1] if num_classes == 2 else list(range(num_classes))
        scores = np.stack([self._scores(number) for number in classes], axis=1)
        areas = mean_areas(scores, target[:, None] == np.array(classes))
        return [Reducer([area, "average_precision"], areas, self.rows["outputs"].size)]

    def _scores(self, number: int) -> Floats:
        """[N]: what ranks the rows by the probability of a class.

        That is the logit where there is one: torch may round two sigmoids of the same number differently.
        """
        outputs = self.rows["outputs"]
        if outputs.shape[1] > 1:
            return self.probabilities[:, number]
        logits: Floats = outputs[:, 0] if number == 1 else -outputs[:, 0]
        return logits

    def sections(self) -> list[Section]:
        thresholds = self._thresholds() if len(self.labels) == 2 else None
        return [*([thresholds] if thresholds else []), self._confusion(), *super().sections()]

    def _thresholds(self) -> Section | None:
        """Precision and recall of the rarer of two classes by threshold; fewer than five rows make no curve."""
        target = self.rows["target"]
        counts = np.bincount(target, minlength=2)
        if counts.min() < MIN_RANKED:
            return None
        number = int(counts.argmin()) if counts[0] != counts[1] else 1
        ranking = Ranking(self._scores(number), target == number, np.arange(len(self)))
        hits, said = ranking.curve(np.ones(len(self)))
        at, precision, recall = self.probabilities[ranking.places, number], hits / said, hits / hits[-1]
        f1 = 2 * hits / (said + hits[-1])
        best = int(f1.argmax())
        shown = np.unique(np.linspace(0, len(at) - 1, min(_MAX_POINTS, len(at))).astype(int))[::-1]
        label, share = self.labels[number], f"{100 * f1[best]:.1f} %"
        note = Words(
            f"The model says '{label}' from a probability of 0.50 on (dashed line). A lower threshold finds more of "
            "these rows (recall), and more of what it then says is wrong (precision). The best F1 on these rows, "
            f"{share}, is at {at[best]:.2f}; as it was chosen on them, other rows will give less.",
            f"当概率不低于 0.50 时，模型预测“{label}”（虚线）。降低阈值能找出更多这样的行（召回率），但误报也会增多"
            f"（精确率）。在这些行上，F1 的最大值为 {share}，对应阈值 {at[best]:.2f}；由于阈值是在这些行上选出的，"
            "换用其他行时结果会更低。",
        )
        lines = [
            Line(Words("precision", "精确率"), list(zip(at[shown], precision[shown], strict=True))),
            Line(Words("recall", "召回率"), list(zip(at[shown], recall[shown], strict=True))),
        ]
        y_label = Words("Precision and recall", "精确率与召回率")
        chart = Chart(Words("Threshold", "阈值"), y_label, lines, ticks=_SHARES, mark=0.5)
        heading = Words("Precision and recall by threshold", "不同阈值下的精确率与召回率")
        return Section(heading, note, [chart])

    def _confusion(self) -> Section:
        num_classes = len(self.labels)
        pairs = self.rows["target"] * num_classes + self.predicted
        counts = np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)
        shown = np.sort(np.argsort(-counts.sum(axis=1), kind="stable")[:_MAX_CLASSES])
        english = "Rows: the true class. Columns: the predicted class. Colors: share of the row."
        chinese = "行：真实类别；列：预测类别；颜色：占该行的比例。"
        if num_hidden := num_classes - len(shown):
            english += f" The {len(shown)} largest classes; {num_hidden} smaller ones are not shown."
            chinese += f"显示最大的 {len(shown)} 个类别；其余 {num_hidden} 个较小类别未显示。"
        matrix = Matrix([self.labels[number] for number in shown], counts[np.ix_(shown, shown)].tolist())
        return Section(Words("Confusion matrix", "混淆矩阵"), Words(english, chinese), matrix=matrix)


class Bins:
    """Decisions by their confidence, in bins ``((k - 1) / num_bins, k / num_bins]``: what was claimed, what came true.

    Args:
        confidence: ``[N]``, or ``[N, C]`` where a row decides about C labels.
        right: whether each decision was, the same shape.
        num_bins: how many bins of equal width.
    """

    def __init__(self, confidence: Floats, right: NDArray[np.bool_], *, num_bins: int = 15) -> None:
        self.confidence, self.right = confidence.ravel(), right.ravel().astype(np.float64)
        self.decisions = confidence.size // len(confidence)  # of a row
        self.num_bins = num_bins
        self.index = np.clip(np.ceil(self.confidence * num_bins).astype(np.int64) - 1, 0, num_bins - 1)

    def totals(self, counts: Floats) -> tuple[Floats, Floats, Floats]:
        """Of each bin, the decisions, the sum of their confidence, and how many were right."""
        weights = np.repeat(counts, self.decisions)
        parts = (weights, weights * self.confidence, weights * self.right)
        number, confidence, right = (_bin_sums(self.index, part, self.num_bins) for part in parts)
        return number, confidence, right

    def error(self, counts: Floats) -> float:
        """Mean distance of confidence from accuracy over the bins, weighted by their decisions (Guo et al. 2017)."""
        number, confidence, right = self.totals(counts)
        return float(np.abs(right - confidence).sum() / number.sum())


def _reliability_chart(bins: Bins, caption: Words) -> Chart:
    number, confidence, right = bins.totals(np.ones(len(bins.index) // bins.decisions))
    filled = number > 0
    points = list(zip(confidence[filled] / number[filled], right[filled] / number[filled], strict=True))
    x_label, y_label = Words("Confidence", "置信度"), Words("Share that came true", "实际正确率")
    return Chart(
        x_label,
        y_label,
        lines=[Line(y_label, points)],
        dots=points,
        weights=number[filled].tolist(),
        ticks=_SHARES,
        diagonal=True,
        caption=caption,
    )


def _bin_sums(index: NDArray[np.int64], weights: Floats, num_bins: int) -> Floats:
    """The sum of ``weights`` in each bin, ``[num_bins]``."""
    return np.bincount(index, weights=weights, minlength=num_bins).astype(np.float64, copy=False)


def _log_loss(given: Floats, *, least: float) -> Floats:
    loss: Floats = -np.log(np.maximum(given, least))
    return loss


def precision_recall_f1(hits: Floats, said: Floats, there: Floats) -> tuple[Floats, Floats, Floats]:
    """Of each class; one that is never said, or never there, has 0 as in scikit-learn."""
    return hits / np.maximum(said, 1), hits / np.maximum(there, 1), 2 * hits / np.maximum(said + there, 1)


def ranking_of(scores: Floats, truth: NDArray[np.bool_]) -> Ranking:
    """Of all pairs of row and column of both ``[N, C]``."""
    return Ranking(scores.ravel(), truth.ravel(), np.repeat(np.arange(len(scores)), scores.shape[1]))


def mean_areas(scores: Floats, truth: NDArray[np.bool_]) -> Callable[[Floats], tuple[float, float]]:
    """The means of ROC-AUC and average precision over those columns of both ``[N, C]`` where they are defined."""
    columns = range(scores.shape[1])
    rankings = cache(lambda: [ranking_of(scores[:, [column]], truth[:, [column]]) for column in columns])

    def reduce(counts: Floats) -> tuple[float, float]:
        areas = [each for each in (ranking.areas(counts) for ranking in rankings()) if math.isfinite(each[0])]
        area, precision = np.mean(areas, axis=0) if areas else (math.nan, math.nan)
        return area, precision

    return reduce


def _golden_section(function: Callable[[float], float], low: float, high: float, *, tolerance: float = 1e-4) -> float:
    """Where ``function``, which has one minimum between ``low`` and ``high``, is least."""
    ratio = (math.sqrt(5) - 1) / 2
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = function(left), function(right)
    while high - low > tolerance:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = function(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = function(right)
    return (low + high) / 2
