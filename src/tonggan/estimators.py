"""scikit-learn's interface: ``TongganClassifier`` and ``TongganRegressor`` fit into its pipelines, searches and folds.

They hold a ``Predictor`` and add nothing to it. A data frame may have pictures, recordings and texts among its columns,
as ``tonggan.fit`` reads them; the columns of an array are numbers where its type says so. ``import tonggan`` loads
neither this file nor scikit-learn.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import Tags, assert_all_finite
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d, validate_data

from tonggan.api import fit
from tonggan.config import apply_overrides
from tonggan.errors import ConfigError, DataError
from tonggan.runs.predictor import Predictor


class InputError(DataError, ValueError):
    """Data that an estimator cannot use; a ValueError, as scikit-learn expects."""


class _Estimator(BaseEstimator):  # type: ignore[misc]
    """What both estimators share.

    Args:
        settings: single fields of the recipe, as ``tonggan.fit`` takes them in a mapping.
        time_limit: for everything, in seconds or as ``"5m"``.
        recipe: YAML file or shipped recipe to take all other settings from.
        out: the run's folder; without it the run is in memory alone, and ``model_.save(folder)`` writes it.
        random_state: same number, same model; None is 0.

    Attributes:
        model_: the fitted ``Predictor``.
        n_features_in_: how many columns it was fitted with.
        feature_names_in_: their names, where they had some.
    """

    def __init__(
        self,
        *,
        settings: Mapping[str, Any] | None = None,
        time_limit: str | float | None = None,
        recipe: str | None = None,
        out: str | Path | None = None,
        random_state: int | None = None,
    ) -> None:
        self.settings = settings
        self.time_limit = time_limit
        self.recipe = recipe
        self.out = out
        self.random_state = random_state

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags

    def _learn(self, columns: Mapping[str, Any], y: NDArray[Any], *, task: str) -> None:
        target = "target"
        while target in columns:
            target += "_"
        kinds = {name: {"kind": "number"} for name, values in columns.items() if _is_number(values)}
        kinds[target] = {"kind": "number" if task == "regression" else "category"}
        settings = apply_overrides({"task": {"kind": task}, "columns": kinds}, self.settings or {})
        with tempfile.TemporaryDirectory() as memory, _value_errors():
            self.model_: Predictor = fit(
                {**columns, target: y},
                target=target,
                out=Path(memory, "run") if self.out is None else self.out,
                time_limit=self.time_limit,
                recipe=self.recipe,
                settings=settings,
                seed=self.random_state or 0,
                overwrite=True,
                progress=False,
            )

    def _columns(self, X: Any, *, reset: bool) -> dict[str, Any]:  # noqa: N803 - scikit-learn's name
        """The columns of ``X`` by name, checked as scikit-learn does."""
        if hasattr(X, "columns") and not all(isinstance(name, str) for name in X.columns):
            X = X.set_axis([str(name) for name in X.columns], axis=1)  # noqa: N806
        if hasattr(X, "columns") and hasattr(X, "iloc") and not _is_plain(X):
            validate_data(self, X, reset=reset, skip_check_array=True)
            if X.shape[0] == 0 or X.shape[1] == 0:
                validate_data(self, X, reset=reset, dtype=None, ensure_all_finite="allow-nan")
            return {name: X[name] for name in X.columns}
        array = validate_data(
            self, X, reset=reset, dtype=None, ensure_all_finite="allow-nan", ensure_min_samples=2 if reset else 1
        )
        names = getattr(self, "feature_names_in_", [f"x{place}" for place in range(array.shape[1])])
        return {str(name): array[:, place] for place, name in enumerate(names)}

    def _rows(self, X: Any) -> dict[str, Any]:  # noqa: N803
        check_is_fitted(self, "model_")
        return self._columns(X, reset=False)


def _is_plain(frame: Any) -> bool:
    """Whether all columns are numbers, so that scikit-learn can check the values."""
    return all(getattr(kind, "kind", "O") in "biuf" for kind in frame.dtypes)


def _is_number(values: Any) -> bool:
    return getattr(values.dtype, "kind", "O") in "iuf"


@contextmanager
def _value_errors() -> Iterator[None]:
    try:
        yield
    except (DataError, ConfigError) as error:
        raise InputError(error.who, got=error.got, expected=error.expected, remedy=error.remedy) from error


class TongganClassifier(ClassifierMixin, _Estimator):  # type: ignore[misc]
    """One class of any type for each row; for the arguments see ``_Estimator``.

    Attributes:
        classes_: the classes, sorted.
    """

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803
        """Learn to predict ``y`` ``[N]`` from the columns of ``X`` ``[N, C]``.

        Raises:
            InputError: nothing can be learned from these data.
        """
        columns = self._columns(X, reset=True)
        y = _target(X, y)
        check_classification_targets(y)
        self.classes_, numbers = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError(
                "y",
                got=f"1 class, '{self.classes_[0]}', in every row",
                expected="at least two classes",
                remedy="Add rows of another class",
            )
        self._learn(columns, numbers, task="binary" if len(self.classes_) == 2 else "multiclass")
        return self

    def predict(self, X: Any) -> NDArray[Any]:  # noqa: N803
        """The class of each row, ``[N]``."""
        with _value_errors():
            rows = self._rows(X)
            return np.asarray(self.classes_)[np.array(self.model_.predict(rows), dtype=np.int64)]

    def predict_proba(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """``[N, C]``: calibrated probabilities in the order of ``classes_``."""
        with _value_errors():
            rows = self._rows(X)
            return self.model_.predict_proba(rows)


class TongganRegressor(RegressorMixin, _Estimator):  # type: ignore[misc]
    """One number for each row; for the arguments see ``_Estimator``."""

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803
        """Learn to predict ``y`` ``[N]`` from the columns of ``X`` ``[N, C]``.

        Raises:
            InputError: nothing can be learned from these data.
        """
        columns = self._columns(X, reset=True)
        self._learn(columns, _target(X, y).astype(np.float64), task="regression")
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """The number of each row, ``[N]``."""
        with _value_errors():
            rows = self._rows(X)
            return np.array(self.model_.predict(rows), dtype=np.float64)


def _target(X: Any, y: Any) -> NDArray[Any]:  # noqa: N803
    if y is None:
        # scikit-learn looks for these words.
        got = "no target (the estimator requires y to be passed, but the target y is None)"
        raise InputError("y", got=got, expected="one value for each row", remedy="Pass y")
    column = column_or_1d(y, warn=True)
    assert_all_finite(column, input_name="y")
    check_consistent_length(X, column)
    return np.asarray(column)
