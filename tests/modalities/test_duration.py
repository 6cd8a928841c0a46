"""Durations: how cells are read, in seconds."""

from __future__ import annotations

import math
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from contracts import check_config, check_modality
from tonggan.modalities import DurationConfig, TableConfig

DURATION = DurationConfig()


@pytest.mark.parametrize(
    ("cell", "seconds"),
    [
        ("1:02:03", 3723), ("01:30", 90), ("100:00:00", 360_000), ("0:00:01.5", 1.5), ("-0:30:00", -1800),
        ("PT1H30M", 5400), ("P1DT2H", 93_600), ("PT0.5S", 0.5), ("-P2W", -1_209_600), ("p3d", 259_200),
        ("1 h 20 min", 4800), ("1h20m", 4800), ("90 minutes", 5400), ("1 hour and 5 minutes", 3900), ("1,5 Std.", 5400),
        ("3 天", 259_200), ("2小时30分钟", 9000), ("2小时30分", 9000), ("10 ms", 0.01), ("2 days", 172_800),
        ("1 day, 2:00:00", 93_600), ("0 days 01:30:00", 5400), ("-1 day, 23:30:00", -1800),
        ("-1 days +23:00:00", -3600),
        ("3 years 2 months", 38 * 365.2425 / 12 * 86_400), (12.5, 12.5), ("7", 7),
        (timedelta(hours=1), 3600), (pd.Timedelta("2h"), 7200), (np.timedelta64(5, "m"), 300),
    ],
)  # fmt: skip
def test_durations(cell: object, seconds: float) -> None:
    assert DURATION.read(cell) == pytest.approx(seconds, rel=1e-12)
    assert not DURATION.is_unreadable(cell)


@pytest.mark.parametrize(
    "cell",
    [
        "PT",
        "P",
        "1:75",
        "5 m",
        "12 W",
        "5 分",
        "3 月",
        "3 cats",
        "20 min 1 h",
        "1 h 20",
        "about 2 h",
        True,
        "2024-03-05",
    ],
)
def test_what_is_no_duration(cell: object) -> None:
    assert math.isnan(DURATION.read(cell))
    assert DURATION.is_unreadable(cell)


def test_hours_may_stand_first() -> None:
    assert DurationConfig(begins="hours").read("01:30") == 5400
    assert DurationConfig(begins="hours").read("1:02:03") == 3723


@pytest.mark.parametrize("seconds", [0.0, 0.25, 59, 3723, 93_600, 360_000.5, -1800, -90_000])
def test_what_is_written_is_read(seconds: float) -> None:
    assert DURATION.read(DURATION.written(seconds)) == seconds


@pytest.mark.parametrize(("seconds", "written"), [(2.0**63, "9.22337e+18"), (-1e149, "-1e+149")])
def test_what_no_calendar_holds_is_written_in_seconds(seconds: float, written: str) -> None:
    assert DURATION.written(seconds) == written
    assert DURATION.read(written) == pytest.approx(seconds, rel=1e-5)


def test_contract() -> None:
    config = TableConfig(columns={"took": DurationConfig()})
    check_modality(config.build(), "table", {"took": ["1:30", "PT1H", "5 min", None]})
    check_config(DurationConfig(begins="hours"))
