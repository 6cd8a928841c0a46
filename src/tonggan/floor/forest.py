"""Random forests and extra trees on the raw design; scikit-learn grows them."""

from __future__ import annotations

import time
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from tonggan.floor.base import CannotFitError, Examples, Floats, Goal, Member, MemberConfig, Stored
from tonggan.floor.design import Design
from tonggan.floor.features import Features
from tonggan.floor.flat_trees import FlatTrees, join, of_scikit_learn
from tonggan.floor.linear_fit import wanted
from tonggan.floor.rows import sample, with_hidden_copies
from tonggan.wording import Words

_MOST_ROWS = 20_000
_MOST_COLUMNS = 600
_AT_ONCE = 10  # trees between two looks at the clock, the first of which comes after one
_LEAST_SECONDS = 0.2


class _ForestConfig(MemberConfig):
    """What random forests and extra trees have in common."""

    cost: ClassVar[int] = 4
    random_thresholds: ClassVar[bool]
    trees: int = Field(default=150, ge=1)
    """Number of models to average."""
    min_rows: int | None = Field(default=None, ge=1)
    """Minimum number of rows in a leaf; by default 2 for classes and labels, and for numbers 1 with few rows and more
    with many."""
    column_share: float | None = Field(default=None, gt=0, le=1)
    """Share of the columns that is sampled for each split; by default their square root for classes, half of them for
    numbers."""
    axes: int = Field(default=24, ge=1)
    """Number of principal components of each input's embeddings to read."""

    def fit(self, examples: Examples, goal: Goal, *, seed: int, seconds: float) -> Member:
        deadline = time.monotonic() + 0.7 * seconds
        if seconds < _LEAST_SECONDS:
            raise CannotFitError(
                self.words.english,
                got=f"{seconds:.2g} s",
                expected=f"at least {_LEAST_SECONDS:g} s",
                remedy="Raise the time limit",
            )
        examples = sample(examples, _MOST_ROWS, seed=seed)
        count = len(examples)
        examples, _ = with_hidden_copies(examples, seed=seed)
        design = Design.fit(examples, "raw", goal, axes=self.axes, most_columns=_MOST_COLUMNS)
        grower = self._grower(goal, count, seed)
        aims = wanted(examples.targets, goal)
        rows = design.matrix(examples.features).astype(np.float32)
        grower.n_estimators = 0
        while grower.n_estimators < self.trees:
            began, before = time.monotonic(), grower.n_estimators
            grower.n_estimators = min(before + _AT_ONCE, self.trees) if before else 1
            # One column as a vector, of which scikit-learn does not warn.
            grower.fit(rows, aims[:, 0] if aims.shape[1] == 1 else aims, sample_weight=examples.weights)
            each = (time.monotonic() - began) / (grower.n_estimators - before)
            if time.monotonic() + _AT_ONCE * each > deadline:
                break
        return ForestMember(design, join([of_scikit_learn(tree.tree_) for tree in grower.estimators_]), goal)

    def _grower(self, goal: Goal, count: int, seed: int) -> Any:
        from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

        numbers = goal.form == "numbers"
        least = self.min_rows or (1 if numbers else 2) * (1 if count <= 5_000 else 2)
        # Squared errors of zeros and ones split as Gini's impurity does, and one regressor fits all forms.
        return (ExtraTreesRegressor if self.random_thresholds else RandomForestRegressor)(
            min_samples_leaf=least,
            max_features=self.column_share or (0.5 if numbers else "sqrt"),
            warm_start=True,
            random_state=seed,
        )

    def load(self, stored: Stored, goal: Goal) -> Member:
        trees = FlatTrees.of({name.removeprefix("trees."): array for name, array in stored.arrays.items()})
        return ForestMember(Design.load(stored.plain["design"], stored.arrays), trees, goal)


class RandomForestConfig(_ForestConfig):
    """Trees on drawn rows, each split the best of drawn columns; their mean."""

    kind: Literal["random_forest"] = "random_forest"
    random_thresholds: ClassVar[bool] = False
    words: ClassVar[Words] = Words("random forest", "随机森林")


class ExtraTreesConfig(_ForestConfig):
    """Trees that split drawn columns at random places; their mean."""

    kind: Literal["extra_trees"] = "extra_trees"
    random_thresholds: ClassVar[bool] = True
    words: ClassVar[Words] = Words("extra trees", "极端随机树")


class ForestMember(Member):
    """A forest on a raw design.

    Args:
        design: how rows become a matrix.
        trees: whose leaves hold shares of classes or labels, or mean numbers.
        goal: what is predicted.
    """

    def __init__(self, design: Design, trees: FlatTrees, goal: Goal) -> None:
        self.design, self.trees, self.goal = design, trees, goal

    def predict(self, features: Features) -> Floats:
        means = self.trees.sums(self.design.matrix(features).astype(np.float32)) / len(self.trees.roots)
        if self.goal.form == "numbers":
            return means
        if self.goal.form == "labels":
            return np.clip(means, 0, 1)
        return np.asarray(means / means.sum(1, keepdims=True))

    def store(self) -> Stored:
        design = self.design.store()
        return Stored(
            {"design": design.plain},
            {**design.arrays, **{f"trees.{name}": array for name, array in self.trees.arrays().items()}},
        )
