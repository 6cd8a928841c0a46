"""Gradient boosted trees on cells as they are, and on the principal components of vectors; LightGBM grows them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tonggan.floor.base import CannotFitError, Examples, Floats, Goal, Member, MemberConfig, Stored
from tonggan.floor.design import Design
from tonggan.floor.features import Features
from tonggan.floor.flat_trees import FlatTrees, of_lightgbm
from tonggan.floor.linear_fit import link
from tonggan.floor.rows import deal, with_hidden_copies
from tonggan.wording import Words

if TYPE_CHECKING:
    import lightgbm

_MOST_TREES = 3_000
_PATIENCE = 60  # rounds without a lower loss
_MOST_COLUMNS = 600
_LEAST_SECONDS = 0.3
_ROWS_FOR_FOLDS = 3_000  # with more, one part set apart says well enough when to stop
_FOLDS = 4
_TIMED_ROUNDS = 6
_USUAL_ROUNDS = 300
_ELEMENTS_FOR_THREADS = 1_000_000  # of a matrix; with fewer, threads wait for one another beside a busy program
_FEW_ROUNDS = 30  # of a single row, which leaves none to tell when to stop

Folds = list[tuple[NDArray[np.int64], NDArray[np.int64]]]
"""Rows to learn from, and rows that tell when to stop."""


class BoostedTreesConfig(MemberConfig):
    """Trees that correct one another, as many as rows set apart want."""

    cost: ClassVar[int] = 3
    kind: Literal["boosted_trees"] = "boosted_trees"
    learning_rate: float = Field(default=0.05, gt=0, le=1)
    """Shrinkage of each tree's contribution."""
    leaves: int = Field(default=31, ge=2, le=1024)
    """Maximum number of leaves of a tree."""
    min_rows: int = Field(default=5, ge=1)
    """Minimum number of rows in a leaf."""
    penalty: float = Field(default=1.0, ge=0)
    """L2 penalty on leaf values. Without it, trees overfit the few rows where a decisive cell is absent."""
    column_share: float = Field(default=0.7, gt=0, le=1)
    """Share of the columns that is sampled for each tree."""
    row_share: float = Field(default=0.8, gt=0, le=1)
    """Share of the rows that is sampled for each tree."""
    random_thresholds: bool = False
    """Draw split thresholds at random: less exact but more diverse trees."""
    axes: int = Field(default=24, ge=1)
    """Number of principal components of each input's embeddings to read."""
    words: ClassVar[Words] = Words("boosted trees", "提升树")

    def fit(self, examples: Examples, goal: Goal, *, seed: int, seconds: float) -> Member:
        started = time.monotonic()
        if seconds < _LEAST_SECONDS:
            raise CannotFitError(
                "boosted trees",
                got=f"{seconds:.2g} s",
                expected=f"at least {_LEAST_SECONDS:g} s",
                remedy="Raise the time limit",
            )
        count = len(examples)
        examples, origins = with_hidden_copies(examples, seed=seed)
        design = Design.fit(examples, "raw", goal, axes=self.axes, most_columns=_MOST_COLUMNS)
        grown = _Grower(self, design, examples, origins, goal, seed=seed, deadline=started + 0.9 * seconds)
        return BoostedTreesMember(design, grown.trees(count), goal)

    def load(self, stored: Stored, goal: Goal) -> Member:
        trees = [
            FlatTrees.of({key.removeprefix(f"trees.{index}."): array for key, array in stored.arrays.items()})
            for index in range(int(stored.plain["outputs"]))
        ]
        return BoostedTreesMember(Design.load(stored.plain["design"], stored.arrays), trees, goal)


class BoostedTreesMember(Member):
    """Boosted trees on a raw design.

    Args:
        design: how rows become a matrix.
        trees: one for all classes, or one for each label or number.
        goal: what is predicted.
    """

    def __init__(self, design: Design, trees: Sequence[FlatTrees], goal: Goal) -> None:
        self.design, self.trees, self.goal = design, trees, goal

    def predict(self, features: Features) -> Floats:
        rows = self.design.matrix(features)
        scores = np.concatenate([trees.sums(rows) for trees in self.trees], axis=1)
        if self.goal.form == "classes" and scores.shape[1] == 1:  # two classes: the score of the second
            scores = np.concatenate([np.zeros_like(scores), scores], axis=1)
        return link(scores, self.goal)

    def store(self) -> Stored:
        design = self.design.store()
        arrays = {
            f"trees.{index}.{name}": array
            for index, trees in enumerate(self.trees)
            for name, array in trees.arrays().items()
        }
        return Stored({"design": design.plain, "outputs": len(self.trees)}, {**design.arrays, **arrays})


