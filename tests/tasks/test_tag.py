import math

import pytest
import torch

from contracts import check_task
from tonggan.decoders import TARGET
from tonggan.errors import DataError
from tonggan.tasks import TagConfig
from tonggan.tokens import Arrays, Prediction


def fitted(values, **options):
    task = TagConfig(**options).build()
    task.fit(iter(values))
    return task


def encode(task, values):
    """[B, num_labels]: the values as the task's targets."""
    return task.target.collate(values).values


def said(outputs):
    return Prediction({"outputs": outputs})


@pytest.mark.parametrize("options", [{}, {"class_weights": "balanced"}, {"focal_gamma": 2.0, "separator": ","}])
def test_contract(options):
    values = [["a"], ["a", "b"], [], ["c"]]
    check_task(TagConfig(**options).build(), values, perfect=lambda target: said(20 * target.values - 10))


def test_texts_and_lists_mean_the_same():
    texts = fitted(["red|round", "red", "|", " blue | red"])
    lists = fitted([["red", "round"], ("red",), [], ["blue", "red"]])
    assert texts.labels == lists.labels == ["blue", "red", "round"]
    target = encode(texts, ["round|red", [], "blue"])
    assert target.tolist() == [[0, 1, 1], [0, 0, 0], [1, 0, 0]]
    assert fitted(["a, b", "b"], separator=",").labels == ["a", "b"]


def test_loss_by_hand():
    task = fitted(["a", "b"])
    outputs = torch.tensor([[2.0, -1.0]])
    expected = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(1))) / 2
    assert float(task.row_losses(outputs, encode(task, ["a|b"]))) == pytest.approx(expected)
    focal = fitted(["a", "b"], focal_gamma=2.0)
    right, wrong = 1 / (1 + math.exp(-2)), 1 / (1 + math.exp(1))
    expected = -((1 - right) ** 2 * math.log(right) + (1 - wrong) ** 2 * math.log(wrong)) / 2
    assert float(focal.row_losses(outputs, encode(task, ["a|b"]))) == pytest.approx(expected)


def test_balanced_weighs_each_label():
    task = fitted(["a", "a|b", "a", "|", "|"], class_weights="balanced")
    # rows / (2 * rows with that answer): a is in 3 of 5 rows, b in 1.
    torch.testing.assert_close(task.weights, torch.tensor([[5 / 4, 5 / 6], [5 / 8, 5 / 2]]))
    loss = task.row_losses(torch.zeros(1, 2), encode(task, ["b"]))
    assert float(loss) == pytest.approx(math.log(2) * (5 / 4 + 5 / 2) / 2)


def test_reading_outputs():
    task = fitted(["a", "b", "c"])
    outputs = torch.tensor([[2.0, -1.0, 1.0], [-1.0, -1.0, -1.0]])
    assert task.decode(said(outputs)) == [["a", "c"], []]
    assert task.describe(said(outputs)) == ["a (88%), c (73%)", "no label"]
    assert task.describe_targets({TARGET: task.target.collate(["c|a", "|"])}) == ["a, c", "no label"]
    task.temperature = 2.0
    torch.testing.assert_close(task.probabilities(said(outputs)), torch.sigmoid(outputs / 2))


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_constant_answer_says_the_frequencies_whatever_the_temperature(temperature):
    task = fitted(["a", "a|b", "a", "|"], class_weights="balanced")
    task.temperature = temperature
    torch.testing.assert_close(task.probabilities(task.constant(2)), torch.tensor([[4 / 6, 2 / 6]] * 2))
    targets = {TARGET: Arrays.whole(torch.zeros(4, 2))}
    assert task.measure(said(torch.randn(4, 2)), targets).score() == 0.0


def test_the_constant_answer_ranks_equal_rows_equally():
    from sklearn.metrics import average_precision_score

    task = fitted(["a|b", "c|d"])
    task.temperature = 0.4519808844006393
    logits = torch.tensor([[0.32076019, 0.34343252, 0.019870492, 0.24417794]])
    task.constant_logits = (logits[0].double() / task.temperature).tolist()
    torch.testing.assert_close(task.constant(1)["outputs"], logits)
    target = (torch.rand(110, 4, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    measure = task.measure_constant({TARGET: Arrays.whole(target)})
    expected = average_precision_score(target.numpy(), logits.expand(110, -1).numpy(), average="micro")
    assert measure.score() == pytest.approx(expected, abs=1e-12)
    assert measure.metrics()["average_precision_micro"] == measure.score()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "no labels"),
        (["|", []], "no labels"),
        (["a", "a"], "the same labels in every row"),
        (
            ["a", None, "", float("nan")],
            r"no value in 3 rows \(counted from 1: 2, 3, 4\).*'\|' alone where no label holds",
        ),
    ],
)
def test_targets_that_cannot_be_learned(values, message):
    with pytest.raises(DataError, match=message):
        fitted(values)


def test_unknown_labels_are_named_by_row():
    with pytest.raises(DataError, match=r"does not have in 1 rows \(counted from 1: 2\)"):
        fitted(["a", "b"]).target.collate(["a", "b|c"])
