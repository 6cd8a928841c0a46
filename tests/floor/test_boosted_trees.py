"""Boosted trees: their contract, and what they say of a deciding cell that is absent or was never seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from contracts import check_member
from tonggan.floor import Examples, Goal, Reading
from tonggan.floor.boosted_trees import BoostedTreesConfig
from tonggan.floor.linear import LinearConfig


@pytest.mark.parametrize(
    "config", [BoostedTreesConfig(learning_rate=0.2), BoostedTreesConfig(random_thresholds=True, learning_rate=0.4)]
)
def test_contract(config: BoostedTreesConfig) -> None:
    check_member(config)


@pytest.mark.parametrize("config", [BoostedTreesConfig(), LinearConfig()])
@pytest.mark.parametrize("unknown", [np.nan, 0.0])
def test_without_its_deciding_cell_a_row_is_answered_with_doubt(config, unknown: float) -> None:
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 2, 200)
    cells = np.stack([truth + 1.0, *generator.normal(size=(3, 200))], axis=1).astype(np.float32)
    table = Reading(np.ones(200, dtype=bool), cells=cells, categories=[3, 0, 0, 0])
    examples = Examples({"table": table}, truth, np.ones(200))
    member = config.fit(examples, Goal("classes", 2), seed=0, seconds=30.0)
    known = member.predict(examples.features)
    assert known[np.arange(200), truth].min() > 0.8
    cells = generator.normal(size=(200, 4)).astype(np.float32)
    cells[:, 0] = unknown
    doubted = member.predict({"table": replace(table, cells=cells)})
    assert np.median(np.abs(doubted[:, 0] - 0.5)) < 0.3


@pytest.mark.slow
def test_seventy_thousand_columns() -> None:
    generator = np.random.default_rng(0)
    truth = np.arange(30) % 2
    cells = generator.normal(size=(30, 70_000)).astype(np.float32)
    cells[:, 50_000] += 8 * truth
    examples = Examples({"table": Reading(np.ones(30, dtype=bool), cells=cells)}, truth, np.ones(30))
    for config in (BoostedTreesConfig(learning_rate=0.4, leaves=2), LinearConfig()):
        member = config.fit(examples, Goal("classes", 2), seed=0, seconds=float("inf"))
        assert (member.predict(examples.features).argmax(1) == truth).mean() > 0.9


def test_many_rows_are_learned_until_whole_rows_are_known() -> None:
    """Rows with hidden cells, whose errors are large, do not say when to stop."""
    generator = np.random.default_rng(0)
    cells = generator.normal(size=(4_000, 6)).astype(np.float32)
    truth = (np.sin(3 * cells).sum(1)).astype(np.float64)[:, None]
    examples = Examples({"table": Reading(np.ones(4_000, dtype=bool), cells=cells)}, truth, np.ones(4_000))
    member = BoostedTreesConfig(learning_rate=0.1).fit(examples, Goal("numbers", 1), seed=0, seconds=float("inf"))
    fresh = generator.normal(size=(2_000, 6)).astype(np.float32)
    errors = member.predict({"table": Reading(np.ones(2_000, dtype=bool), cells=fresh)})[:, 0]
    errors -= np.sin(3 * fresh).sum(1)
    assert np.square(errors).mean() < 0.113  # 0.118 where copies tell when to stop
