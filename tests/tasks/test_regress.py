import json

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from contracts import check_task
from tonggan.decoders import TARGET
from tonggan.errors import DataError
from tonggan.tasks import RegressConfig
from tonggan.tasks.regress import Regress
from tonggan.tokens import Arrays, Prediction


def fitted(values, **options):
    task = RegressConfig(**options).build()
    task.fit(iter(values))
    return task


def encode(task, values):
    """[B, T]: the values as the task's targets."""
    return task.target.collate(values).values


def said(outputs):
    return Prediction({"outputs": outputs})


def measured(task, outputs, target):
    return task.measure(said(outputs), {TARGET: Arrays.whole(target)})


@pytest.mark.parametrize("loss", ["mse", "huber"])
@pytest.mark.parametrize("values", [[1, 2.5, 7], [{"a": 1, "b": 20}, {"a": 2, "b": 0}, {"a": 4, "b": 3}]])
def test_contract(loss, values):
    check_task(RegressConfig(loss=loss).build(), values, perfect=lambda target: said(target.values))


def test_targets_are_standardized_and_read_in_their_units():
    values = [10, 20.0, "30", np.float32(40)]
    task = fitted(values)
    target = encode(task, values)
    deviation = np.std([10, 20, 30, 40])
    np.testing.assert_allclose(target.numpy()[:, 0], (np.array([10, 20, 30, 40]) - 25) / deviation, rtol=1e-6)
    assert task.decode(said(target)) == pytest.approx([10, 20, 30, 40])
    assert task.describe(said(torch.tensor([[1.0]]))) == ["36.18"]
    assert task.describe_targets({TARGET: task.target.collate(values)}) == ["10", "20", "30", "40"]
    assert task.probabilities(said(target)) is None
    assert task.decode(task.constant(2)) == pytest.approx([25, 25])


def test_a_target_far_from_zero_keeps_its_precision():
    values = [1.7e9 + step for step in (0, 1, 2, 3)]
    task = fitted(values)
    assert task.decode(said(encode(task, values))) == pytest.approx(values, abs=1e-3, rel=0)


@pytest.mark.parametrize(
    "values",
    [[{"width": 1, "height": 200}, {"height": 400, "width": 2}], [(1, 200), [2, 400]], [np.array([1, 200]), (2, 400)]],
)
def test_several_targets(values):
    task = fitted(values)
    names = ["width", "height"] if isinstance(values[0], dict) else ["1", "2"]
    assert task.labels == names
    assert task.answer.size == 2
    assert encode(task, values).tolist() == [[-1, -1], [1, 1]]
    outputs = said(torch.tensor([[1.0, -1.0]]))
    assert task.decode(outputs) == [dict(zip(names, [2, 200], strict=True))]
    assert task.describe(outputs) == [f"{names[0]} 2, {names[1]} 200"]


def test_losses_are_torchs():
    outputs, target = torch.tensor([[0.0, 3.0]]), torch.tensor([[0.5, 0.0]])
    pairs = [[1, 2], [3, 5]]
    torch.testing.assert_close(fitted(pairs).row_losses(outputs, target), F.mse_loss(outputs, target)[None])
    # Huber with delta 1: 0.5 * 0.5², and 3 - 0.5.
    torch.testing.assert_close(fitted(pairs, loss="huber").row_losses(outputs, target), torch.tensor([1.3125]))


def test_metrics_are_in_the_units_of_the_data():
    values = [1.0, 2.0, 4.0]
    task = fitted(values)
    target = encode(task, values)
    outputs = encode(task, [1.5, 2.0, 3.0])
    measure = measured(task, outputs, target)
    metrics = measure.metrics()
    # Errors 0.5, 0, -1 around the mean 7/3, from which the squares add up to 14/3.
    assert metrics == pytest.approx({"mae": 0.5, "rmse": (1.25 / 3) ** 0.5, "r2": 1 - 1.25 / (14 / 3)})
    assert measure.score() == pytest.approx(metrics["r2"])
    assert "r2" not in measured(task, outputs[:1], target[:1]).metrics()


