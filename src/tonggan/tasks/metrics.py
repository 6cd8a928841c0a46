"""Metrics of predictions, by scikit-learn's names and definitions, and the calibration error that it does not have.

A metric that the data leave undefined (a rank metric where only one class occurs) is left out, never NaN. Intervals and
subsets are not computed here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

# Of each answer; how a single row lies among the others, or two or three, says nothing.
MIN_RANKED = 5


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
    probabilities: FloatArray, target: NDArray[np.int64], *, predicted: NDArray[np.int64], rare: int | None = None
) -> dict[str, float]:
    """Metrics where each row has one of C classes: ``probabilities`` [N, C], ``target`` and ``predicted`` [N].

    Those of the class ``rare`` come first, if there is one. Rank metrics want five rows of each class.
    """
    from sklearn import metrics

    num_classes = probabilities.shape[1]
    confidence = probabilities[np.arange(len(predicted)), predicted]
    accuracy, balanced = float((predicted == target).mean()), balanced_accuracy(target, predicted)
    if rare is None:
        result = {"accuracy": accuracy, "balanced_accuracy": balanced}
    else:
        result = {"balanced_accuracy": balanced, **_of_one_class(target == rare, predicted == rare)}
        result["accuracy"] = accuracy
    result |= _precision_recall_f1(target, predicted)
    ranked = np.bincount(target, minlength=num_classes).min() >= MIN_RANKED
    if num_classes == 2 and ranked:
        result["roc_auc"] = float(metrics.roc_auc_score(target, probabilities[:, 1]))
        result["average_precision"] = float(metrics.average_precision_score(target, probabilities[:, 1]))
    elif ranked:
        result["roc_auc_ovr"] = float(metrics.roc_auc_score(target, probabilities, multi_class="ovr"))
        result["average_precision"] = float(metrics.average_precision_score(target, probabilities))
    result["log_loss"] = float(metrics.log_loss(target, probabilities, labels=np.arange(num_classes)))
    result["expected_calibration_error"] = expected_calibration_error(confidence, predicted == target)
    return result


def tag_metrics(probabilities: FloatArray, target: NDArray[np.int64]) -> dict[str, float]:
    """Metrics where each row has any of C labels: both [N, C]; a label is predicted from probability 0.5.

    ``accuracy`` counts rows of which all labels are right. Rank metrics are means over ``ranked_labels``;
    ``average_precision_micro`` ranks all pairs of row and label together.
    """
    from sklearn import metrics

    predicted = (probabilities > 0.5).astype(np.int64)
    result = {"accuracy": float((predicted == target).all(axis=1).mean())}
    result |= _precision_recall_f1(target, predicted)
    ranked = ranked_labels(target)
    if ranked.any():
        result["roc_auc"] = float(metrics.roc_auc_score(target[:, ranked], probabilities[:, ranked]))
        result["average_precision"] = float(
            metrics.average_precision_score(target[:, ranked], probabilities[:, ranked])
        )
    if target.any():
        result["average_precision_micro"] = float(
            metrics.average_precision_score(target, probabilities, average="micro")
        )
    each = np.stack([1 - probabilities.ravel(), probabilities.ravel()], axis=1)
    result["log_loss"] = float(metrics.log_loss(target.ravel(), each, labels=[0, 1]))
    result["expected_calibration_error"] = expected_calibration_error(each.max(axis=1), predicted == target)
    return result


def ranked_labels(target: NDArray[Any]) -> NDArray[np.bool_]:
    """[C]: of which columns of ``target`` [N, C] there are five rows with and five without."""
    positive = target.sum(axis=0)
    enough: NDArray[np.bool_] = np.minimum(positive, len(target) - positive) >= MIN_RANKED
    return enough


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


def _of_one_class(truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> dict[str, float]:
    """F1, precision and recall of one class; 0 where it is never there or never predicted, as in scikit-learn."""
    hits, said, there = int((truth & predicted).sum()), int(predicted.sum()), int(truth.sum())
    return {
        "f1_rare": 2 * hits / max(1, said + there),
        "precision_rare": hits / max(1, said),
        "recall_rare": hits / max(1, there),
    }


def _precision_recall_f1(target: NDArray[np.int64], predicted: NDArray[np.int64]) -> dict[str, float]:
    from sklearn.metrics import f1_score, precision_recall_fscore_support

    precision, recall, f1, _ = precision_recall_fscore_support(target, predicted, average="macro", zero_division=0)
    return {
        "precision_macro": float(precision),
        "recall_macro": float(recall),
        "f1_macro": float(f1),
        "f1_micro": float(f1_score(target, predicted, average="micro", zero_division=0)),
    }
