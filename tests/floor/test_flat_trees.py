"""Flat trees say what the library says that grew them."""

from __future__ import annotations

import lightgbm
import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

from tonggan.floor.flat_trees import FlatTrees, join, of_lightgbm, of_scikit_learn


@pytest.mark.parametrize("with_missing", [False, True])
@pytest.mark.parametrize("classes", [1, 4])
def test_trees_of_lightgbm(with_missing: bool, classes: int) -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(500, 4))
    rows[:, 2] = generator.integers(0, 90, 500)
    if with_missing:
        rows[generator.random((500, 4)) < 0.1] = np.nan
    wanted = np.nan_to_num(rows[:, 0]) + np.sin(np.nan_to_num(rows[:, 2])) * 2
    settings = {"objective": "regression", "verbose": -1, "min_data_per_group": 5, "num_threads": 1}
    if classes > 1:
        settings |= {"objective": "multiclass", "num_class": classes}
        wanted = np.clip(np.round(wanted + 1), 0, classes - 1)
    grown = lightgbm.train(settings, lightgbm.Dataset(rows, wanted, categorical_feature=[2]), 25)
    trees = of_lightgbm(grown.model_to_string(), groups=classes)
    assert (trees.lengths >= 0).any(), "no tree asks for a category"
    fresh = generator.normal(size=(300, 4)) * 2
    fresh[:, 2] = generator.integers(-1, 150, 300)
    fresh[generator.random((300, 4)) < 0.2] = np.nan
    expected = grown.predict(fresh, raw_score=True).reshape(300, classes)
    np.testing.assert_allclose(trees.sums(fresh), expected, atol=1e-10)
    np.testing.assert_allclose(FlatTrees.of(trees.arrays()).sums(fresh), expected, atol=1e-10)


def test_a_tree_that_leads_nowhere_is_refused() -> None:
    arrays = of_lightgbm(
        lightgbm.train(
            {"verbose": -1}, lightgbm.Dataset(np.arange(100.0)[:, None], np.arange(100.0)), 2
        ).model_to_string(),
        groups=1,
    ).arrays()
    with pytest.raises(ValueError, match="a node that is not there"):
        FlatTrees.of({**arrays, "roots": arrays["roots"] + 10_000})


@pytest.mark.parametrize("family", [RandomForestRegressor, ExtraTreesRegressor])
def test_trees_of_scikit_learn(family: type) -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(300, 4)).astype(np.float32)
    rows[generator.random((300, 4)) < 0.1] = np.nan
    wanted = np.stack([np.nan_to_num(rows[:, 0]), np.isnan(rows[:, 1])], axis=1)
    forest = family(n_estimators=7, random_state=0).fit(rows, wanted)
    trees = join([of_scikit_learn(tree.tree_) for tree in forest.estimators_])
    fresh = generator.normal(size=(200, 4)).astype(np.float32)
    fresh[generator.random((200, 4)) < 0.2] = np.nan
    np.testing.assert_allclose(trees.sums(fresh) / 7, forest.predict(fresh), atol=1e-10)
