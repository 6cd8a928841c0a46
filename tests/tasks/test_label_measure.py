"""Each metric is computed here a second way: by its formula in numpy, or by scikit-learn from other arguments."""

import math

import numpy as np
import pytest
import torch
from sklearn import metrics as reference

from contracts import check_measure
from tonggan.decoders import TARGET
from tonggan.tasks import BinaryConfig, MulticlassConfig, TagConfig
from tonggan.tasks.label_measure import Bins, ClassMeasure
from tonggan.tasks.tag import TagMeasure
from tonggan.tokens import Arrays, Prediction


def measured(task, outputs, target):
    return task.measure(Prediction({"outputs": outputs}), {TARGET: Arrays.whole(target)})


def measured_classes(probabilities, target, **options):
    """The measure of probabilities [N, C] beside classes [N]."""
    rows = {"outputs": np.log(probabilities), "target": target}
    labels = [str(number) for number in range(probabilities.shape[1])]
    given = {"labels": labels, "activation": lambda logits: logits.softmax(dim=1), "temperature": 1.0}
    return ClassMeasure(rows, "accuracy", True, **given, **options)


def class_metrics(probabilities, target):
    return measured_classes(probabilities, target).metrics()


def tag_metrics(probabilities, target):
    rows = {"outputs": np.log(probabilities / (1 - probabilities)), "target": target.astype(np.float32)}
    labels = [str(number) for number in range(probabilities.shape[1])]
    given = {"labels": labels, "activation": torch.sigmoid, "temperature": 1.0}
    return TagMeasure(rows, "average_precision_micro", True, **given).metrics()


def expected_calibration_error(confidence, correct, num_bins=15):
    return Bins(confidence, correct, num_bins=num_bins).error(np.ones(len(confidence)))


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
    result = class_metrics(probabilities, target)
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
    result = class_metrics(probabilities, target)
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
    error = expected_calibration_error(confidence.ravel(), (predicted == target).ravel())
    assert result["expected_calibration_error"] == pytest.approx(error)


@pytest.mark.filterwarnings("error")
def test_tag_metrics_where_labels_do_not_occur():
    probabilities = np.full((4, 2), 0.3)
    result = tag_metrics(probabilities, np.zeros((4, 2), dtype=np.int64))
    assert not {"roc_auc", "average_precision", "average_precision_micro"} & result.keys()
    assert np.isfinite(list(result.values())).all()


@pytest.mark.parametrize(("positives", "ranked"), [(1, False), (4, False), (5, True), (196, False)])
def test_a_rank_metric_wants_five_rows_of_each_class(positives, ranked):
    probabilities, _ = example(2)
    target = (np.arange(200) < positives).astype(np.int64)
    result = class_metrics(probabilities, target)
    assert ("roc_auc" in result) == ("average_precision" in result) == ranked
    result = tag_metrics(probabilities, np.stack([target, target], axis=1))
    assert ("roc_auc" in result) == ("average_precision" in result) == ranked


@pytest.mark.parametrize("num_classes", [2, 4])
def test_a_ranking_by_counts_equals_scikit_learns_by_weights(num_classes):
    probabilities, target = example(num_classes)
    probabilities = probabilities.round(1) + 0.01  # with equal scores
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    measure = measured_classes(probabilities, target)
    counts = np.random.default_rng(1).integers(0, 4, 200).astype(float)
    names = ["roc_auc" if num_classes == 2 else "roc_auc_ovr", "average_precision"]
    again = np.repeat(np.arange(200), counts.astype(int))
    drawn, own = measure.metrics(counts, names=names), class_metrics(probabilities[again], target[again])
    assert drawn == pytest.approx({name: own[name] for name in names})
    truth = target == 1 if num_classes == 2 else np.eye(num_classes)[target]
    scores = measure.probabilities[:, 1] if num_classes == 2 else measure.probabilities
    assert drawn[names[0]] == pytest.approx(reference.roc_auc_score(truth, scores, sample_weight=counts))
    assert drawn[names[1]] == pytest.approx(reference.average_precision_score(truth, scores, sample_weight=counts))


def test_contract_with_ranked_classes():
    probabilities, target = example(3, rows=40)
    parts = [measured_classes(probabilities[[row]], target[[row]], rare=1) for row in range(40)]
    check_measure(measured_classes(probabilities, target, rare=1), parts)


def fitted(config, values):
    task = config.build()
    task.fit(values)
    return task


def test_the_temperature_that_spoiled_the_outputs_is_found_again():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(20_000, 5, generator=generator) * 2
    target = torch.multinomial(logits.softmax(dim=1), 1, generator=generator).squeeze(1)
    task = fitted(MulticlassConfig(), list("01234"))
    assert measured(task, 3 * logits, target).best_temperature() == pytest.approx(3, rel=0.05)
    task.temperature = 7.0  # whatever the task has now does not matter
    assert measured(task, 3 * logits, target).best_temperature() == pytest.approx(3, rel=0.05)


def test_the_temperature_has_the_least_log_loss_and_changes_no_decision():
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(500, 1, generator=generator) * 4
    target = (torch.rand(500, generator=generator) < torch.sigmoid(logits[:, 0] / 2)).long()
    measure = measured(fitted(BinaryConfig(), ["no", "yes"]), logits, target)
    best = measure.best_temperature()
    losses = [measure.at_temperature(best * factor).metrics()["log_loss"] for factor in (0.95, 1.0, 1.05)]
    assert losses[1] < min(losses[0], losses[2])
    assert measure.at_temperature(best).score() == measure.score()


