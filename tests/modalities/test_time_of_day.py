"""Times of day: how cells are read, and where they lie on a clock."""

from __future__ import annotations

import math
from datetime import time

import numpy as np
import pytest

from contracts import check_config, check_modality
from tonggan.modalities import TableConfig, TimeOfDayConfig

TIME = TimeOfDayConfig()


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("14:30", "14:30:00"), ("2:30 PM", "14:30:00"), ("02:30 p.m.", "14:30:00"), ("下午2:30", "14:30:00"),
        ("14时30分", "14:30:00"), ("14点", "14:00:00"), ("2 pm", "14:00:00"), ("12:00 AM", "00:00:00"),
        ("12:15 pm", "12:15:00"), ("凌晨12:30", "00:30:00"), ("上午9点5分", "09:05:00"), ("１４：３０", "14:30:00"),
        ("14:30:05.5", "14:30:05.500000"), (time(14, 30), "14:30:00"), ("14:30:00.000000", "14:30:00"),
    ],
)  # fmt: skip
def test_times(cell: object, written: str) -> None:
    assert TIME.written(TIME.read(cell)) == written
    assert not TIME.is_unreadable(cell)


@pytest.mark.parametrize("cell", ["25:00", "14:60", "13 PM", "14", 14, "14.30", "2024-03-05", "at 14:30", True])
def test_what_is_no_time(cell: object) -> None:
    assert math.isnan(TIME.read(cell))
    assert TIME.is_unreadable(cell)


def test_the_end_of_a_day_is_beside_its_beginning() -> None:
    parts = TIME.parts(np.array([TIME.read("23:59:59"), TIME.read("00:00:01")]))
    assert parts["hour"][0] - parts["hour"][1] > 23.99
    assert abs(parts["hour sine"][0] - parts["hour sine"][1]) < 0.001
    assert abs(parts["hour cosine"][0] - parts["hour cosine"][1]) < 0.001


def test_a_shift_that_ends_after_midnight() -> None:
    start, end = (np.array([TIME.read(cell)]) for cell in ("22:00", "06:30"))
    assert TIME.after(start, end).tolist() == [8.5 * 3600]


def test_contract() -> None:
    config = TableConfig(columns={"at": TimeOfDayConfig()})
    check_modality(config.build(), "table", {"at": ["14:30", "2:30 PM", "23:00", None]})
    check_config(TimeOfDayConfig(missing=["closed"]))
