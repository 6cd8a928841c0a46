"""Numbers of new rows in another way of writing: read where they can mean one thing, left to the doctor where not."""

import math

import pytest

from small_data import make_table
from tonggan.data.other_writing import find_other_writing, read_otherwise
from tonggan.data.profiles import NumberProfile, profile_columns
from tonggan.modalities import NumberConfig

POINT = NumberConfig()
COMMA = NumberConfig(decimal="comma", thousands="point")
PERCENT = NumberConfig(units={"%": 0.01})


def profile(low: float, high: float) -> NumberProfile:
    return NumberProfile(
        rows=200, missing=0, unreadable=0, example="", low=low, high=high, usual_low=low, usual_high=high
    )


@pytest.mark.parametrize(
    ("config", "cells", "usual", "numbers"),
    [
        (POINT, ["12,5", "0,75", "1.000,5", "7"], (0, 20), [12.5, 0.75, 1000.5, 7]),
        (POINT, ["12,5"], None, [12.5]),
        (POINT, ["1,234.5", "2,000"], (0, 5_000), [1234.5, 2000]),
        (POINT, ["1 234,5", "2 000"], (0, 5_000), [1234.5, 2000]),
        (COMMA, ["12.5", "0.25", "1.125"], (0, 20), [12.5, 0.25, 1.125]),
        # Several meanings, of which one is as in training, or none.
        (POINT, ["1,234", "2,500"], (0, 10), [1.234, 2.5]),
        (POINT, ["1,234", "2,500"], (800, 3_000), [1234, 2500]),
        (POINT, ["1,234", "2,500"], (0, 10_000), None),
        (POINT, ["1,234", "2,500"], None, None),
        # Both ways in one column: what can mean one thing only.
        (POINT, ["12,5", "12.5", "1,234"], (0, 5_000), [12.5, 12.5, math.nan]),
        (POINT, ["1.234", "2.125", "3,5"], (0, 10), [1.234, 2.125, 3.5]),
        # Units.
        (POINT, ["12 %", "50%"], (0, 1), [0.12, 0.5]),
        (POINT, ["12 %", "50%"], (5, 95), [12, 50]),
        (POINT, ["12 %", "50%"], (0, 95), None),
        (PERCENT, ["12", "50"], (0.05, 0.95), [0.12, 0.5]),
        (PERCENT, ["0.12", "0.5"], (0.05, 0.95), [0.12, 0.5]),
        (POINT, ["$12", "$ 1,200.50"], (0, 2_000), [12, 1200.5]),
        (POINT, ["42岁", "30 岁"], (18, 80), [42, 30]),
        (POINT, ["3.2万", "1.5万"], (8_000, 50_000), [32_000, 15_000]),
        (POINT, ["3.2k", "15k"], (1_000, 50_000), [3_200, 15_000]),
        (POINT, ["3200 g", "1500 g"], (1, 5), None),
        (POINT, ["3 kg", "1500 g"], (1, 5_000), None),
        (NumberConfig(units={"元": 1}), ["3.2万元", "¥ 500"], (100, 50_000), [32_000, 500]),
        (NumberConfig(units={"kg": 1}), ["3200 g", "1500 g"], (1, 5_000), None),
        # No numbers at all.
        (POINT, ["soon", "2024-03-05", "n/a", None, "ca. 12"], (0, 20), None),
        (POINT, ["12.5", "3", 4.5, None, "?"], (0, 20), None),
    ],
)
def test_what_is_sure_is_read(config, cells, usual, numbers):
    other = read_otherwise(cells, config, usual and profile(*usual))
    if numbers is None:
        assert other is None
    else:
        assert other is not None
        assert [other.read(cell) for cell in cells] == pytest.approx(numbers, nan_ok=True)
        assert other.is_unreadable("soon")


def test_the_note_says_how_an_example_is_read(tmp_path):
    train = make_table(tmp_path, {"size": [f"{row}.5" for row in range(20)], "free": ["1"] * 20}, name="train")
    new = make_table(tmp_path, {"size": ["7", "3,25", "soon", "4,5"], "free": ["1", "2", "3", "4"]}, name="new")
    columns = {"size": POINT, "free": POINT}
    found, (note,) = find_other_writing(new, columns, profile_columns(train, columns, media={}), split="the table")
    assert list(found) == ["size"]
    assert (note.severity, note.column, note.count) == ("note", "size", 2)
    assert note.message == (
        "2 of 4 cells of 'size' in the table are written in another way than in training, e.g. '3,25' in row 2, where "
        "training has '0.5'; they are read as numbers, this one as 3.25."
    )
    assert "例如第 2 行的“3,25”（训练表中的写法如“0.5”）；按数读取，此格为 3.25" in note.message_zh
