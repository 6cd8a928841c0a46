"""Logistic and ridge regression on vectors, one-hot categories and standardized numbers."""

from __future__ import annotations

import time
from typing import ClassVar, Literal

import numpy as np

from tonggan.floor.base import Examples, Floats, Goal, Member, MemberConfig, Stored
from tonggan.floor.design import Design
from tonggan.floor.features import Features
from tonggan.floor.linear_fit import fit_penalized, link, wanted
from tonggan.floor.rows import deal, sample, with_hidden_copies
from tonggan.wording import Words

_PENALTIES = (1000.0, 300.0, 100.0, 30.0, 10.0, 3.0, 1.0, 0.1)
_MOST_ROWS = 50_000
_BINS = 8


class LinearConfig(MemberConfig):
    """Logistic regression for classes and labels, ridge regression for numbers."""

    kind: Literal["linear"] = "linear"
    penalty: float | None = None
    """L2 penalty on the weights; by default, the best of a grid on held-out rows."""
    words: ClassVar[Words] = Words("linear model", "线性模型")

    def fit(self, examples: Examples, goal: Goal, *, seed: int, seconds: float) -> Member:
        deadline = time.monotonic() + 0.8 * seconds
        examples = sample(examples, _MOST_ROWS, seed=seed)
        apart = deal(examples.targets, 5, seed=seed) == 0
        examples, origins = with_hidden_copies(examples, seed=seed)
        design = Design.fit(examples, "dense", goal, bins=_BINS)
        copies = np.arange(len(examples)) >= len(apart)
        held, _ = fit_penalized(
            design.matrix(examples.features),
            wanted(examples.targets, goal),
            examples.weights,
            goal,
            penalties=_PENALTIES if self.penalty is None else (self.penalty,),
            apart=apart[origins] & ~copies,
            learned=~apart[origins],
            deadline=deadline,
        )
        return LinearMember(design, held, goal)

    def load(self, stored: Stored, goal: Goal) -> Member:
        return LinearMember(Design.load(stored.plain["design"], stored.arrays), stored.arrays["weights"], goal)


class LinearMember(Member):
    """A linear model on a dense design.

    Args:
        design: how rows become a matrix.
        weights: ``[F + 1, size]``, the intercept last.
        goal: what is predicted.
    """

    def __init__(self, design: Design, weights: Floats, goal: Goal) -> None:
        self.design, self.weights, self.goal = design, weights, goal

    def predict(self, features: Features) -> Floats:
        return link(self.design.matrix(features) @ self.weights[:-1] + self.weights[-1], self.goal)

    def store(self) -> Stored:
        design = self.design.store()
        return Stored({"design": design.plain}, {**design.arrays, "weights": self.weights})
