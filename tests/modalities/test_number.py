import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tonggan.errors import ConfigError
from tonggan.modalities.number import NumberConfig


@pytest.mark.parametrize(
    ("config", "cell", "number"),
    [
        ({}, "12.5", 12.5),
        ({}, " -3 ", -3.0),
        ({}, "+3e2", 300.0),
        ({}, ".5", 0.5),
        ({}, "(12.5)", -12.5),
        ({}, "12.5-", -12.5),
        ({}, "\u22125", -5.0),
        ({}, "１２．５", 12.5),
        ({}, "١٢", 12.0),
        ({}, "१२", 12.0),
        ({}, "٣٫٥", 3.5),
        ({"thousands": "comma"}, "١٬٢٣٤٫٥", 1234.5),
        ({}, True, 1.0),
        ({}, 7, 7.0),
        ({"decimal": "comma"}, "1,5", 1.5),
        ({"decimal": "comma"}, 1.5, 1.5),
        ({"decimal": "comma", "thousands": "point"}, "1.234.567,5", 1234567.5),
        ({"decimal": "comma", "thousands": "space"}, "1\u202f234,5", 1234.5),
        ({"thousands": "comma"}, "1,234.50", 1234.5),
        ({"thousands": "comma"}, "12,34,567", 1234567.0),
        ({"thousands": "comma"}, "950", 950.0),
        ({"thousands": "apostrophe"}, "1’234’567", 1234567.0),
        ({"units": {"kg": 1, "g": 0.001}}, "5 KG", 5.0),
        ({"units": {"kg": 1, "g": 0.001}}, "300g", 0.3),
        ({"units": {"kg": 1}}, "5", 5.0),
        ({"units": {"$": 1}, "thousands": "comma"}, "-$1,200", -1200.0),
        ({"units": {"$": 1}, "thousands": "comma"}, "($1,200)", -1200.0),
        ({"units": {"%": 0.01}}, "12 %", 0.12),
        ({"units": {"%": 0.01}}, 0.12, 0.12),
    ],
)
def test_what_is_read(config, cell, number):
    config = NumberConfig(**config)
    assert config.read(cell) == pytest.approx(number)
    assert not config.is_unreadable(cell)


@pytest.mark.parametrize(
    ("config", "cell"),
    [
        ({}, "12_0"),
        ({}, "0x10"),
        ({}, "infinity"),
        ({}, math.inf),
        ({}, "1,5"),
        ({}, "1 234"),
        ({}, "10-20"),
        ({}, "12:30"),
        ({}, "1/2"),
        ({}, "2024-03-05"),
        ({}, "(5"),
        ({}, "--5"),
        ({}, "5²"),
        ({}, "5 kg"),
        ({}, "9" * 400),
        ({}, b"12"),
        ({"decimal": "comma"}, "1.5"),
        ({"thousands": "comma"}, "1,5"),
        ({"thousands": "comma"}, "0,345"),
        ({"thousands": "comma"}, "1234,567"),
        ({"units": {"kg": 1}}, "5 g"),
        ({"units": {"mw": 1}}, "5 MW"),
        ({"units": {"%": 0.01}}, "12"),
    ],
)
def test_what_is_not_read_is_said(config, cell):
    config = NumberConfig(**config)
    assert math.isnan(config.read(cell))
    assert config.is_unreadable(cell)


@pytest.mark.parametrize(
    "cell", [None, math.nan, "", "  ", "-", "n/a", "N.A.", "NULL", "未知", "无", "—", "?", "Sold out"]
)
def test_missing_is_not_unreadable(cell):
    config = NumberConfig(missing=["sold out"])
    assert math.isnan(config.read(cell))
    assert not config.is_unreadable(cell)


@pytest.mark.parametrize("cell", [-999, -999.0, "-999", " -999.00 ", "9,999", "unknown to us"])
def test_numbers_may_say_that_there_is_none(cell):
    config = NumberConfig(missing=[-999, "9,999", "Unknown to us"])
    assert math.isnan(config.read(cell))
    assert not config.is_unreadable(cell)
    assert config.read(-998) == -998


@given(st.text(alphabet="0123456789.,' -+()$€%eEkgx万亿元_１ \u00a0", max_size=70))
def test_any_text_is_a_number_or_none(text):
    for config in (NumberConfig(), NumberConfig(decimal="comma", thousands="point", units={"kg": 1, "万": 1e4})):
        number = config.read(text)
        assert math.isnan(number) or math.isfinite(number)


@given(st.integers(-(10**12), 10**12))
def test_thousands_are_read_as_they_are_written(number):
    assert NumberConfig(thousands="comma").read(f"{number:,}") == number
    assert NumberConfig(thousands="point", decimal="comma").read(f"{number:,}".replace(",", ".")) == number


def test_a_mark_that_does_not_exist():
    with pytest.raises(ConfigError, match="decimal"):
        NumberConfig.parse({"decimal": ";"}, who="test")
