"""Nearest neighbors: their contract, and whose neighbors a row has of which little is known."""

from __future__ import annotations

import numpy as np

from contracts import check_member
from tonggan.floor import Examples, Goal, Reading
from tonggan.floor.neighbors import NeighborsConfig


def test_contract() -> None:
    check_member(NeighborsConfig())


def test_only_known_cells_are_compared() -> None:
    cells = np.array([[0, 0], [0, 4], [1, 1], [1, 5]], dtype=np.float32)
    examples = Examples({"t": Reading(np.ones(4, dtype=bool), cells=cells)}, np.array([0, 0, 1, 1]), np.ones(4))
    member = NeighborsConfig(count=2).fit(examples, Goal("classes", 2), seed=0, seconds=9.0)
    asked = np.array([[0, np.nan], [1, np.nan], [np.nan, np.nan]], dtype=np.float32)
    found = member.predict({"t": Reading(np.ones(3, dtype=bool), cells=asked)})
    np.testing.assert_allclose(found, [[1, 0], [0, 1], [0.5, 0.5]], atol=0.1)
