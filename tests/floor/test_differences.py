"""What pairs of numbers differ by that say nearly the same."""

from __future__ import annotations

import numpy as np

from tonggan.floor import Examples, Goal, Reading
from tonggan.floor.boosted_trees import BoostedTreesConfig
from tonggan.floor.differences import NAME, Differences


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
    seen = differences.beside(features)[NAME].cells
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
    seen = differences.beside({"table": Reading(np.ones(100, dtype=bool), cells=gone)})[NAME]
    assert np.flatnonzero(~seen.present).tolist() == [3]
    assert differences.beside({"table": Reading(np.arange(100) != 5, cells=cells)})[NAME].present.sum() == 99
