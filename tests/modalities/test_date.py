"""Dates: how cells are read, the parts that a model reads, and what is left out."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError

from contracts import check_config, check_modality
from tonggan.modalities import DateConfig, NumberConfig, TableConfig, TableRow

DATE = DateConfig()


def read(cell: object, config: DateConfig = DATE) -> str | None:
    number = config.read(cell)
    return None if math.isnan(number) else config.written(number)


@pytest.mark.parametrize(
    "cell",
    [
        "2024-03-05", "2024/3/5", "2024.03.05", "20240305", "5.3.2024", "05.03.24", "2024年3月5日", "2024 年 3 月 5 日",
        "2024年3月5日 星期二", "２０２４年３月５日", "5 March 2024", "5-Mar-2024", "5. Mar 2024", "Mar 5, 2024",
        "March 5th, 2024", "Tue, 5 Mar 2024", " 2024-03-05 ", date(2024, 3, 5), datetime(2024, 3, 5),
        np.datetime64("2024-03-05"), pd.Timestamp("2024-03-05"), 20240305,
    ],
)  # fmt: skip
def test_one_day_in_many_writings(cell: object) -> None:
    assert read(cell) == "2024-03-05"


@pytest.mark.parametrize(
    "cell",
    [
        "2024-03-05 14:30", "2024-03-05T14:30:00", "2024/3/5 2:30 PM", "2024年3月5日 下午2:30", "2024年3月5日14时30分",
        "5.3.2024, 14:30", "Mar 5, 2024 at 2:30 pm", "2024-03-05T14:30Z", "2024-03-05T22:30:00+08:00",
        "2024-03-05 09:30:00-0500", "Tue, 05 Mar 2024 14:30:00 GMT", "20240305T143000Z",
        datetime(2024, 3, 5, 14, 30, tzinfo=UTC), pd.Timestamp("2024-03-05 14:30"),
    ],
)  # fmt: skip
def test_one_moment_in_many_writings(cell: object) -> None:
    assert read(cell) == "2024-03-05 14:30:00"


@pytest.mark.parametrize(
    "cell",
    [
        "2024-02-30", "2024-13-01", "1234.5", "1234-56", "12345678", "192.168.1.1", "1.2.3.2024", "May be", "call 911",
        "born 2024-03-05", "2024", 2024, 45000, 1709596800, True, b"2024-03-05", "14:30", "2024-03-05 25:00",
    ],
)  # fmt: skip
def test_what_is_no_date(cell: object) -> None:
    assert read(cell) is None
    assert DATE.is_unreadable(cell)


@pytest.mark.parametrize("cell", [None, "", " ", "n/a", "0000-00-00", math.nan, pd.NaT, "未知"])
def test_what_is_missing(cell: object) -> None:
    assert read(cell) is None
    assert not DATE.is_unreadable(cell)


def test_day_or_month_first() -> None:
    assert read("3/5/2024") is None
    assert [read("3/5/2024", DateConfig(order=order)) for order in ("day", "month")] == ["2024-05-03", "2024-03-05"]
    assert [read(cell) for cell in ("25/12/2024", "12/25/24", "5/5/1970")] == ["2024-12-25", "2024-12-25", "1970-05-05"]
    assert read("25/12/2024", DateConfig(order="month")) is None


def test_beginnings_of_months_and_quarters() -> None:
    assert [read(cell) for cell in ("2024-03", "2024/3", "2024年3月", "2024Q2")] == [
        "2024-03-01", "2024-03-01", "2024-03-01", "2024-04-01",
    ]  # fmt: skip


def test_hours_are_those_of_the_zone_that_is_declared() -> None:
    config = DateConfig(timezone="Asia/Shanghai")
    assert read("2024-03-05T22:30:00Z", config) == "2024-03-06 06:30:00"
    assert read("2024-03-05T22:30:00", config) == "2024-03-05 22:30:00"
    with pytest.raises(ValidationError, match="'Mars' is no known time zone"):
        DateConfig(timezone="Mars")


@pytest.mark.parametrize(("epoch", "factor"), [("s", 1), ("ms", 1e3), ("us", 1e6), ("ns", 1e9)])
def test_numbers_since_1970_only_where_declared(epoch: str, factor: float) -> None:
    config = DateConfig(epoch=epoch)
    assert read(1709649000 * factor, config) == read(str(int(1709649000 * factor)), config) == "2024-03-05 14:30:00"
    assert read(1e300, config) is None
    assert read("2024-03-05", config) == "2024-03-05"


def test_a_declared_sentinel_is_missing() -> None:
    config = DateConfig(missing=["9999-12-31"])
    assert read("9999-12-31", config) is None
    assert not config.is_unreadable("9999-12-31")


def test_parts_by_pandas() -> None:
    stamps = pd.date_range("1960-01-01 05:17", "2031-12-30", periods=500).floor("s")
    parts = DATE.parts(np.array([DATE.read(stamp) for stamp in stamps] + [math.nan]))
    assert all(math.isnan(values[-1]) for values in parts.values())
    hours = stamps.hour + stamps.minute / 60 + stamps.second / 3600
    expected = {"month": stamps.month - 1, "day": stamps.day, "weekday": stamps.day_of_week, "hour": hours}
    for name, values in expected.items():
        np.testing.assert_allclose(parts[name][:-1], values, atol=1e-6)
    angle = 2 * np.pi * hours / 24
    np.testing.assert_allclose(parts["hour sine"][:-1], np.sin(angle), atol=1e-6)
    np.testing.assert_allclose(parts["hour cosine"][:-1], np.cos(angle), atol=1e-6)
    np.testing.assert_allclose(np.diff(parts["time"][:-1]), np.diff(stamps).astype("timedelta64[s]").astype(float))


@pytest.mark.parametrize(
    ("cells", "parts"),
    [
        (["2024-03-05", "2024-03-05"], ["time"]),
        ([], ["time"]),
        ([f"2024-03-{day:02d}" for day in range(1, 29)], ["time", "day", "weekday", "weekday sine", "weekday cosine"]),
        ([f"2024-03-05 {hour:02d}:00" for hour in range(24)], ["time", "hour", "hour sine", "hour cosine"]),
        (
            [f"2024-{month:02d}-01" for month in range(1, 13)],
            ["time", "month", "month sine", "month cosine", "weekday"],
        ),
    ],
)
def test_constant_parts_are_left_out(cells: list[str], parts: list[str]) -> None:
    table = TableConfig(columns={"day": DateConfig()}).build()
    table.fit({"day": cells})
    known = list(table.state()["scales"]["day"])
    assert known[: len(parts)] == parts
    assert table.sizes == [0] * len(known)
    assert table.token_of == [0] * len(known)


def test_a_date_is_hidden_as_one() -> None:
    table = TableConfig(columns={"day": DateConfig(), "price": NumberConfig()}).build()
    table.fit({"day": [f"2024-03-{day:02d}" for day in range(1, 29)], "price": range(28)})
    arrays = table.collate([{"day": "2024-03-05", "price": 3}] * 1_000)
    hidden = table.hide(arrays, torch.ones(1_000, dtype=torch.bool), torch.Generator().manual_seed(0)).mask
    assert table.token_of == [0] * 5 + [1]
    assert (hidden[:, :5] == hidden[:, :1]).all()
    assert set(map(tuple, hidden[:, [0, 5]].tolist())) == {(a, b) for a in (True, False) for b in (True, False)}


def test_the_time_between_two_dates_by_hand() -> None:
    table = TableConfig(columns={"from": DateConfig(), "price": NumberConfig(), "to": DateConfig()}).build()
    starts = [f"2024-03-{day:02d}" for day in range(1, 29)]
    ends = [f"2024-03-{day:02d} {day % 5:02d}:00" for day in range(1, 29)]
    table.fit({"from": iter(starts), "price": range(28), "to": iter(ends)})
    rows = [{"from": "2024-05-01", "to": "2024-05-01 02:00"}, {"from": "2024-05-01"}, {"to": "2024-05-01", "price": 1}]
    arrays = table.collate(rows)
    hours = np.array([day % 5 for day in range(1, 29)])
    assert arrays.values[0, -1].item() == pytest.approx((2 - hours.mean()) / hours.std(), rel=1e-5)
    assert arrays.mask[:, -1].tolist() == [True, False, False]
    last = len(table.sizes) - 1
    assert [positions[-1] for positions in table.positions] == [last, table.positions[1][0], last]
    assert table.token_of[-1] == 3
    assert table.cells == ["from", "price", "to"]
    loaded = TableRow.load(table.config, table.state())
    assert torch.equal(loaded.collate(rows).values, arrays.values)
    with pytest.raises(ValueError, match="no time lies between 'from' and 'price'"):
        TableRow.load(table.config, table.state() | {"intervals": [["from", "price", 0.0, 1.0]]})


def test_no_time_between_dates_that_never_differ() -> None:
    table = TableConfig(columns={"from": DateConfig(), "to": DateConfig()}).build()
    days = [f"2024-03-{day:02d}" for day in range(1, 29)]
    table.fit({"from": days, "to": days})
    assert table.state()["intervals"] == []


def test_contract() -> None:
    config = TableConfig(columns={"day": DateConfig(), "price": NumberConfig()})
    two = TableConfig(columns={"from": DateConfig(), "to": DateConfig()})
    days = ["2024-03-05", "2024-03-07", "2024-03-01"]
    check_modality(two.build(), "table", {"from": [*days, None], "to": [days[0], "2024-04-09", None, None]})
    cells = {"day": ["2024-03-05 10:00", "2023-01-01", None, "2024-12-31", ""], "price": [1, 2, 3, None, None]}
    check_modality(config.build(), "table", cells)
    check_config(DateConfig(order="day", epoch="ms", timezone="Asia/Shanghai"))
