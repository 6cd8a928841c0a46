"""Support vector machines with a radial kernel on the dense design; scikit-learn finds the support vectors."""

from __future__ import annotations

import math
import time
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from tonggan.floor.base import CannotFitError, Examples, Floats, Goal, Member, MemberConfig, Stored
from tonggan.floor.design import Design
from tonggan.floor.features import Features
from tonggan.floor.linear_fit import descend, link, loss, wanted
from tonggan.floor.rows import deal, sample, with_hidden_copies
from tonggan.wording import Words

_MOST_ROWS = 5_000
_MOST_COLUMNS = 1_000
_COSTS = (1.0, 10.0)
_NEARNESS = (0.3, 1.0)
_AT_ONCE = 8_000_000  # values of the kernel
_TIMED_ROWS = 400  # tell how long all take
_CALIBRATION_PENALTY = 1.0
_TUBE = 0.05  # standard deviations of a number within which an error counts as none


class SvmConfig(MemberConfig):
    """One machine for each class against the others, for each label, and for each number."""

    cost: ClassVar[int] = 6
    kind: Literal["svm"] = "svm"
    penalty: float | None = Field(default=None, gt=0)
    """Penalty C of rows on the wrong side of the margin; by default, the best of a few on held-out rows."""
    words: ClassVar[Words] = Words("support vector machine", "支持向量机")

    def fit(self, examples: Examples, goal: Goal, *, seed: int, seconds: float) -> Member:
        deadline = time.monotonic() + 0.6 * seconds
        examples = sample(examples, _MOST_ROWS, seed=seed)
        apart = deal(examples.targets, 5, seed=seed) == 0
        examples, origins = with_hidden_copies(examples, seed=seed)
        design = Design.fit(examples, "dense", goal, most_columns=_MOST_COLUMNS)
        rows, aims, weights = design.matrix(examples.features), wanted(examples.targets, goal), examples.weights
        held = apart[origins]
        unit = 1 / max(float(rows.var(0).sum()), 1e-9)
        tries = [(cost, near * unit) for cost in ([self.penalty] if self.penalty else _COSTS) for near in _NEARNESS]
        _check_time(rows, aims, weights, goal, tries, deadline)
        best: tuple[float, float, float, Floats | None] = (np.inf, *tries[0], None)
        if held.any() and not held.all():
            for cost, gamma in tries:
                machine = _machines(rows[~held], aims[~held], weights[~held], goal, cost, gamma, deadline)
                scores = _scores(rows[held], *machine, gamma)
                turned = _calibrated(scores, aims[held], weights[held], goal)
                reached = loss(_turned(scores, turned, goal), aims[held], weights[held], goal)
                if reached < best[0]:
                    best = (reached, cost, gamma, turned)
        _, cost, gamma, calibration = best
        machine = _machines(rows, aims, weights, goal, cost, gamma, deadline)
        if calibration is None:
            calibration = _calibrated(_scores(rows, *machine, gamma), aims, weights, goal)
        return SvmMember(design, machine, gamma, calibration, goal)

    def load(self, stored: Stored, goal: Goal) -> Member:
        held = stored.arrays
        machine = (held["vectors"], held["duals"], held["intercepts"])
        design = Design.load(stored.plain["design"], held)
        return SvmMember(design, machine, float(stored.plain["gamma"]), held["calibration"], goal)


Machines = tuple[Floats, Floats, Floats]
"""Support vectors ``[S, F]``, dual coefficients ``[S, size]`` and intercepts ``[size]``."""


