import math

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from contracts import check_task
from tonggan.decoders import TARGET, LinearHeadConfig
from tonggan.errors import DataError
from tonggan.tasks import BinaryConfig, MulticlassConfig, TaskConfig, load_task
from tonggan.tokens import Arrays, Prediction, Tokens


def fitted(config, values):
    task = config.build()
    task.fit(iter(values))
    return task


def said(outputs):
    return Prediction({"outputs": outputs})


PERFECT = {
    "binary": lambda target: said(20.0 * target.values.unsqueeze(1) - 10),
    "multiclass": lambda target: said(20.0 * nn.functional.one_hot(target.values)),
}


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
@pytest.mark.parametrize("options", [{}, {"class_weights": "balanced"}, {"focal_gamma": 2.0, "label_smoothing": 0.1}])
def test_contract(kind, options):
    config = TypeAdapter(TaskConfig).validate_python({"kind": kind, **options})
    check_task(config.build(), ["x", "y", "y", "x", "y"], perfect=PERFECT[kind])


def test_multiclass_loss_is_cross_entropy_and_reaches_the_model():
    task = fitted(MulticlassConfig(), ["cat", "dog", "bird", "cat"])
    assert task.labels == ["bird", "cat", "dog"]
    assert task.answer.size == 3
    target = task.target.collate(["dog", "bird"])
    assert target.values.tolist() == [2, 0]
    assert target.present.all()
    torch.manual_seed(0)
    head = LinearHeadConfig().build(8, answer=task.answer)
    tokens = Tokens(torch.randn(2, 3, 8), torch.ones(2, 3, dtype=torch.bool))
    outputs = head.read(tokens)
    loss = head.loss_of(tokens, target)
    torch.testing.assert_close(loss, nn.functional.cross_entropy(outputs, target.values))
    loss.backward()
    assert head.layers[0].weight.grad.abs().sum() > 0
    given = torch.tensor([[0.0, 1.0, 2.0], [0.5, 0.5, -1.0]])
    losses = task.row_losses(given, target.values)
    torch.testing.assert_close(losses.mean(), nn.functional.cross_entropy(given, target.values))


def test_binary_is_one_logit_of_the_second_label():
    task = fitted(BinaryConfig(), ["yes", "no", "yes"])
    assert task.labels == ["no", "yes"]
    assert task.answer.size == 1
    outputs = torch.tensor([[2.0], [-1.0]])
    probabilities = task.probabilities(said(outputs))
    expected = 1 / (1 + math.exp(-2))
    torch.testing.assert_close(probabilities[0], torch.tensor([1 - expected, expected]))
    assert task.decode(said(outputs)) == ["yes", "no"]
    assert task.describe(said(outputs)) == ["yes (88%)", "no (73%)"]
    target = task.target.collate(["yes", "yes"])
    assert task.describe_targets({TARGET: target}) == ["yes", "yes"]
    loss = task.row_losses(outputs, target.values)
    torch.testing.assert_close(loss, torch.tensor([math.log(1 + math.exp(-2)), math.log(1 + math.exp(1))]))


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([10, 9, 2], ["2", "9", "10"]),
        (["10", "9", "2"], ["2", "9", "10"]),
        ([1.0, 2.0, 10.0], ["1", "2", "10"]),
        ([True, False], ["False", "True"]),
        (["体育", "科技", " 科技 "], ["体育", "科技"]),
    ],
)
def test_labels_are_ordered_as_a_person_would(values, labels):
    assert fitted(MulticlassConfig(), values).labels == labels


def test_an_integer_column_that_became_float_has_the_same_classes():
    task = fitted(MulticlassConfig(), [1, 2, 3])
    assert task.target.collate([1.0, "2", 3]).values.tolist() == [0, 1, 2]


def test_balanced_weights_are_scikit_learns():
    from sklearn.utils.class_weight import compute_class_weight

    values = ["a"] * 6 + ["b"] * 3 + ["c"]
    task = fitted(MulticlassConfig(class_weights="balanced"), values)
    expected = compute_class_weight("balanced", classes=np.array(["a", "b", "c"]), y=np.array(values))
    np.testing.assert_allclose(task.weights.numpy(), expected, rtol=1e-6)
    outputs, target = torch.randn(3, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2])
    plain = nn.functional.cross_entropy(outputs, target, reduction="none")
    torch.testing.assert_close(task.row_losses(outputs, target), plain * torch.from_numpy(expected).float())
    assert task.score_name == "balanced_accuracy"


