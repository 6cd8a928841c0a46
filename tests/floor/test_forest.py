"""Forests: their contract."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contracts import check_member, example_rows
from tonggan.floor.base import Goal
from tonggan.floor.forest import ExtraTreesConfig, RandomForestConfig


@pytest.mark.parametrize("config", [RandomForestConfig(trees=40), ExtraTreesConfig(trees=40)])
def test_contract(config: RandomForestConfig | ExtraTreesConfig) -> None:
    check_member(config)


@pytest.mark.filterwarnings("error")
def test_one_number_is_learned_without_a_warning() -> None:
    examples, _ = example_rows("numbers")
    alone = replace(examples, targets=examples.targets[:, :1])
    member = ExtraTreesConfig(trees=40).fit(alone, Goal("numbers", 1), seed=0, seconds=float("inf"))
    predicted = member.predict(alone.features)
    assert predicted.shape == (240, 1)
    assert abs(predicted - alone.targets).mean() < 0.3