def test_the_temperature_of_several_labels():
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(5_000, 3, generator=generator) * 2
    target = (torch.rand(5_000, 3, generator=generator) < torch.sigmoid(logits)).float()
    tags = fitted(TagConfig(), ["a|b", "c"])
    assert measured(tags, 2 * logits, target).best_temperature() == pytest.approx(2, rel=0.1)


def test_bins_worked_by_hand():
    bins = Bins(np.array([0.95, 0.91, 0.58, 0.55]), np.array([True, False, True, True]), num_bins=10)
    number, confidence, right = bins.totals(np.ones(4))
    assert np.flatnonzero(number).tolist() == [5, 9]  # (0.5, 0.6] and (0.9, 1.0]
    assert right[[5, 9]].tolist() == [2, 1]
    np.testing.assert_allclose(confidence[[5, 9]], [1.13, 1.86])
    twice, _, _ = bins.totals(np.array([2.0, 0, 0, 1]))
    assert twice[[5, 9]].tolist() == [1, 2]


def section(measure, heading):
    (found,) = [each for each in measure.sections() if each.heading.english == heading]
    return found


def test_reliability_without_and_with_the_temperature():
    task = fitted(MulticlassConfig(), ["a", "b"])
    measure = measured(task, torch.tensor([[4.0, 0.0]] * 30), torch.tensor([0] * 30)).at_temperature(2.0)
    before, after = section(measure, "Can its confidence be trusted?").charts
    assert before.dots == [(pytest.approx(1 / (1 + math.exp(-4))), 1.0)]
    assert after.dots == [(pytest.approx(1 / (1 + math.exp(-2))), 1.0)]
    assert after.weights == [30]
    assert "2.000" in after.caption.english
    few = measure.take(np.arange(29))
    assert "Can its confidence be trusted?" not in [each.heading.english for each in few.sections()]


def test_confusion_worked_by_hand():
    task = fitted(MulticlassConfig(), ["a", "b", "c"])
    outputs = torch.nn.functional.one_hot(torch.tensor([0, 1, 1, 2, 0, 2]), 3).float()
    matrix = section(measured(task, outputs, torch.tensor([0, 0, 1, 2, 2, 2])), "Confusion matrix").matrix
    assert (matrix.labels, matrix.counts) == (["a", "b", "c"], [[1, 1, 0], [0, 1, 0], [1, 0, 2]])


def test_of_many_classes_the_largest_are_shown():
    names = [f"{number:02}" for number in range(23)]
    task = fitted(MulticlassConfig(), names)
    target = torch.tensor([*range(23), *range(1, 21)])
    shown = section(measured(task, torch.zeros(43, 23), target), "Confusion matrix")
    assert shown.matrix.labels == names[1:21]
    assert shown.note.english.endswith("The 20 largest classes; 3 smaller ones are not shown.")


def test_thresholds_are_those_of_the_rarer_class_by_hand():
    task = fitted(BinaryConfig(), ["no"] * 6 + ["yes"] * 5)
    target = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    outputs = torch.tensor([-3.0, -3, -3, -1, -1, 1, -1, 1, 1, 2, 2]).unsqueeze(1)
    found = section(measured(task, outputs, target), "Precision and recall by threshold")
    precision, recall = (line.points for line in found.charts[0].lines)
    expected = {-3: (5 / 11, 1.0), -1: (5 / 8, 1.0), 1: (4 / 5, 4 / 5), 2: (1.0, 2 / 5)}
    at = [1 / (1 + math.exp(-logit)) for logit in expected]
    np.testing.assert_allclose(precision, [(x, y) for x, (y, _) in zip(at, expected.values(), strict=True)])
    np.testing.assert_allclose(recall, [(x, y) for x, (_, y) in zip(at, expected.values(), strict=True)])
    assert "The model says 'yes'" in found.note.english
    assert f"The best F1 on these rows, 80.0 %, is at {at[2]:.2f}" in found.note.english


@pytest.mark.parametrize(
    ("config", "values", "outputs", "target"),
    [
        (BinaryConfig(), ["no", "yes"], torch.zeros(9, 1), torch.tensor([0] * 6 + [1] * 3)),  # too few of a class
        (MulticlassConfig(), ["a", "b", "c"], torch.zeros(30, 3), torch.arange(30) % 3),
        (TagConfig(), ["a|b", "a", "b"], torch.zeros(30, 2), torch.ones(30, 2)),
    ],
)
def test_only_two_classes_have_thresholds(config, values, outputs, target):
    sections = measured(fitted(config, values), outputs, target).sections()
    assert "Precision and recall by threshold" not in [each.heading.english for each in sections]


def test_the_surest_mistakes_are_the_worst():
    outputs = torch.tensor([[1.0], [-3.0], [2.0], [-1.0]])
    measure = measured(fitted(BinaryConfig(), ["no", "yes"]), outputs, torch.tensor([0, 1, 1, 0]))
    assert measure.worst(10).tolist() == [1, 0]
    tags = fitted(TagConfig(), ["a|b", "c"])
    outputs = torch.tensor([[3.0, -3.0, -3.0], [3.0, -3.0, -9.0], [-3.0, -3.0, 1.0]])
    assert measured(tags, outputs, torch.tensor([[1.0, 0, 0], [1, 0, 1], [0, 0, 0]])).worst(10).tolist() == [1, 2]
