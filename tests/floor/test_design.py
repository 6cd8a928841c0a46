"""How rows become a matrix: the principal components that trees read of vectors."""

import numpy as np
import pytest

from tonggan.floor import Examples, Goal, Reading
from tonggan.floor.design import Design


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