def test_metrics_of_several_targets():
    generator = np.random.default_rng(2)
    target = generator.normal(size=(30, 2)) * [1, 100] + 1e6
    predicted = target + generator.normal(size=(30, 2))
    task = fitted(target.tolist())
    result = measured(task, encode(task, predicted.tolist()), encode(task, target.tolist())).metrics()
    errors = predicted - target
    assert result["mae"] == pytest.approx(np.abs(errors).mean(), rel=1e-5)
    assert result["rmse"] == pytest.approx(np.sqrt((errors**2).mean(axis=0)).mean(), rel=1e-5)
    expected = (1 - (errors**2).sum(axis=0) / (target.var(axis=0) * 30)).mean()
    assert result["r2"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("right", [True, False])
def test_r2_of_targets_that_are_all_the_same_is_scikit_learns(right):
    from sklearn.metrics import r2_score

    task = fitted([1.0, 2.0, 4.0])
    target = encode(task, [2.0] * 5)
    outputs = target if right else encode(task, [2.0, 1.0, 2.0, 3.0, 2.0])
    measure = measured(task, outputs, target)
    assert measure.score() == r2_score(task.decode(said(target)), task.decode(said(outputs))) == float(right)
    # A draw in which the targets happen to be the same tells nothing.
    mixed = measured(task, torch.cat([outputs, outputs[:1]]), encode(task, [2.0] * 5 + [4.0]))
    assert np.isnan(mixed.score(np.array([1.0, 1, 1, 1, 1, 0])))


def test_the_largest_errors_are_the_worst_and_a_scatter_shows_all():
    task = fitted([0.0, 2.0])
    measure = measured(task, torch.tensor([[0.0], [1.0], [4.0]]), torch.tensor([[0.0], [2.0], [1.0]]))
    assert measure.worst(10).tolist() == [2, 1]
    (section,) = measure.sections()
    assert section.charts[0].dots == [(1, 1), (3, 2), (2, 5)]
    several = fitted([{"x": 0.0, "y": 1.0}, {"x": 2.0, "y": 5.0}])
    (section,) = measured(several, torch.zeros(1500, 2), torch.zeros(1500, 2)).sections()
    assert [chart.caption.english for chart in section.charts] == ["x", "y"]
    assert [len(chart.dots) for chart in section.charts] == [1000, 1000]
    task.calibrate(measure)
    assert task.calibrated(measure) is measure


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "no values"),
        ([3, 3, 3], "'value': got 3 in every row"),
        (
            [1, None, float("nan"), "x", float("inf"), ""],
            r"no finite number in 5 rows \(counted from 1: 2, 3, 4, 5, 6\)",
        ),
        ([(1, 2), (1,), (2, 3)], r"not 2 finite numbers in 1 rows \(counted from 1: 2\)"),
    ],
)
def test_targets_that_cannot_be_learned(values, message):
    with pytest.raises(DataError, match=message):
        fitted(values)


def test_missing_numbers_are_named_by_row():
    with pytest.raises(DataError, match=r"counted from 1: 2"):
        fitted([1, 2]).target.collate([1, None])


def test_two_wild_targets_leave_scale_score_and_loss_to_the_others():
    numbers = np.random.default_rng(0).random(300) * 3
    mixed = [*numbers.tolist(), 1e9, -1e149]
    task = RegressConfig().build()
    task.fit(mixed)
    np.testing.assert_allclose([task.mean[0], task.deviation[0]], [numbers.mean(), numbers.std()])
    loaded = Regress.load(task.config, json.loads(json.dumps(task.state())))
    target = encode(loaded, mixed)
    right = target.clone()
    right[300:] = 0
    loss = loaded.row_losses(right, target)
    assert (loss[:300] == 0).all()
    assert (loss[300:] < 1e-4).all()
    measure = measured(loaded, right, target)
    assert measure.score() == 1
    assert measure.score(np.append(np.full(300, 2.0), [1, 0])) == 1
    assert measure.metrics()["r2"] < 0.1
    assert loaded.constant(1)["outputs"].item() == pytest.approx(0, abs=1e-6)


def test_a_long_tail_is_not_wild():
    prices = np.exp(np.random.default_rng(0).normal(7.0, 1.0, 2_000))
    task = RegressConfig().build()
    task.fit(prices.tolist())
    np.testing.assert_allclose([task.mean[0], task.deviation[0]], [prices.mean(), prices.std()])
    target = encode(task, prices.tolist())
    torch.testing.assert_close(task.row_losses(target * 0, target), target.square()[:, 0])


def test_what_every_tenth_target_is_is_learned():
    numbers = [0.0] * 30 + np.random.default_rng(0).normal(100, 1, 270).tolist()
    task = RegressConfig().build()
    task.fit(numbers)
    np.testing.assert_allclose(task.deviation[0], np.std(numbers))
    assert task.row_losses(torch.zeros(1, 1), encode(task, [0.0])).item() == pytest.approx(9, abs=0.1)


def test_a_task_saved_before_there_were_limits_has_none():
    task = RegressConfig().build()
    task.fit([1.0, 2.0, 3.0])
    state = {key: value for key, value in task.state().items() if key != "limits"}
    old = Regress.load(task.config, state)
    assert old.row_losses(torch.zeros(1, 1), torch.tensor([[1e3]])).item() == 1e6
