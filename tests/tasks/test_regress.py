import json

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from contracts import check_task
from tonggan.errors import DataError
from tonggan.tasks import RegressConfig
from tonggan.tasks.regress import Regress


def fitted(values, **options):
    task = RegressConfig(**options).build()
    task.fit(iter(values))
    return task


@pytest.mark.parametrize("loss", ["mse", "huber"])
@pytest.mark.parametrize("values", [[1, 2.5, 7], [{"a": 1, "b": 20}, {"a": 2, "b": 0}, {"a": 4, "b": 3}]])
def test_contract(loss, values):
    check_task(RegressConfig(loss=loss).build(), values, perfect=lambda target: target)


def test_targets_are_standardized_and_read_in_their_units():
    values = [10, 20.0, "30", np.float32(40)]
    task = fitted(values)
    target = task.encode(values)
    deviation = np.std([10, 20, 30, 40])
    np.testing.assert_allclose(target.numpy()[:, 0], (np.array([10, 20, 30, 40]) - 25) / deviation, rtol=1e-6)
    assert task.decode(target) == pytest.approx([10, 20, 30, 40])
    assert task.describe(torch.tensor([1.0])) == "36.18"
    assert task.probabilities(target) is None
    assert task.decode(task.baseline(target, 2)) == pytest.approx([25, 25])


def test_a_target_far_from_zero_keeps_its_precision():
    values = [1.7e9 + step for step in (0, 1, 2, 3)]
    task = fitted(values)
    assert task.decode(task.encode(values)) == pytest.approx(values, abs=1e-3, rel=0)


@pytest.mark.parametrize(
    "values",
    [[{"width": 1, "height": 200}, {"height": 400, "width": 2}], [(1, 200), [2, 400]], [np.array([1, 200]), (2, 400)]],
)
def test_several_targets(values):
    task = fitted(values)
    names = ["width", "height"] if isinstance(values[0], dict) else ["1", "2"]
    assert task.labels == names
    assert task.num_outputs == 2
    assert task.encode(values).tolist() == [[-1, -1], [1, 1]]
    assert task.decode(torch.tensor([[1.0, -1.0]])) == [dict(zip(names, [2, 200], strict=True))]
    assert task.describe(torch.tensor([1.0, -1.0])) == f"{names[0]} 2, {names[1]} 200"


def test_losses_are_torchs():
    outputs, target = torch.tensor([[0.0, 3.0]]), torch.tensor([[0.5, 0.0]])
    pairs = [[1, 2], [3, 5]]
    torch.testing.assert_close(fitted(pairs).outputs_loss(outputs, target), F.mse_loss(outputs, target)[None])
    # Huber with delta 1: 0.5 * 0.5², and 3 - 0.5.
    torch.testing.assert_close(fitted(pairs, loss="huber").outputs_loss(outputs, target), torch.tensor([1.3125]))


def test_metrics_are_in_the_units_of_the_data():
    values = [1.0, 2.0, 4.0]
    task = fitted(values)
    target = task.encode(values)
    outputs = task.encode([1.5, 2.0, 3.0])
    measure = task.measure(outputs, target)
    metrics = measure.metrics()
    # Errors 0.5, 0, -1 around the mean 7/3, from which the squares add up to 14/3.
    assert metrics == pytest.approx({"mae": 0.5, "rmse": (1.25 / 3) ** 0.5, "r2": 1 - 1.25 / (14 / 3)})
    assert measure.score() == pytest.approx(metrics["r2"])
    assert "r2" not in task.measure(outputs[:1], target[:1]).metrics()


