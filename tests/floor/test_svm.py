"""Support vector machines: their contract, and scikit-learn's scores."""

from __future__ import annotations

import numpy as np
from sklearn.svm import SVR

from contracts import check_member
from tonggan.floor import Goal
from tonggan.floor.svm import SvmConfig, _machines, _scores


def test_contract() -> None:
    check_member(SvmConfig())


def test_scores_are_those_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(80, 5))
    aims = np.sin(rows[:, :2]) + generator.normal(0, 0.1, (80, 2))
    machines = _machines(rows, aims, np.ones(80), Goal("numbers", 2), 3.0, 0.2, float("inf"))
    fresh = generator.normal(size=(30, 5))
    for output in range(2):
        reference = SVR(C=3.0, gamma=0.2, epsilon=0.05).fit(rows, aims[:, output])
        np.testing.assert_allclose(_scores(fresh, *machines, 0.2)[:, output], reference.predict(fresh), atol=1e-6)
