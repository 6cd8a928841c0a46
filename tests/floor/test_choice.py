import numpy as np
import pytest

from tonggan.floor.base import Goal
from tonggan.floor.choice import choose, network_weight

CLASSES = Goal("classes", 3)
NUMBERS = Goal("numbers", 1)


def noisy(truth, *, seed, noise):
    return truth + noise * np.random.default_rng(seed).normal(size=truth.shape)


@pytest.fixture
def truth():
    return np.random.default_rng(0).normal(size=(500, 1))


def loss_of(weights, predictions, truth):
    mean = sum(weight * predictions[name] for name, weight in weights.items())
    return float(((mean - truth) ** 2).mean())


def test_members_that_err_apart_are_averaged(truth):
    predictions = {name: noisy(truth, seed=seed, noise=0.5) for seed, name in enumerate("abc", start=1)}
    weights = choose(predictions, truth, np.ones(500), NUMBERS, most=3)
    assert sum(weights.values()) == pytest.approx(1)
    assert set(weights) == {"a", "b", "c"}
    assert loss_of(weights, predictions, truth) < 0.4 * loss_of({"a": 1}, predictions, truth)


def test_a_member_that_adds_nothing_is_left_out(truth):
    good = noisy(truth, seed=1, noise=0.1)
    predictions = {"good": good, "same": good.copy(), "bad": noisy(truth, seed=2, noise=3)}
    assert choose(predictions, truth, np.ones(500), NUMBERS, most=3) in ({"good": 1}, {"same": 1})


def test_no_more_members_than_allowed(truth):
    predictions = {str(seed): noisy(truth, seed=seed, noise=0.5) for seed in range(8)}
    for most in (1, 2, 5):
        assert len(choose(predictions, truth, np.ones(500), NUMBERS, most=most)) <= most


def test_rows_count_by_their_weight():
    targets = np.array([[0.0], [1.0]])
    predictions = {"first": np.array([[0.0], [0.0]]), "second": np.array([[1.0], [1.0]])}
    weights = choose(predictions, targets, np.array([3.0, 1.0]), NUMBERS, most=2)
    assert weights["first"] == pytest.approx(0.75, abs=0.03)


def test_the_choice_is_by_cross_entropy():
    targets = np.array([0, 1, 2, 0])
    sure = np.eye(3)[targets] * 0.9 + 0.1 / 3
    wrong = np.eye(3)[(targets + 1) % 3]
    assert choose({"sure": sure, "wrong": wrong}, targets, np.ones(4), CLASSES, most=2) == {"sure": 1}


def test_a_network_joins_only_where_it_pays(truth):
    floor = noisy(truth, seed=1, noise=0.5)
    assert network_weight(floor, noisy(truth, seed=2, noise=5), truth, np.ones(500), NUMBERS) == 0
    assert network_weight(floor, floor, truth, np.ones(500), NUMBERS) == 0
    assert network_weight(floor, noisy(truth, seed=3, noise=0.5), truth, np.ones(500), NUMBERS) == pytest.approx(
        0.5, abs=0.1
    )
