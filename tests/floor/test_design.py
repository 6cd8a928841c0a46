"""How rows become a matrix: principal components of vectors, and what pairs of numbers differ by."""

import numpy as np
import pytest

from tonggan.floor import Examples, Goal, Reading
from tonggan.floor.boosted_trees import BoostedTreesConfig
from tonggan.floor.design import DIFFERENCES, Design, Differences


@pytest.mark.parametrize("rows", [20, 60])  # fewer and more than the vectors have numbers
def test_vectors_are_told_by_the_directions_in_which_they_differ_most(rows: int) -> None:
    generator = np.random.default_rng(0)
    vectors = (generator.normal(size=(rows, 40)) * np.linspace(3, 0.1, 40)).astype(np.float32)
    examples = Examples(
        {"photo": Reading(np.ones(rows, dtype=bool), vectors=vectors)}, np.arange(rows) % 2, np.ones(rows)
    )
    found = Design.fit(examples, "raw", Goal("classes", 2), axes=6).matrix(examples.features)
    centered = vectors.astype(np.float64) - vectors.mean(0, dtype=np.float64)
    lengths = np.linalg.svd(centered, compute_uv=False)[:6]
    np.testing.assert_allclose(found.T @ found * np.square(centered).mean(), np.diag(lengths**2), atol=1e-6)


def test_vectors_that_are_all_alike_still_say_which_are_absent() -> None:
    present = np.arange(12) % 3 > 0
    photo = Reading(present, vectors=np.ones((12, 40), dtype=np.float32))
    examples = Examples({"photo": photo}, present.astype(np.int64), np.ones(12))
    found = Design.fit(examples, "raw", Goal("classes", 2), axes=6).matrix(examples.features)
    assert (np.isnan(found).all(1) == ~present).all()


def times(rows: int, seed: int) -> tuple[dict[str, Reading], np.ndarray]:
    generator = np.random.default_rng(seed)
    start, took = generator.uniform(0, 2.6e6, rows), generator.uniform(60, 3000, rows)
    cells = np.stack([start, start + took, generator.normal(size=rows)], axis=1)
    cells[:, :2] = (cells[:, :2] - 1.3e6) / 7.5e5
    return {"table": Reading(np.ones(rows, dtype=bool), cells=cells.astype(np.float32))}, took


def test_of_two_times_a_member_sees_how_long_it_took() -> None:
    features, took = times(400, 0)
    differences = Differences.fit(features)
    assert differences.pairs.tolist() == [[0, 1]]
    seen = differences.beside(features)[DIFFERENCES].cells
    assert seen is not None
    assert abs(np.corrcoef(seen[:, 0], took)[0, 1]) > 0.999
    targets = ((took - took.mean()) / took.std())[:, None]
    member = BoostedTreesConfig().fit(
        Examples(features, targets, np.ones(400)), Goal("numbers", 1), seed=0, seconds=30.0
    )
    fresh, other = times(200, 1)
    expected = (other - took.mean()) / took.std()
    assert np.square(member.predict(fresh)[:, 0] - expected).mean() < 0.05


def test_the_same_column_twice_and_absent_cells() -> None:
    features, _ = times(100, 0)
    cells = features["table"].cells
    assert cells is not None
    twice = {"table": Reading(np.ones(100, dtype=bool), cells=np.concatenate([cells[:, 2:], cells[:, 2:]], axis=1))}
    assert not len(Differences.fit(twice).pairs)
    differences = Differences.fit(features)
    gone = cells.copy()
    gone[3, 1] = np.nan
    seen = differences.beside({"table": Reading(np.ones(100, dtype=bool), cells=gone)})[DIFFERENCES]
    assert np.flatnonzero(~seen.present).tolist() == [3]
    assert differences.beside({"table": Reading(np.arange(100) != 5, cells=cells)})[DIFFERENCES].present.sum() == 99
