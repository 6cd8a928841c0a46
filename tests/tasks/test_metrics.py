"""Each metric is computed here a second way: by its formula in numpy, or by scikit-learn from other arguments."""

import numpy as np
import pytest
from sklearn import metrics as reference

from tonggan.tasks.metrics import class_metrics, expected_calibration_error, number_metrics, tag_metrics


def test_calibration_error_by_hand():
    # Two bins. (0, 0.5]: confidence 0.4 and 0.5, one of two right: |0.5 - 0.45| = 0.05.
    # (0.5, 1]: confidence 0.7, 0.8, 0.9, two of three right: |2/3 - 0.8| = 0.1333.
    confidence = np.array([0.4, 0.5, 0.7, 0.8, 0.9])
    correct = np.array([True, False, True, False, True])
    expected = 2 / 5 * 0.05 + 3 / 5 * (0.8 - 2 / 3)
    assert expected_calibration_error(confidence, correct, num_bins=2) == pytest.approx(expected)


def test_calibration_error_at_the_edges():
    assert expected_calibration_error(np.array([0.0, 1.0]), np.array([False, True])) == 0.0
    assert expected_calibration_error(np.ones(4), np.array([True, True, False, False])) == pytest.approx(0.5)


def example(num_classes, rows=200):
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(rows, num_classes))
    target = generator.integers(num_classes, size=rows)
    logits[np.arange(rows), target] += 1
    probabilities = np.exp(logits)
    return probabilities / probabilities.sum(axis=1, keepdims=True), target


def recall_precision(target, predicted, number):
    hits = ((target == number) & (predicted == number)).sum()
    return hits / (target == number).sum(), hits / (predicted == number).sum()


def rank_auc(scores, positive):
    """The share of pairs of a positive and a negative that are ordered right (Mann-Whitney)."""
    return (scores[positive][:, None] > scores[~positive][None]).mean()


def average_precision(scores, positive):
    order = positive[np.argsort(-scores)]
    return (order.cumsum() / np.arange(1, len(order) + 1))[order].mean()


@pytest.mark.parametrize("num_classes", [2, 4])
def test_class_metrics(num_classes):
    probabilities, target = example(num_classes)
    predicted = probabilities.argmax(axis=1)
    result = class_metrics(probabilities, target, predicted=predicted)
    recall, precision = np.array([recall_precision(target, predicted, number) for number in range(num_classes)]).T
    assert result["accuracy"] == pytest.approx((predicted == target).mean())
    assert result["balanced_accuracy"] == pytest.approx(reference.balanced_accuracy_score(target, predicted))
    assert result["recall_macro"] == pytest.approx(recall.mean())
    assert result["precision_macro"] == pytest.approx(precision.mean())
    assert result["f1_macro"] == pytest.approx((2 * recall * precision / (recall + precision)).mean())
    assert result["f1_micro"] == pytest.approx(result["accuracy"])
    assert result["log_loss"] == pytest.approx(-np.log(probabilities[np.arange(200), target]).mean())
    numbers = [1] if num_classes == 2 else range(num_classes)
    auc = np.mean([rank_auc(probabilities[:, number], target == number) for number in numbers])
    assert result["roc_auc" if num_classes == 2 else "roc_auc_ovr"] == pytest.approx(auc)
    precisions = [average_precision(probabilities[:, number], target == number) for number in numbers]
    assert result["average_precision"] == pytest.approx(np.mean(precisions))


@pytest.mark.parametrize("num_classes", [2, 4])
@pytest.mark.filterwarnings("error")
def test_rank_metrics_are_left_out_where_undefined(num_classes):
    probabilities, _ = example(num_classes, rows=20)
    target = np.zeros(20, dtype=np.int64)
    result = class_metrics(probabilities, target, predicted=probabilities.argmax(axis=1))
    assert not {"roc_auc", "roc_auc_ovr", "average_precision"} & result.keys()
    assert np.isfinite(list(result.values())).all()
    assert result["balanced_accuracy"] == result["accuracy"]


def test_tag_metrics():
    generator = np.random.default_rng(1)
    target = generator.integers(2, size=(100, 3))
    probabilities = np.clip(generator.normal(0.3 + 0.4 * target, 0.2), 0.01, 0.99)
    result = tag_metrics(probabilities, target)
    predicted = (probabilities > 0.5).astype(int)
    hits, said, true = (predicted * target).sum(axis=0), predicted.sum(axis=0), target.sum(axis=0)
    assert result["accuracy"] == pytest.approx(reference.accuracy_score(target, predicted))
    assert result["precision_macro"] == pytest.approx((hits / said).mean())
    assert result["recall_macro"] == pytest.approx((hits / true).mean())
    assert result["f1_macro"] == pytest.approx((2 * hits / (said + true)).mean())
    assert result["f1_micro"] == pytest.approx(2 * hits.sum() / (said.sum() + true.sum()))
    columns = [(probabilities[:, label], target[:, label] == 1) for label in range(3)]
    assert result["roc_auc"] == pytest.approx(np.mean([rank_auc(*column) for column in columns]))
    assert result["average_precision"] == pytest.approx(np.mean([average_precision(*column) for column in columns]))
    flat = average_precision(probabilities.ravel() + 1e-9 * np.arange(300), target.ravel() == 1)
    assert result["average_precision_micro"] == pytest.approx(flat, abs=0.02)
    true_class = np.where(target == 1, probabilities, 1 - probabilities)
    assert result["log_loss"] == pytest.approx(-np.log(true_class).mean())
    confidence = np.maximum(probabilities, 1 - probabilities)
    assert result["expected_calibration_error"] == expected_calibration_error(confidence, predicted == target)


@pytest.mark.filterwarnings("error")
def test_tag_metrics_where_labels_do_not_occur():
    probabilities = np.full((4, 2), 0.3)
    result = tag_metrics(probabilities, np.zeros((4, 2), dtype=np.int64))
    assert not {"roc_auc", "average_precision", "average_precision_micro"} & result.keys()
    assert np.isfinite(list(result.values())).all()


def test_number_metrics_of_several_targets():
    generator = np.random.default_rng(2)
    target = generator.normal(size=(30, 2)) * [1, 100]
    predicted = target + generator.normal(size=(30, 2))
    result = number_metrics(predicted, target)
    errors = predicted - target
    assert result["mae"] == pytest.approx(np.abs(errors).mean())
    assert result["rmse"] == pytest.approx(np.sqrt((errors**2).mean(axis=0)).mean())
    assert result["r2"] == pytest.approx((1 - (errors**2).sum(axis=0) / (target.var(axis=0) * 30)).mean())


@pytest.mark.parametrize(("positives", "ranked"), [(1, False), (4, False), (5, True), (196, False)])
def test_a_rank_metric_wants_five_rows_of_each_class(positives, ranked):
    probabilities, _ = example(2)
    target = (np.arange(200) < positives).astype(np.int64)
    result = class_metrics(probabilities, target, predicted=probabilities.argmax(axis=1))
    assert ("roc_auc" in result) == ("average_precision" in result) == ranked
    result = tag_metrics(probabilities, np.stack([target, target], axis=1))
    assert ("roc_auc" in result) == ("average_precision" in result) == ranked
