"""A column of dates, with or without a time of day, and how its cells are written."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Any, ClassVar, Literal
from zoneinfo import ZoneInfo

import numpy as np
from pydantic import field_validator

from tonggan.cells import cell_number, cell_text
from tonggan.modalities.number import plain_text
from tonggan.modalities.numeric import FloatArray, NumericConfig, is_one_of
from tonggan.modalities.time_of_day import SECONDS_PER_DAY, cycle, seconds_of_day
from tonggan.wording import Words

Order = Literal["day", "month"]
Epoch = Literal["s", "ms", "us", "ns"]

_START = datetime(1970, 1, 1)
_PER_SECOND: Mapping[str, float] = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
_LONGEST = 64  # longer texts are no dates
_CENTURY = 69  # from which year of two digits on the last century is meant, as POSIX has it
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = r"(?P<name>(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6})\.?"
_WEEKDAY = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]{0,6}\.?,? )?"
_YEAR = r"(?:1[89]|2[01])\d{2}"  # where nothing but digits says that it is one
_DAYS = [
    re.compile(pattern, re.ASCII | re.IGNORECASE)
    for pattern in (
        r"(?P<year>\d{4})(?P<mark>[-/.])(?P<month>\d{1,2})(?P=mark)(?P<day>\d{1,2})(?P<rest>.*)",
        rf"(?P<year>{_YEAR})[-/](?P<month>\d{{1,2}})(?P<rest>)",
        r"(?P<year>\d{4}) ?年 ?(?P<month>\d{1,2}) ?月(?: ?(?P<day>\d{1,2}) ?[日号號]?)?"
        r"(?: ?(?:星期|周)[一二三四五六日天])?(?P<rest>.*)",
        rf"(?P<year>{_YEAR})(?P<month>\d{{2}})(?P<day>\d{{2}})(?P<rest>(?: .*)?)",
        r"(?P<year>\d{4})-?q(?P<quarter>[1-4])(?P<rest>)",
        r"(?P<first>\d{1,2})(?P<mark>[-/.])(?P<second>\d{1,2})(?P=mark)(?P<year>\d{4})(?P<rest>.*)",
        r"(?P<first>\d{1,2})(?P<mark>/)(?P<second>\d{1,2})/(?P<year>\d{2})(?P<rest>.*)",
        r"(?P<first>\d{2})(?P<mark>\.)(?P<second>\d{2})\.(?P<year>\d{2})(?P<rest>.*)",
        rf"{_WEEKDAY}(?P<day>\d{{1,2}})(?:st|nd|rd|th|\.)?[ -]?{_MONTH},?[ -]?(?P<year>\d{{4}}|\d{{2}})(?P<rest>.*)",
        rf"{_WEEKDAY}{_MONTH} (?P<day>\d{{1,2}})(?:st|nd|rd|th)?,? (?P<year>\d{{4}})(?P<rest>.*)",
    )
]
_REST = re.compile(
    r"(?:T|,? at |, ?| ?)(?P<clock>.*?\d.*?)(?: ?(?P<zone>Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?))?", re.IGNORECASE
)
_OFFSET = re.compile(r"([+-])(\d{2}):?(\d{2})?")


class DateConfig(NumericConfig):
    """A column of dates and times. A model reads the time since the first ones, month, day, weekday and hour.

    Dates are written as 2024-03-05 (ISO 8601, with and without a time zone), 2024/3/5, 20240305, 5.3.2024, 3/5/2024,
    5 March 2024, 2024年3月5日, 2024-03 or 2024Q1.
    """

    words: ClassVar[Words] = Words("date", "日期")
    things: ClassVar[Words] = Words("dates", "日期")
    kind: Literal["date"] = "date"
    order: Order | None = None
    """What comes first in 3/5/2024, the day or the month. Without it, only unambiguous dates are read, such as
    25/12/2024, and 5.3.2024 with the day first."""
    timezone: str = "UTC"
    """For cells with an offset from UTC: the time zone in which days and hours are read, such as Asia/Shanghai. Cells
    without an offset are taken as they are."""
    epoch: Epoch | None = None
    """Unit of numbers that count from 1970-01-01 UTC. Without it, a number is not a date."""

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        try:
            _clock_of(name)
        except (KeyError, OSError, ValueError) as error:
            raise ValueError(f"'{name}' is no known time zone; an example is Europe/Berlin") from error
        return name

    def read(self, cell: Any) -> float:
        """Seconds from 1970-01-01 00:00 to the time that a clock of the column's zone shows; NaN where it says none."""
        if isinstance(cell, bool | bytes) or is_one_of(cell, self.missing):
            return math.nan
        counted = math.nan if self.epoch is None else self._counted(cell_number(cell))
        if not math.isnan(counted):
            return counted
        text = cell.strip() if isinstance(cell, str) else cell_text(cell)
        return math.nan if text is None else seconds_of_date(text, self.order, self.timezone)

    def _counted(self, number: float) -> float:
        """What a ``number`` since 1970 means."""
        try:
            since = timedelta(seconds=number / _PER_SECOND[self.epoch or "s"])
            return _seconds(_START.replace(tzinfo=UTC) + since, self.timezone)
        except (ValueError, OverflowError):
            return math.nan

    def parts(self, numbers: FloatArray) -> Mapping[str, FloatArray]:
        """The time itself; month, weekday and hour as numbers from 0 and as points on a circle; day of the month."""
        is_there = np.isfinite(numbers)
        days = np.floor(np.where(is_there, numbers, 0) / SECONDS_PER_DAY)
        stamps = days.astype(np.int64).astype("datetime64[D]")
        months = stamps.astype("datetime64[M]")
        found = {
            "time": numbers,
            **cycle("month", months.astype(np.int64) % 12, 12),
            "day": (stamps - months).astype(np.int64) + 1,
            **cycle("weekday", (days + 3) % 7, 7),  # 1970 began on a Thursday; Monday is 0
            **cycle("hour", (np.where(is_there, numbers, 0) - days * SECONDS_PER_DAY) / 3600, 24),
        }
        return {name: np.where(is_there, values, math.nan) for name, values in found.items()}

    def after(self, earlier: FloatArray, later: FloatArray) -> FloatArray:
        """Seconds."""
        return later - earlier

    def written(self, number: float) -> str:
        """As ISO 8601 has it, the time of day only where it is not midnight."""
        moment = _START + timedelta(seconds=number)
        return moment.date().isoformat() if number % SECONDS_PER_DAY == 0 else moment.isoformat(" ")