class SvmMember(Member):
    """Support vector machines on a dense design.

    Args:
        design: how rows become a matrix.
        machines: one for each output.
        gamma: the kernel is the exponential of minus so many squared distances.
        calibration: ``[size + 1, size]``, a logistic regression on the scores of classes and labels.
        goal: what is predicted.
    """

    def __init__(self, design: Design, machines: Machines, gamma: float, calibration: Floats, goal: Goal) -> None:
        self.design, self.machines, self.gamma, self.calibration, self.goal = design, machines, gamma, calibration, goal

    def predict(self, features: Features) -> Floats:
        scores = _scores(self.design.matrix(features), *self.machines, self.gamma)
        return _turned(scores, self.calibration, self.goal)

    def store(self) -> Stored:
        design = self.design.store()
        vectors, duals, intercepts = self.machines
        arrays = {"vectors": vectors, "duals": duals, "intercepts": intercepts, "calibration": self.calibration}
        return Stored({"design": design.plain, "gamma": self.gamma}, {**design.arrays, **arrays})


def _check_time(
    rows: Floats, aims: Floats, weights: Floats, goal: Goal, tries: list[tuple[float, float]], deadline: float
) -> None:
    """No machine can be stopped on its way, so a few rows tell before whether the time suffices for all."""
    if math.isinf(deadline) or len(rows) < 2 * _TIMED_ROWS:
        return
    few = np.arange(0, len(rows), len(rows) // _TIMED_ROWS)
    began = time.monotonic()
    for cost, gamma in tries:
        _machines(rows[few], aims[few], weights[few], goal, cost, gamma, deadline)
    # Of twice the rows it takes four times as long; the last of the machines is fitted once more.
    expected = (time.monotonic() - began) * (1 + 1 / len(tries)) * (len(rows) / len(rows[few])) ** 2
    if time.monotonic() + expected > deadline:
        raise _too_slow(len(rows), goal)


def _too_slow(rows: int, goal: Goal) -> CannotFitError:
    return CannotFitError(
        "support vector machine",
        got=f"{rows} rows and {goal.size} outputs, for which the time was too short",
        expected="fewer of them, or more time",
        remedy="Leave it out, or raise the time limit",
    )


def _machines(
    rows: Floats, aims: Floats, weights: Floats, goal: Goal, cost: float, gamma: float, deadline: float
) -> Machines:
    from sklearn.svm import SVC, SVR

    duals, intercepts = np.zeros_like(aims), np.zeros(goal.size)
    for output in range(goal.size):
        if time.monotonic() > deadline:
            raise _too_slow(len(rows), goal)
        aim = aims[:, output]
        if goal.form == "classes" and goal.size == 2 and output == 0:
            continue  # the second class says all
        if aim.min() == aim.max():
            intercepts[output] = aim[0] if goal.form == "numbers" else 2 * aim[0] - 1
            continue
        found = SVR(C=cost, gamma=gamma, epsilon=_TUBE) if goal.form == "numbers" else SVC(C=cost, gamma=gamma)
        found.fit(rows, aim, sample_weight=weights)
        duals[found.support_, output] = found.dual_coef_[0]
        intercepts[output] = found.intercept_[0]
    support = duals.any(1)
    return rows[support], duals[support], intercepts


def _scores(rows: Floats, vectors: Floats, duals: Floats, intercepts: Floats, gamma: float) -> Floats:
    scores = np.tile(intercepts, (len(rows), 1))
    squares = np.square(vectors).sum(1)
    step = max(1, _AT_ONCE // max(len(vectors), 1))
    for start in range(0, len(rows), step):
        here = rows[start : start + step]
        distances = np.square(here).sum(1)[:, None] + squares - 2 * here @ vectors.T
        scores[start : start + step] += np.exp(-gamma * np.maximum(distances, 0)) @ duals
    return scores


def _calibrated(scores: Floats, aims: Floats, weights: Floats, goal: Goal) -> Floats:
    start = np.concatenate([np.eye(goal.size), np.zeros((1, goal.size))])
    if goal.form == "numbers":
        return start
    return descend(scores, aims, weights, goal, penalty=_CALIBRATION_PENALTY, start=start, tolerance=1e-8)


def _turned(scores: Floats, calibration: Floats, goal: Goal) -> Floats:
    return link(scores @ calibration[:-1] + calibration[-1], goal)
