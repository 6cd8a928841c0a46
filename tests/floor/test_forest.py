"""Forests: their contract."""

from __future__ import annotations

import pytest

from contracts import check_member
from tonggan.floor.forest import ExtraTreesConfig, RandomForestConfig


@pytest.mark.parametrize("config", [RandomForestConfig(trees=40), ExtraTreesConfig(trees=40)])
def test_contract(config: RandomForestConfig | ExtraTreesConfig) -> None:
    check_member(config)