class _Grower:
    """Grows the trees of one fit.

    Args:
        config: says how.
        design: of the rows.
        examples: rows, and copies of them behind.
        origins: ``[M]``, of which row each is.
        goal: what is predicted.
        seed: of what is random.
        deadline: of ``time.monotonic``.
    """

    def __init__(
        self,
        config: BoostedTreesConfig,
        design: Design,
        examples: Examples,
        origins: NDArray[np.int64],
        goal: Goal,
        *,
        seed: int,
        deadline: float,
    ) -> None:
        self._examples, self._origins, self._goal, self._seed, self._deadline = examples, origins, goal, seed, deadline
        self._rows = design.matrix(examples.features)
        self._categories = design.categories()
        self._settings = self._settings_of(config)

    def _settings_of(self, config: BoostedTreesConfig) -> dict[str, Any]:
        classes = self._goal.form == "classes"
        multiclass = classes and self._goal.size > 2
        return {
            "objective": "regression" if self._goal.form == "numbers" else "multiclass" if multiclass else "binary",
            **({"num_class": self._goal.size} if multiclass else {}),
            "learning_rate": config.learning_rate,
            "num_leaves": config.leaves,
            "min_data_in_leaf": config.min_rows,
            "lambda_l2": config.penalty,
            "feature_fraction": config.column_share,
            "bagging_fraction": config.row_share,
            "bagging_freq": 1,
            "extra_trees": config.random_thresholds,
            "min_data_per_group": 10,
            "seed": self._seed,
            "deterministic": True,
            "force_col_wise": True,
            "num_threads": 1 if self._rows.size < _ELEMENTS_FOR_THREADS else 0,
            "verbose": -1,
        }

    def trees(self, count: int) -> list[FlatTrees]:
        """One for all classes, or one for each label or number, of ``count`` rows and their copies."""
        targets = self._examples.targets
        if self._goal.form == "classes":
            return [self._grow(targets, count, self._deadline)]
        grown = []
        for index in range(self._goal.size):
            left = self._deadline - time.monotonic()
            grown.append(self._grow(targets[:, index], count, time.monotonic() + left / (self._goal.size - index)))
        return grown

    def _grow(self, targets: NDArray[Any], count: int, deadline: float) -> FlatTrees:
        import lightgbm

        groups = self._settings.get("num_class", 1)
        most = max(_MOST_TREES // groups, 50)
        folds = self._folds(targets[:count])
        data = lightgbm.Dataset(
            self._rows,
            targets,
            weight=self._examples.weights,
            categorical_feature=self._categories,
            params=self._settings,
            free_raw_data=False,
        )
        settings, folds = self._within(data, folds, deadline)
        if len(folds) > 1:
            # The trees of the folds only tell how many there should be; those that stay learn from all rows.
            stop = [_until(time.monotonic() + 0.7 * (deadline - time.monotonic()))]
            losses = lightgbm.cv(settings, data, most, folds=folds, callbacks=[*self._patience(), *stop])
            curve = next(np.asarray(losses[name]) for name in losses if name.endswith("-mean"))
            rounds = 1 + int(curve.argmin())
            grown = lightgbm.train(settings, data, rounds, callbacks=[_until(deadline)])
        elif not folds:
            grown = lightgbm.train(settings, data, _FEW_ROUNDS, callbacks=[_until(deadline)])
        else:
            learned, held = (data.subset(rows.tolist()) for rows in folds[0])
            stop = [_until(deadline)]
            grown = lightgbm.train(settings, learned, most, [held], callbacks=[*self._patience(), *stop])
        text = grown.model_to_string(num_iteration=grown.best_iteration if len(folds) == 1 else None)
        return of_lightgbm(text, groups=groups)

    def _within(self, data: lightgbm.Dataset, folds: Folds, deadline: float) -> tuple[dict[str, Any], Folds]:
        """Where the time is too short for as many rounds as most tables want: one fold, and larger steps."""
        import lightgbm

        if deadline == np.inf:
            return self._settings, folds
        data.construct()  # which takes its time once
        ends = [time.monotonic()]
        told = [lambda _: ends.append(time.monotonic()), _until(deadline)]
        lightgbm.train(self._settings, data, _TIMED_ROUNDS, callbacks=told)
        # The quickest round: beside a busy program a single one may wait for long.
        quickest = float(np.diff(ends).min())
        rounds = (deadline - time.monotonic()) / max(quickest, 1e-6)
        if rounds < _USUAL_ROUNDS * (len(folds) + 1):
            folds = folds[:1]
        rate = self._settings["learning_rate"] * max(_USUAL_ROUNDS / max(rounds, 1), 1)
        return {**self._settings, "learning_rate": min(rate, 0.3)}, folds

    def _patience(self) -> list[Any]:
        import lightgbm

        return [lightgbm.early_stopping(_PATIENCE, verbose=False)]

    def _folds(self, targets: NDArray[Any]) -> Folds:
        """Positions of rows to learn from, copies among them, and of rows that tell when to stop, copies among few."""
        small = len(targets) <= _ROWS_FOR_FOLDS
        dealt = deal(targets, _FOLDS if small else 10, seed=self._seed)
        held = [dealt[self._origins] == part for part in range(_FOLDS if small else 1)]
        # Of many rows, copies would tell by their large errors to stop long before whole rows are known.
        shown = np.ones(len(self._origins), dtype=bool) if small else np.arange(len(self._origins)) < len(targets)
        pairs = [(np.flatnonzero(~rows), np.flatnonzero(rows & shown)) for rows in held]
        return [pair for pair in pairs if len(pair[0]) and len(pair[1])]


def _until(deadline: float) -> Callable[[Any], None]:
    """Stops growing when the time is up."""

    def check(state: Any) -> None:
        from lightgbm.callback import EarlyStopException

        if time.monotonic() > deadline:
            raise EarlyStopException(state.iteration, state.evaluation_result_list)

    return check
