"""Times of interactions: whatever their unit, and what no order can be told by."""

from __future__ import annotations

import numpy as np
import pytest

from tonggan.data.readers import open_table
from tonggan.recommendation.config import InteractionColumns
from tonggan.recommendation.interactions import read_interactions

ROWS = [{"user": number % 2, "item": number // 2, "date": f"2024-03-0{number + 1}"} for number in range(4)]


@pytest.fixture
def read(tmp_path):
    return lambda rows: read_interactions(open_table(rows, cache=tmp_path), InteractionColumns(), threshold=None)


def test_times_that_are_all_the_same_are_none(read) -> None:
    found = read([{**row, "date": "2024-03-01"} for row in ROWS])
    assert found.interactions.times is None
    assert (
        found.findings[0].message == "All times in 'date' are the same, '2024-03-01': they do not say what came first."
    )
    assert read([{**row, "date": None} for row in ROWS]).findings[0].message == "Column 'date' is empty."


def test_times_in_the_future_are_told(read) -> None:
    (finding,) = read([*ROWS, {"user": 5, "item": 1, "date": "2924-03-01"}]).findings
    assert "1 times in 'date' lie in the future, up to 2924-03-01" in finding.message
    assert not read([{**row, "date": str(row["date"]).replace("2024", "2924")} for row in ROWS]).findings


@pytest.mark.parametrize("unit", [1, 1e3, 1e6, 1e9])
def test_times_are_seconds_whatever_their_unit(read, unit) -> None:
    rows = [{**row, "date": int((1.7e9 + number) * unit)} for number, row in enumerate(ROWS)]
    np.testing.assert_allclose(read(rows).interactions.times, 1.7e9 + np.arange(4), rtol=1e-12)
