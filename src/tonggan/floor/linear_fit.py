"""Linear models by their loss and an L2 penalty, for dense and sparse rows; rows set apart choose the penalty."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tonggan.floor.base import Floats, Goal

_ITERATIONS = 200
_MOST_SOLVED = 2_000  # columns of a ridge regression whose equations are solved, instead of descending


def link(scores: Floats, goal: Goal) -> Floats:
    """Predictions of linear scores ``[N, size]``."""
    if goal.form == "numbers":
        return scores
    if goal.form == "labels":
        return np.asarray(0.5 * (1 + np.tanh(0.5 * scores)))
    shifted = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(shifted / shifted.sum(1, keepdims=True))


def wanted(targets: NDArray[Any], goal: Goal) -> Floats:
    """Targets as ``[N, size]``, of classes a one in each row."""
    return np.eye(goal.size)[targets] if goal.form == "classes" else np.asarray(targets, dtype=np.float64)


def loss(predictions: Floats, aims: Floats, weights: Floats, goal: Goal) -> float:
    """The mean loss of rows: squared errors, or negative log likelihoods."""
    if goal.form == "numbers":
        rows = np.square(predictions - aims).sum(1)
    else:
        sure = np.clip(predictions, 1e-12, 1)
        rows = -(aims * np.log(sure)).sum(1)
        if goal.form == "labels":
            rows -= ((1 - aims) * np.log(np.clip(1 - predictions, 1e-12, 1))).sum(1)
    return float(np.average(rows, weights=weights))


def descend(
    rows: Any,
    aims: Floats,
    weights: Floats,
    goal: Goal,
    *,
    penalty: float,
    start: Floats,
    tolerance: float,
    deadline: float = math.inf,
) -> Floats:
    """The weights ``[F + 1, size]`` of least penalized loss; the last row is the intercept, which is not penalized.

    Args:
        rows: ``[N, F]``, dense or of SciPy's sparse.
        aims: ``[N, size]``.
        weights: ``[N]``.
        goal: says the loss.
        penalty: half of it times the squared weights is added to the sum of the rows' losses.
        start: where the descent begins.
        tolerance: it ends where a step gains no larger share of the loss.
        deadline: of ``time.monotonic``, after which no more than the first step is made.
    """
    from scipy.optimize import minimize

    def check(_: Floats) -> None:
        if time.monotonic() > deadline:
            raise StopIteration

    total = weights.sum()
    transposed = rows.T

    def objective(flat: Floats) -> tuple[float, Floats]:
        held = flat.reshape(start.shape)
        predictions = link(rows @ held[:-1] + held[-1], goal)
        errors = (predictions - aims) * weights[:, None]
        half = 0.5 if goal.form == "numbers" else 1.0
        value = half * loss(predictions, aims, weights, goal) + 0.5 * penalty / total * np.square(held[:-1]).sum()
        slope = np.concatenate([transposed @ errors + penalty * held[:-1], errors.sum(0, keepdims=True)]) / total
        return float(value), slope.ravel()

    found = minimize(
        objective, start.ravel(), jac=True, method="L-BFGS-B", callback=check,
        options={"maxiter": _ITERATIONS, "gtol": 0.01 * tolerance, "ftol": tolerance},
    )  # fmt: skip
    return np.asarray(found.x.reshape(start.shape))


class Equations:
    """Those of a ridge regression on dense rows, of which any penalty is solved quickly."""

    def __init__(self, rows: Floats, aims: Floats, weights: Floats) -> None:
        self._center = np.average(rows, axis=0, weights=weights)
        self._middle = np.average(aims, axis=0, weights=weights)
        scaled = (rows - self._center) * np.sqrt(weights)[:, None]
        self._squares = scaled.T @ scaled
        self._products = scaled.T @ ((aims - self._middle) * np.sqrt(weights)[:, None])

    def solve(self, penalty: float) -> Floats:
        """The weights ``[F + 1, size]``, as ``descend`` finds them."""
        held = np.linalg.solve(self._squares + penalty * np.eye(len(self._squares)), self._products)
        return np.concatenate([held, (self._middle - self._center @ held)[None]])


def fit_penalized(
    rows: Any,
    aims: Floats,
    weights: Floats,
    goal: Goal,
    *,
    penalties: Sequence[float],
    apart: NDArray[np.bool_],
    learned: NDArray[np.bool_],
    deadline: float,
) -> tuple[Floats, float]:
    """The weights ``[F + 1, size]`` under the penalty that serves the rows ``apart`` best, and that penalty.

    Args:
        rows: ``[N, F]``, dense or sparse.
        aims: ``[N, size]``.
        weights: ``[N]``.
        goal: says the loss.
        penalties: from the strongest on; as soon as one serves worse than the one before, the rest is not tried.
        apart: ``[N]``, rows to choose the penalty by.
        learned: ``[N]``, rows that are learned from meanwhile. At the end all are.
        deadline: of ``time.monotonic``, by which it leaves off.
    """
    if isinstance(rows, np.ndarray) and rows.shape[1] > rows.shape[0]:
        # The best weights lie in the space that the rows span, so they can be sought there.
        values, vectors = np.linalg.eigh(rows @ rows.T)
        real = values > values.max() * 1e-12
        axes = rows.T @ (vectors[:, real] / np.sqrt(values[real]))
        held, best = fit_penalized(
            rows @ axes, aims, weights, goal,
            penalties=penalties, apart=apart, learned=learned, deadline=deadline,
        )  # fmt: skip
        return np.concatenate([axes @ held[:-1], held[-1:]]), best
    solvable = goal.form == "numbers" and isinstance(rows, np.ndarray) and rows.shape[1] <= _MOST_SOLVED
    start = np.zeros((rows.shape[1] + 1, goal.size))
    best, least = penalties[0], np.inf
    began = time.monotonic()
    half = began + 0.5 * (deadline - began)  # the last fit, to all rows, takes about as long as all before
    chosen = start
    if len(penalties) > 1 and apart.any() and learned.any():
        held, shown = rows[learned], rows[apart]
        known = held, aims[learned], weights[learned]
        equations = Equations(*known) if solvable else None
        for penalty in penalties:
            if equations is not None:
                start = equations.solve(penalty)
            else:
                start = descend(*known, goal, penalty=penalty, start=start, tolerance=1e-4, deadline=half)
            reached = loss(link(shown @ start[:-1] + start[-1], goal), aims[apart], weights[apart], goal)
            if reached < least:
                best, least, chosen = penalty, reached, start
            elif reached > least * 1.005:
                break
            if time.monotonic() > half:
                break
    if solvable:
        return Equations(rows, aims, weights).solve(best), best
    if time.monotonic() <= deadline or not chosen.any():
        chosen = descend(rows, aims, weights, goal, penalty=best, start=chosen, tolerance=1e-6, deadline=deadline)
    return chosen, best