def test_balanced_binary_weighs_both_answers():
    task = fitted(BinaryConfig(class_weights="balanced"), ["no"] * 3 + ["yes"])
    loss = task.row_losses(torch.zeros(2, 1), torch.tensor([0, 1]))
    torch.testing.assert_close(loss, math.log(2) * torch.tensor([4 / 6, 4 / 2]))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_loss_by_hand(gamma):
    # Lin et al. 2017, equation 4: -(1 - p)^gamma log p, with p = 0.8 and p = 0.1 for the row's class.
    expected = torch.tensor([-(0.2**gamma) * math.log(0.8), -(0.9**gamma) * math.log(0.1)])
    probabilities = torch.tensor([[0.1, 0.8, 0.1], [0.1, 0.2, 0.7]])
    multiclass = fitted(MulticlassConfig(focal_gamma=gamma), "abc")
    torch.testing.assert_close(multiclass.row_losses(probabilities.log(), torch.tensor([1, 0])), expected)
    binary = fitted(BinaryConfig(focal_gamma=gamma), "ab")
    logits = torch.tensor([[0.8], [0.9]]).logit()
    torch.testing.assert_close(binary.row_losses(logits, torch.tensor([1, 0])), expected)


def test_label_smoothing_by_hand():
    # Smoothing 0.2 over two classes makes the target 0.9 and 0.1.
    expected = -(0.9 * math.log(0.7) + 0.1 * math.log(0.3))
    binary = fitted(BinaryConfig(label_smoothing=0.2), "ab")
    assert float(binary.row_losses(torch.tensor([[0.7]]).logit(), torch.tensor([1]))) == pytest.approx(expected)
    multiclass = fitted(MulticlassConfig(label_smoothing=0.2), "ab")
    outputs = torch.tensor([[0.3, 0.7]]).log()
    assert float(multiclass.row_losses(outputs, torch.tensor([1]))) == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_constant_answer_says_the_frequencies_whatever_the_temperature(kind, temperature):
    task = fitted(TypeAdapter(TaskConfig).validate_python({"kind": kind}), ["a"] * 98 + ["b"] * 900)
    task.temperature = temperature
    constant = task.constant(4)
    assert constant["outputs"].shape == (4, task.answer.size)
    torch.testing.assert_close(task.probabilities(constant)[3], torch.tensor([0.099, 0.901]))
    assert task.decode(constant) == ["b"] * 4


@pytest.mark.parametrize(
    ("config", "values", "message"),
    [
        (MulticlassConfig(), ["a", "a"], "only the class 'a', expected at least two classes"),
        (MulticlassConfig(), [], "no values"),
        (
            BinaryConfig(),
            ["a", "b", "c"],
            "3 classes, such as 'a', 'b', 'c', expected two. Use the task kind multiclass.",
        ),
        (MulticlassConfig(), ["a", None, float("nan"), " "], r"no value in 3 rows \(counted from 1: 2, 3, 4\)"),
    ],
)
def test_targets_that_cannot_be_learned(config, values, message):
    with pytest.raises(DataError, match=message):
        fitted(config, values)


def test_unknown_classes_are_named():
    task = fitted(MulticlassConfig(), ["a", "b"])
    with pytest.raises(DataError, match=r"such as 'c', in 2 rows \(counted from 1: 2, 4\), expected one of 'a', 'b'"):
        task.target.collate(["a", "c", "b", "d"])


@pytest.mark.parametrize("config", [BinaryConfig(), MulticlassConfig()])
@pytest.mark.parametrize(("rare_rows", "rare"), [(19, "b"), (20, None), (50, None)])
def test_an_imbalanced_target_leads_with_what_counts_every_class(config, rare_rows, rare):
    task = config.build()
    task.fit(["a"] * (100 - rare_rows) + ["b"] * rare_rows)
    loaded = load_task(config, task.state())
    for each in (task, loaded):
        assert each.rare == rare
        assert each.score_name == ("accuracy" if rare is None else "balanced_accuracy")
        advice = each.advice()
        assert (advice and advice.settings) == (None if rare is None else ["task.class_weights=balanced"])
    outputs = torch.tensor([[1.0], [-1.0], [1.0]] if task.answer.size == 1 else [[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    measure = task.measure(said(outputs), {TARGET: Arrays.whole(torch.tensor([1, 1, 0]))})
    metrics = measure.metrics()
    if rare is None:
        assert next(iter(metrics)) == "accuracy"
        assert measure.leading == ("accuracy",)
        assert measure.notes() == []
        assert "f1_rare" not in metrics
    else:
        assert list(metrics)[:2] == ["balanced_accuracy", "f1_rare"]
        assert measure.leading == ("balanced_accuracy", "f1_rare")
        assert "The rare class is 'b'." in measure.notes()[0].english
        assert (metrics["f1_rare"], metrics["precision_rare"], metrics["recall_rare"]) == (0.5, 0.5, 0.5)


def test_weights_are_not_offered_where_they_are_used():
    task = BinaryConfig(class_weights="balanced").build()
    task.fit(["a"] * 95 + ["b"] * 5)
    assert task.rare == "b"
    assert task.advice() is None
