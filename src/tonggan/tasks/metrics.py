"""Metrics of predictions, by scikit-learn's names and definitions, and the calibration error that it does not have.

A metric that the data leave undefined (a rank metric where only one class occurs) is left out, never NaN. Intervals and
subsets are not computed here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def expected_calibration_error(confidence: NDArray[Any], correct: NDArray[Any], *, num_bins: int = 15) -> float:
    """Mean distance of confidence from accuracy over bins of equal width, weighted by their rows (Guo et al. 2017).

    Args:
        confidence: probabilities in [0, 1] of what was predicted, any shape.
        correct: whether the prediction was right, the same shape.
        num_bins: bins ``((k - 1) / num_bins, k / num_bins]``.
    """
    confidence = np.asarray(confidence, dtype=np.float64).ravel()
    bins = np.clip(np.ceil(confidence * num_bins).astype(np.int64) - 1, 0, num_bins - 1)
    gap = np.asarray(correct, dtype=np.float64).ravel() - confidence
    return float(np.abs(np.bincount(bins, weights=gap, minlength=num_bins)).sum() / len(confidence))


def class_metrics(
    probabilities: FloatArray, target: NDArray[np.int64], *, predicted: NDArray[np.int64]
) -> dict[str, float]:
    """Metrics where each row has one of C classes: ``probabilities`` [N, C], ``target`` and ``predicted`` [N]."""
    from sklearn import metrics

    num_classes = probabilities.shape[1]
    confidence = probabilities[np.arange(len(predicted)), predicted]
    result = {
        "accuracy": float((predicted == target).mean()),
        "balanced_accuracy": balanced_accuracy(target, predicted),
    }
    result |= _precision_recall_f1(target, predicted)
    occurring = len(np.unique(target))
    if num_classes == 2 and occurring == 2:
        result["roc_auc"] = float(metrics.roc_auc_score(target, probabilities[:, 1]))
        result["average_precision"] = float(metrics.average_precision_score(target, probabilities[:, 1]))
    elif num_classes > 2 and occurring == num_classes:
        result["roc_auc_ovr"] = float(metrics.roc_auc_score(target, probabilities, multi_class="ovr"))
        result["average_precision"] = float(metrics.average_precision_score(target, probabilities))
    result["log_loss"] = float(metrics.log_loss(target, probabilities, labels=np.arange(num_classes)))
    result["expected_calibration_error"] = expected_calibration_error(confidence, predicted == target)
    return result


def tag_metrics(probabilities: FloatArray, target: NDArray[np.int64]) -> dict[str, float]:
    """Metrics where each row has any of C labels: both [N, C]; a label is predicted from probability 0.5.

    ``accuracy`` counts rows of which all labels are right. Rank metrics are means over the labels that occur both ways;
    ``average_precision_micro`` ranks all pairs of row and label together.
    """
    from sklearn import metrics

    predicted = (probabilities > 0.5).astype(np.int64)
    result = {"accuracy": float((predicted == target).all(axis=1).mean())}
    result |= _precision_recall_f1(target, predicted)
    both = (target.min(axis=0) == 0) & (target.max(axis=0) == 1)
    if both.any():
        result["roc_auc"] = float(metrics.roc_auc_score(target[:, both], probabilities[:, both]))
        result["average_precision"] = float(metrics.average_precision_score(target[:, both], probabilities[:, both]))
    if target.any():
        result["average_precision_micro"] = float(
            metrics.average_precision_score(target, probabilities, average="micro")
        )
    each = np.stack([1 - probabilities.ravel(), probabilities.ravel()], axis=1)
    result["log_loss"] = float(metrics.log_loss(target.ravel(), each, labels=[0, 1]))
    result["expected_calibration_error"] = expected_calibration_error(each.max(axis=1), predicted == target)
    return result


def number_metrics(predicted: FloatArray, target: FloatArray) -> dict[str, float]:
    """Metrics of numbers, both [N, T], in the units of the target; means over the T targets."""
    from sklearn import metrics

    result = {
        "mae": float(metrics.mean_absolute_error(target, predicted)),
        "rmse": float(metrics.root_mean_squared_error(target, predicted)),
    }
    if len(target) > 1:
        result["r2"] = float(metrics.r2_score(target, predicted))
    return result


def balanced_accuracy(target: NDArray[np.int64], predicted: NDArray[np.int64]) -> float:
    """The mean over the classes that occur in ``target`` of the share of their rows that were found."""
    counts = np.bincount(target)
    found = np.bincount(target[predicted == target], minlength=len(counts))
    return float((found[counts > 0] / counts[counts > 0]).mean())


def _precision_recall_f1(target: NDArray[np.int64], predicted: NDArray[np.int64]) -> dict[str, float]:
    from sklearn.metrics import f1_score, precision_recall_fscore_support

    precision, recall, f1, _ = precision_recall_fscore_support(target, predicted, average="macro", zero_division=0)
    return {
        "precision_macro": float(precision),
        "recall_macro": float(recall),
        "f1_macro": float(f1),
        "f1_micro": float(f1_score(target, predicted, average="micro", zero_division=0)),
    }