def test_metrics_of_several_targets():
    generator = np.random.default_rng(2)
    target = generator.normal(size=(30, 2)) * [1, 100] + 1e6
    predicted = target + generator.normal(size=(30, 2))
    task = fitted(target.tolist())
    result = task.measure(task.encode(predicted.tolist()), task.encode(target.tolist())).metrics()
    errors = predicted - target
    assert result["mae"] == pytest.approx(np.abs(errors).mean(), rel=1e-5)
    assert result["rmse"] == pytest.approx(np.sqrt((errors**2).mean(axis=0)).mean(), rel=1e-5)
    expected = (1 - (errors**2).sum(axis=0) / (target.var(axis=0) * 30)).mean()
    assert result["r2"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("right", [True, False])
def test_r2_of_targets_that_are_all_the_same_is_scikit_learns(right):
    from sklearn.metrics import r2_score

    task = fitted([1.0, 2.0, 4.0])
    target = task.encode([2.0] * 5)
    outputs = target if right else task.encode([2.0, 1.0, 2.0, 3.0, 2.0])
    measure = task.measure(outputs, target)
    assert measure.score() == r2_score(task.decode(target), task.decode(outputs)) == float(right)
    # A draw in which the targets happen to be the same tells nothing.
    mixed = task.measure(torch.cat([outputs, outputs[:1]]), task.encode([2.0] * 5 + [4.0]))
    assert np.isnan(mixed.score(np.array([1.0, 1, 1, 1, 1, 0])))


def test_the_largest_errors_are_the_worst_and_a_scatter_shows_all():
    task = fitted([0.0, 2.0])
    measure = task.measure(torch.tensor([[0.0], [1.0], [4.0]]), torch.tensor([[0.0], [2.0], [1.0]]))
    assert measure.worst(10).tolist() == [2, 1]
    (section,) = measure.sections()
    assert section.charts[0].dots == [(1, 1), (3, 2), (2, 5)]
    several = fitted([{"x": 0.0, "y": 1.0}, {"x": 2.0, "y": 5.0}])
    (section,) = several.measure(torch.zeros(1500, 2), torch.zeros(1500, 2)).sections()
    assert [chart.caption.english for chart in section.charts] == ["x", "y"]
    assert [len(chart.dots) for chart in section.charts] == [1000, 1000]
    assert measure.best_temperature() == 1
    assert measure.at_temperature(2.0) is measure


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
        fitted([1, 2]).encode([1, None])


def test_two_wild_targets_leave_scale_score_and_loss_to_the_others():
    numbers = np.random.default_rng(0).random(300) * 3
    mixed = [*numbers.tolist(), 1e9, -1e300]
    task = RegressConfig().build()
    task.fit(mixed)
    np.testing.assert_allclose([task.mean[0], task.deviation[0]], [numbers.mean(), numbers.std()])
    loaded = Regress.load(task.config, json.loads(json.dumps(task.state())))
    target = loaded.encode(mixed)
    right = target.clone()
    right[300:] = 0
    loss = loaded.outputs_loss(right, target)
    assert (loss[:300] == 0).all()
    assert (loss[300:] < 1e-4).all()
    measure = loaded.measure(right, target)
    assert measure.score() == 1
    assert measure.score(np.append(np.full(300, 2.0), [1, 0])) == 1
    assert measure.metrics()["r2"] < 0.1
    assert loaded.baseline(target, 1).item() == pytest.approx(0, abs=1e-6)


def test_a_long_tail_is_not_wild():
    prices = np.exp(np.random.default_rng(0).normal(7.0, 1.0, 2_000))
    task = RegressConfig().build()
    task.fit(prices.tolist())
    np.testing.assert_allclose([task.mean[0], task.deviation[0]], [prices.mean(), prices.std()])
    target = task.encode(prices.tolist())
    torch.testing.assert_close(task.outputs_loss(target * 0, target), target.square()[:, 0])


def test_what_every_tenth_target_is_is_learned():
    numbers = [0.0] * 30 + np.random.default_rng(0).normal(100, 1, 270).tolist()
    task = RegressConfig().build()
    task.fit(numbers)
    np.testing.assert_allclose(task.deviation[0], np.std(numbers))
    assert task.outputs_loss(torch.zeros(1, 1), task.encode([0.0])).item() == pytest.approx(9, abs=0.1)


def test_a_task_saved_before_there_were_limits_has_none():
    task = RegressConfig().build()
    task.fit([1.0, 2.0, 3.0])
    state = {key: value for key, value in task.state().items() if key != "limits"}
    old = Regress.load(task.config, state)
    assert old.outputs_loss(torch.zeros(1, 1), torch.tensor([[1e3]])).item() == 1e6