@lru_cache(maxsize=1 << 16)
def seconds_of_date(text: str, order: Order | None, zone: str) -> float:
    """``DateConfig.read`` of a stripped text."""
    if len(text) > _LONGEST or len(text) < 6:
        return math.nan
    try:
        if text[4] == "-" or text[8:9] == "T":  # ISO 8601, by far the most frequent
            return _seconds(datetime.fromisoformat(text), zone)
    except (ValueError, OverflowError):
        pass
    try:
        moment = _moment(plain_text(text.replace("：", ":")), order)
        return math.nan if moment is None else _seconds(moment, zone)
    except (ValueError, OverflowError):  # no such day
        return math.nan


def _seconds(moment: datetime, zone: str) -> float:
    if moment.tzinfo is not None:
        moment = moment.astimezone(_clock_of(zone)).replace(tzinfo=None)
    return (moment - _START).total_seconds()


def _clock_of(zone: str) -> tzinfo:
    """UTC is known also where the system has no zones."""
    return UTC if zone == "UTC" else ZoneInfo(zone)


def _moment(text: str, order: Order | None) -> datetime | None:
    """The time in a text of ASCII digits; None where it is none.

    Raises:
        ValueError, OverflowError: there is no such day.
    """
    found = next((found for pattern in _DAYS if (found := pattern.fullmatch(text))), None)
    if found is None:
        return None
    parts = found.groupdict()
    day = _day(parts, order)
    if day is None or not parts["rest"]:
        return day
    rest = _REST.fullmatch(parts["rest"])
    seconds = math.nan if rest is None else seconds_of_day(rest["clock"])
    if rest is None or math.isnan(seconds):
        return None
    return (day + timedelta(seconds=seconds)).replace(tzinfo=_zone(rest["zone"]))


def _zone(text: str | None) -> timezone | None:
    found = None if text is None else _OFFSET.fullmatch(text)
    if found is None:
        return None if text is None else UTC
    minutes = 60 * int(found[2]) + int(found[3] or 0)
    return timezone(timedelta(minutes=-minutes if found[1] == "-" else minutes))


def _day(parts: Mapping[str, str | None], order: Order | None) -> datetime | None:
    """The day that the named parts of a text say; None where that is open."""
    year = int(parts["year"] or 0)
    if len(parts["year"] or "") == 2:
        year += 1900 if year >= _CENTURY else 2000
    if parts.get("first"):
        first, second = int(parts["first"] or 0), int(parts["second"] or 0)
        if order is None:
            order = "day" if parts["mark"] == "." or first > 12 else "month" if second > 12 or first == second else None
        if order is None:
            return None
        month, day = (second, first) if order == "day" else (first, second)
    elif parts.get("quarter"):
        month, day = 3 * int(parts["quarter"] or 1) - 2, 1
    else:
        name = (parts.get("name") or "").casefold()[:3]
        month = _MONTHS.index(name) + 1 if name else int(parts["month"] or 1)
        day = int(parts.get("day") or 1)
    return datetime(year, month, day)
