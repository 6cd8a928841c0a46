"""Linear models: their contract, and scikit-learn's weights."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from contracts import check_member
from tonggan.floor import Goal
from tonggan.floor.linear import LinearConfig
from tonggan.floor.linear_fit import Equations, descend, fit_penalized, link, wanted


def test_contract() -> None:
    check_member(LinearConfig())


@pytest.mark.parametrize("size", [2, 3])
def test_logistic_regression_is_that_of_scikit_learn(size: int) -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(200, 6))
    scores = rows[:, :3] + generator.normal(size=(200, 3))
    targets = scores[:, :size].argmax(1)
    weights = generator.uniform(0.5, 1.5, 200)
    goal = Goal("classes", size)
    # Of two columns of weights a penalty costs half as much as of their difference.
    reference = LogisticRegression(C=1 / (2.0 if size == 2 else 1.0), tol=1e-10, max_iter=5000)
    reference.fit(rows, targets, sample_weight=weights)
    penalty = 4.0 if size == 2 else 1.0
    held = descend(
        rows, wanted(targets, goal), weights, goal, penalty=penalty, start=np.zeros((7, size)), tolerance=1e-14
    )
    np.testing.assert_allclose(link(rows @ held[:-1] + held[-1], goal), reference.predict_proba(rows), atol=1e-5)


@pytest.mark.parametrize("width", [5, 80])
def test_ridge_regression_is_that_of_scikit_learn(width: int) -> None:
    generator = np.random.default_rng(0)
    rows, targets = generator.normal(size=(50, width)), generator.normal(size=(50, 2))
    weights = generator.uniform(0.5, 1.5, 50)
    held = Equations(rows, targets, weights).solve(2.0)
    reference = Ridge(alpha=2.0).fit(rows, targets, sample_weight=weights)
    np.testing.assert_allclose(rows @ held[:-1] + held[-1], reference.predict(rows), atol=1e-8)
    goal = Goal("numbers", 2)
    descended = descend(rows, targets, weights, goal, penalty=2.0, start=np.zeros((width + 1, 2)), tolerance=1e-15)
    np.testing.assert_allclose(descended, held, atol=1e-4)


def test_with_more_columns_than_rows_the_weights_are_the_same() -> None:
    generator = np.random.default_rng(0)
    rows, targets = generator.normal(size=(40, 90)), generator.integers(0, 3, 40)
    goal, weights = Goal("classes", 3), np.ones(40)
    aims = wanted(targets, goal)
    none, all_rows = np.zeros(40, dtype=bool), np.ones(40, dtype=bool)
    held, _ = fit_penalized(
        rows, aims, weights, goal, penalties=[3.0], apart=none, learned=all_rows, deadline=float("inf")
    )
    reference = descend(rows, aims, weights, goal, penalty=3.0, start=np.zeros((91, 3)), tolerance=1e-14)
    found, expected = (link(rows @ each[:-1] + each[-1], goal) for each in (held, reference))
    np.testing.assert_allclose(found, expected, atol=1e-3)
