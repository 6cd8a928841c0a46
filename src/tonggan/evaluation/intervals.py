"""Bootstrap intervals of the metrics (Efron 1979): how much would they move on other rows of the same kind?

The rows are drawn again with replacement; the model is not trained again, so what the choice of training rows adds is
not in the interval. Each metric is computed from how often every row was drawn, without sorting or copying again, so
that 10,000 rows drawn 1,000 times take about a second. Every metric of the tasks is covered; ROC-AUC and average
precision, the dearest, are repeated less often where rows times classes are many, and left out beyond that.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tonggan.evaluation.calibration import confidence_and_right, negative_log_likelihood
from tonggan.tasks.base import Task
from tonggan.tasks.generate import TextTask, perplexity
from tonggan.tasks.metrics import ranked_labels

_Floats = NDArray[np.float64]
_Statistic = Callable[[_Floats], dict[str, float]]

REPEATS = 1000
_FEWEST_REPEATS = 100
_MEASURED_DRAWS = 10
_RANKING_WORK = 300_000_000  # rows x classes x repeats, a few seconds
_CALIBRATION_BINS = 15


def bootstrap(
    task: Task, outputs: Tensor, target: Tensor, *, seed: int, repeats: int = REPEATS
) -> dict[str, tuple[float, float]]:
    """The 95 % percentile interval of each metric.

    Args:
        task: gives the meaning of the outputs.
        outputs: raw outputs ``[N, num_outputs]``.
        target: encoded targets ``[N, ...]``.
        seed: of the draws.
        repeats: how many times the rows are drawn.
    """
    samples = resample(task, outputs, target, seed=seed, repeats=repeats)
    return {name: interval(values) for name, values in samples.items()}


def interval(values: _Floats) -> tuple[float, float]:
    """From the 2.5th to the 97.5th percentile."""
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def resample(
    task: Task, outputs: Tensor, target: Tensor, *, seed: int, repeats: int = REPEATS, only: str | None = None
) -> dict[str, _Floats]:
    """Each metric on each draw of the rows, ``[repeats]`` or fewer; with ``only``, that metric alone.

    The draws depend on ``seed`` and the number of rows alone, so that two models on the same rows can be compared
    draw by draw. Draws for which a metric is undefined (ROC-AUC with one class) are left out; a metric that is
    undefined on all rows, or for more than half of the draws, is absent.
    """
    num_rows = len(outputs)
    statistics, ranking = _statistics(task, outputs, target)
    if only is None:
        names = set(task.metrics(outputs, target))
    else:
        once = np.ones(num_rows)
        names = {only}
        statistics = [statistic for statistic in statistics if only in statistic(once)]
        ranking = None if statistics else ranking
    ranking_repeats = min(repeats, _RANKING_WORK // max(1, num_rows * outputs.shape[1]))
    generator = np.random.default_rng(seed)
    samples: dict[str, list[float]] = {}
    for repeat in range(repeats):
        counts = _draw(num_rows, generator)
        active = list(statistics)
        if ranking is not None and repeat < ranking_repeats and ranking_repeats >= min(_FEWEST_REPEATS, repeats):
            active.append(ranking)
        for statistic in active:
            for name, value in statistic(counts).items():
                samples.setdefault(name, []).append(value)
    result = {}
    for name, values in samples.items():
        defined = np.array([value for value in values if np.isfinite(value)])
        if name in names and 2 * len(defined) > len(values):
            result[name] = defined
    return result


def estimate_seconds_per_draw(task: Task, outputs: Tensor, target: Tensor) -> float:
    """How long one draw of these rows with all its metrics takes, from a few of them."""
    statistics, ranking = _statistics(task, outputs, target)
    generator = np.random.default_rng(0)
    start = time.perf_counter()
    for _ in range(_MEASURED_DRAWS):
        counts = _draw(len(outputs), generator)
        for statistic in statistics if ranking is None else [*statistics, ranking]:
            statistic(counts)
    return (time.perf_counter() - start) / _MEASURED_DRAWS


def _draw(num_rows: int, generator: np.random.Generator) -> _Floats:
    """[num_rows]: how often each row is drawn, in as many draws with replacement."""
    drawn = generator.integers(num_rows, size=num_rows)
    return np.bincount(drawn, minlength=num_rows).astype(np.float64)


def _statistics(task: Task, outputs: Tensor, target: Tensor) -> tuple[list[_Statistic], _Statistic | None]:
    """What computes the metrics of ``task`` from the counts of the rows, and what does so by ranking."""
    if isinstance(task, TextTask):
        texts = task.text_metrics(outputs, target)
        return [texts.compute, lambda counts: perplexity(outputs, counts)], None
    probabilities = task.probabilities(outputs.double())
    if probabilities is None:
        return [_regression(_values(task, outputs), _values(task, target))], None
    losses = negative_log_likelihood(probabilities, target).numpy()
    scores = probabilities.numpy()
    if task.kind == "multilabel":
        truth = target.numpy() > 0.5
        confusion = _several_labels(scores > 0.5, truth)
    else:
        classes = target.long().view(-1).numpy()
        truth = np.eye(scores.shape[1], dtype=bool)[classes]
        predicted = scores.argmax(axis=1)
        confusion = _one_class(predicted, classes, num_classes=scores.shape[1], rare=task.rare_number)
    columns = slice(1, 2) if task.kind == "binary" else slice(None)
    calibration = _calibration(*confidence_and_right(probabilities, target), num_rows=len(outputs))
    return (
        [confusion, lambda counts: {"log_loss": float(counts @ losses / counts.sum())}, calibration],
        _ranking(scores[:, columns], truth[:, columns], kind=task.kind),
    )


def _values(task: Task, outputs: Tensor) -> _Floats:
    """[N, num_targets]: regression outputs, or targets, in the units of the data."""
    rows = task.decode(outputs)
    return np.array([list(row.values()) if isinstance(row, dict) else [row] for row in rows], dtype=np.float64)


def _regression(predicted: _Floats, truth: _Floats) -> _Statistic:
    error = predicted - truth

    def compute(counts: _Floats) -> dict[str, float]:
        weights = counts / counts.sum()
        squared = weights @ error**2
        spread = weights @ truth**2 - (weights @ truth) ** 2
        return {
            "mae": float((weights @ np.abs(error)).mean()),
            "rmse": float(np.sqrt(squared).mean()),
            "r2": float((1 - squared / spread).mean()) if (spread > 0).all() else np.nan,
        }

    return compute


def _one_class(predicted: NDArray[Any], truth: NDArray[Any], *, num_classes: int, rare: int | None) -> _Statistic:
    """A class that occurs, but not in a draw, counts as it does on all rows: else a draw without it looks better."""
    right = (predicted == truth).astype(np.float64)

    def by_class(counts: _Floats) -> tuple[_Floats, _Floats, _Floats]:
        hits = _count(truth, weights=counts * right, length=num_classes)
        said = _count(predicted, weights=counts, length=num_classes)
        return hits, said, _count(truth, weights=counts, length=num_classes)

    on_all_rows = by_class(np.ones(len(truth)))
    occurring = on_all_rows[2] > 0
    among = occurring | (on_all_rows[1] > 0)

    def compute(counts: _Floats) -> dict[str, float]:
        drawn = by_class(counts)
        not_drawn = (drawn[2] == 0) & (occurring | (drawn[1] == 0))
        hits, said, there = (np.where(not_drawn, whole, part) for part, whole in zip(drawn, on_all_rows, strict=True))
        accuracy = float(counts @ right / counts.sum())
        result = {
            "accuracy": accuracy,
            "balanced_accuracy": float((hits[occurring] / there[occurring]).mean()),
            **_macro(hits, said, there, among=among),
            "f1_micro": accuracy,
        }
        if rare is not None:
            result |= _of_one_class(hits[rare], said[rare], there[rare])
        return result

    return compute


def _of_one_class(hits: float, said: float, there: float) -> dict[str, float]:
    return {
        "f1_rare": 2 * hits / max(1.0, said + there),
        "precision_rare": hits / max(1.0, said),
        "recall_rare": hits / max(1.0, there),
    }


def _count(values: NDArray[Any], *, weights: _Floats, length: int) -> _Floats:
    return np.bincount(values, weights=weights, minlength=length).astype(np.float64, copy=False)


def _several_labels(predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> _Statistic:
    all_right = (predicted == truth).all(axis=1).astype(np.float64)
    both, said_labels, true_labels = (part.astype(np.float64) for part in (predicted & truth, predicted, truth))

    def compute(counts: _Floats) -> dict[str, float]:
        hits, said, there = counts @ both, counts @ said_labels, counts @ true_labels
        return {
            "accuracy": float(counts @ all_right / counts.sum()),
            **_macro(hits, said, there, among=np.ones(len(hits), dtype=bool)),
            "f1_micro": float(2 * hits.sum() / max(1.0, said.sum() + there.sum())),
        }

    return compute


def _macro(hits: _Floats, said: _Floats, there: _Floats, *, among: NDArray[np.bool_]) -> dict[str, float]:
    """Means over the classes ``among``; a class never said, or never there, counts as 0 as in scikit-learn."""
    return {
        "precision_macro": float((hits / np.maximum(said, 1))[among].mean()),
        "recall_macro": float((hits / np.maximum(there, 1))[among].mean()),
        "f1_macro": float((2 * hits / np.maximum(said + there, 1))[among].mean()),
    }


def _calibration(confidence: _Floats, right: _Floats, *, num_rows: int) -> _Statistic:
    index = np.clip(np.ceil(confidence * _CALIBRATION_BINS).astype(int) - 1, 0, _CALIBRATION_BINS - 1)
    decisions = len(confidence) // num_rows

    def compute(counts: _Floats) -> dict[str, float]:
        gap = np.bincount(index, weights=np.repeat(counts, decisions) * (confidence - right))
        return {"expected_calibration_error": float(np.abs(gap).sum() / (counts.sum() * decisions))}

    return compute


def _ranking(scores: _Floats, truth: NDArray[np.bool_], *, kind: str) -> _Statistic:
    """ROC-AUC and average precision, means over those columns of ``scores`` and ``truth`` [N, C] that are ranked."""
    area_name = "roc_auc_ovr" if kind == "multiclass" else "roc_auc"
    ranked = np.flatnonzero(ranked_labels(truth))
    columns = [_Thresholds(scores[:, [column]], truth[:, [column]]) for column in ranked]
    pairs = _Thresholds(scores, truth) if kind == "multilabel" else None

    def compute(counts: _Floats) -> dict[str, float]:
        results = np.array([column.compute(counts) for column in columns]).reshape(-1, 2)
        defined = results[np.isfinite(results[:, 0])]
        area, precision = defined.mean(axis=0) if len(defined) else (np.nan, np.nan)
        metrics = {area_name: float(area), "average_precision": float(precision)}
        if pairs is not None:
            metrics["average_precision_micro"] = pairs.compute(counts)[1]
        return metrics

    return compute


class _Thresholds:
    """Scores ``[N, C]`` sorted once, all columns together; equal scores are one threshold."""

    def __init__(self, scores: _Floats, truth: NDArray[np.bool_]) -> None:
        order = np.argsort(-scores.ravel(), kind="stable")
        ordered = scores.ravel()[order]
        self.rows = order // scores.shape[1]
        self.positive = truth.ravel()[order].astype(np.float64)
        self.ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)

    def compute(self, counts: _Floats) -> tuple[float, float]:
        """ROC-AUC and average precision with every row ``counts`` [N] times; NaN where they are undefined."""
        drawn = counts[self.rows]
        hits = np.cumsum(drawn * self.positive)[self.ends]
        said = np.cumsum(drawn)[self.ends]
        positives, negatives = hits[-1], said[-1] - hits[-1]
        gained, misses = np.diff(hits, prepend=0.0), said - hits
        # Every positive beats the negatives below it, and half of those at its own threshold.
        beaten = negatives - misses + np.diff(misses, prepend=0.0) / 2
        area = float(gained @ beaten / (positives * negatives)) if positives and negatives else np.nan
        precision = float(gained @ (hits / np.maximum(said, 1)) / positives) if positives else np.nan
        return area, precision
