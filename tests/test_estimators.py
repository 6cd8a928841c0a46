"""scikit-learn's own checks of its interface, and the estimators in its pipelines, folds and searches.

With TONGGAN_ALL_CHECKS set all of scikit-learn's checks run, for some minutes; without it those that fit once or less.
"""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

import tonggan
from tonggan import TongganClassifier, TongganRegressor
from tonggan.errors import TongganError

SETTINGS = {"floor.preset": "fast", "floor.folds": 2, "audit_alone": False}
ESTIMATORS = [TongganClassifier(settings=SETTINGS), TongganRegressor(settings=SETTINGS)]
QUICK = {
    "check_estimator_cloneable", "check_no_attributes_set_in_init", "check_estimator_tags_renamed",
    "check_parameters_default_constructible", "check_get_params_invariance", "check_set_params", "check_estimator_repr",
    "check_valid_tag_types",
    "check_estimators_unfitted", "check_requires_y_none", "check_complex_data", "check_estimator_sparse_tag",
    "check_estimators_empty_data_messages", "check_fit1d", "check_fit2d_1sample", "check_estimators_fit_returns_self",
    "check_estimators_pickle", "check_n_features_in_after_fitting", "check_do_not_raise_errors_in_init_or_set_param",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TONGGAN_CACHE", str(tmp_path_factory.getbasetemp() / "estimators_cache"))


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learns_checks(estimator: object, check: object) -> None:
    if check.func.__name__ not in QUICK and not os.environ.get("TONGGAN_ALL_CHECKS"):  # type: ignore[attr-defined]
        pytest.skip("TONGGAN_ALL_CHECKS is not set")
    assert check(estimator) is None, "a check raises what it finds"  # type: ignore[operator]


def test_a_classifier_in_folds_gives_back_the_types_of_its_classes() -> None:
    table, y = make_classification(120, 4, random_state=0)
    classes = np.array(["no", "yes"])[y]
    model = TongganClassifier(settings=SETTINGS)
    assert cross_val_score(clone(model), table, classes, cv=2).mean() > 0.75
    model.fit(table, y == 1)
    assert model.classes_.tolist() == [False, True]
    assert model.predict(table).dtype == bool
    probabilities = model.predict_proba(table)
    assert probabilities.shape == (120, 2)
    np.testing.assert_array_equal(probabilities[:, 1] > 0.5, model.predict(table))
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(table), model.predict(table))


def test_a_data_frame_may_hold_texts_and_gaps(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    size = random.normal(size=90)
    frame = pd.DataFrame({"words": [f"{'long' if x > 0 else 'short'} one {i}" for i, x in enumerate(size)], "x": size})
    frame.loc[3, "x"], frame.loc[4, "words"] = np.nan, None
    model = TongganRegressor(settings={**SETTINGS, "columns.words.kind": "text"}, out=tmp_path / "run")
    model.fit(frame, 10 * size)
    assert model.feature_names_in_.tolist() == ["words", "x"]
    assert model.score(frame, 10 * size) > 0.3
    assert set(model.model_.bundle.modalities) == {"words", "table"}
    np.testing.assert_allclose(
        tonggan.load(tmp_path / "run").predict(frame.assign(target=0)), model.predict(frame), rtol=1e-5
    )
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame.rename(columns={"x": "z"}))


def test_what_cannot_be_learned_is_an_error_of_both_kinds() -> None:
    with pytest.raises(ValueError, match="1 class, 'a', in every row") as caught:
        TongganClassifier().fit(np.zeros((9, 2)), ["a"] * 9)
    assert isinstance(caught.value, TongganError)
    with pytest.raises(ValueError, match="no such field, the nearest is 'epochs'"):
        TongganRegressor(settings={"training.epoch": 1}).fit(np.eye(9), np.arange(9.0))
    with pytest.raises(NotFittedError):
        TongganClassifier().predict(np.eye(3))
