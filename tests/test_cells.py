"""One value, many spellings: the one text and the one number of a cell."""

from __future__ import annotations

import math
import time
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from tonggan.cells import cell_number, cell_text, is_missing, places_of

DAY = date(2024, 3, 5)
NOON = datetime(2024, 3, 5, 12, 0)


@pytest.mark.parametrize(
    ("text", "spellings"),
    [
        ("True", [True, np.True_, "TRUE", "true", "True ", "ＴＲＵＥ"]),
        ("False", [False, np.False_, "FALSE", "false"]),
        ("1", [1, 1.0, np.int8(1), np.float32(1), np.float64(1), Decimal(1), "1", "1.0", "1.00", " 1 ", "１", b"1"]),
        ("-2.5", [-2.5, np.float32(-2.5), Decimal("-2.50"), "-2.5", "-2.500", "－２．５"]),
        ("0", [0, -0.0, 0.0, "0", "-0", "0.0", "-0.0"]),
        ("0.1", [0.1, np.float32(0.1), float(np.float32(0.1)), np.float16(0.1), Decimal("0.1"), "0.10"]),
        ("0.1", ["0.10000000149011612", float(np.float32(0.1))]),
        ("0.0000001", [1e-7, float(np.float32(1e-7)), "1e-07", "1E-7", "0.0000001", Decimal("1E-7")]),
        ("100000000000000000000000", [1e23, 10**23, "1e+23", "100000000000000000000000"]),
        ("2024-03-05", [DAY, datetime(2024, 3, 5), np.datetime64("2024-03-05"), pd.Timestamp(DAY), "2024-03-05"]),
        ("2024-03-05", ["2024-03-05 00:00:00", "2024-03-05T00:00:00.000000", "2024/3/5", "2024-3-5", "2024年3月5日"]),
        ("2024-03-05 12:00:00", [NOON, pd.Timestamp(NOON), "2024-03-05T12:00:00", "2024-03-05 12:00"]),
        ("2024-03-05 12:00:00.500000", ["2024-03-05 12:00:00.5", "2024-03-05T12:00:00.500000"]),
        ("2024-03-05 04:00:00+00:00", [NOON.replace(tzinfo=timezone(timedelta(hours=8))), "2024-03-05T12:00+08:00",
                                       "2024-03-05 04:00:00Z", "2024-03-05 04:00:00 UTC",
                                       datetime(2024, 3, 5, 4, tzinfo=UTC)]),
        ("caf\u00e9", ["caf\u00e9", "cafe\u0301", "\ufeffcafé", " café\u3000"]),
        ("A(1)", ["A(1)", "Ａ（１）"]),
        ("New York", ["New York", "New  York", "New\u00a0York", "\u200eNew York\u200f", "New\nYork", "New \u00adYork"]),
        (None, [None, math.nan, np.float32("nan"), pd.NA, pd.NaT, np.datetime64("NaT"), Decimal("NaN")]),
        (None, ["", " ", "\u3000", "nan", "NaN", "<NA>"]),
    ],
)  # fmt: skip
def test_all_spellings_of_a_value_have_one_text(text: str | None, spellings: list[object]) -> None:
    assert {repr(value): cell_text(value) for value in spellings} == {repr(value): text for value in spellings}


@pytest.mark.parametrize(
    "text",
    ["01", "007", "1.", ".5", "12e4", "1e5", "1_000", "+1", "2024.3.5", "2024-13-01", "2024/2/30", "2024-3/5", "12:30",
     "red", "Red", "None", "yes", "是", "1,5", "1 2", "--", "99999999999999999999", "0.123456789012345678901",
     "0.1234567890123"],
)  # fmt: skip
def test_what_may_be_a_code_or_a_name_stays_as_it_is(text: str) -> None:
    assert cell_text(text) == text


def test_a_text_is_its_own_text() -> None:
    for value in (True, 1.5, "1e-07", NOON, "2024/3/5", "Ａ", Decimal("2.50"), "caf\u00e9" * 30):
        text = cell_text(value)
        assert cell_text(text) == text


def test_a_long_text_is_not_taken_for_a_number_and_not_kept_in_memory() -> None:
    digits = "1" * 500_000 + ".0"
    start = time.process_time()
    for _ in range(50):
        assert cell_text(digits) == digits
    assert cell_text("1e+999999") == "1e+999999"
    assert time.process_time() - start < 30


@pytest.mark.parametrize(
    ("value", "number"),
    [(3, 3), ("3.0", 3), (" 3\ufeff", 3), ("３．５", 3.5), (True, 1), ("TRUE", 1), ("false", 0), (np.float32(0.5), 0.5),
     (Decimal("2.50"), 2.5), ("1e5", 1e5), (timedelta(minutes=2), 120), (pd.Timedelta("1s"), 1)],
)  # fmt: skip
def test_a_number_is_read_from_any_spelling(value: object, number: float) -> None:
    assert cell_number(value) == number


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "x",
        "12_0",
        "inf",
        math.inf,
        10**400,
        1e200,
        "-1e308",
        "1e999",
        pd.NA,
        [1],
        {},
        1j,
        NOON,
        Decimal("sNaN"),
    ],
)
def test_what_is_no_finite_number_is_nan(value: object) -> None:
    assert math.isnan(cell_number(value))


def test_missing_is_told_from_blank() -> None:
    assert all(is_missing(value) for value in (None, math.nan, pd.NA, pd.NaT, Decimal("sNaN")))
    assert not any(is_missing(value) for value in ("", 0, False, [], math.inf))


def test_a_column_of_true_and_false_is_found_as_ones_and_zeros_and_the_other_way_round() -> None:
    assert places_of(["False", "True"]) == {"False": 0, "True": 1, "0": 0, "1": 1}
    assert places_of(["true", "FALSE"]) == {"True": 0, "False": 1, "1": 0, "0": 1}
    assert places_of(["1.0"]) == {"1": 0, "True": 0}
    assert places_of(["1", "2"]) == {"1": 0, "2": 1}
    assert places_of(["True", "1"]) == {"True": 0, "1": 1}
    assert places_of(["b", "b ", "a"]) == {"b": 0, "a": 2}


def test_a_number_of_hundreds_of_zeros_keeps_its_exponent() -> None:
    assert cell_text("1.50E+300") == cell_text(1.5e300) == "1.5e+300"
    assert cell_text(cell_text(2e-300)) == "2e-300"
    assert cell_text("1e+20") == "1" + 20 * "0"
