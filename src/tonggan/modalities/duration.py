"""A column of lengths of time and how its cells are written."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from typing import Any, ClassVar, Literal

import numpy as np

from tonggan.cells import cell_number
from tonggan.modalities.number import plain_text
from tonggan.modalities.numeric import NumericConfig, is_one_of
from tonggan.modalities.time_of_day import SECONDS_PER_DAY
from tonggan.wording import Words

_LONGEST = 64  # longer texts are no lengths of time
_CLOCK = re.compile(
    r"(?:(?P<days>[+-]?\d+) days?,? (?:\+ ?)?|(?P<sign>[+-])? ?)(?P<first>\d+):(?P<second>\d{2})"
    r"(?::(?P<third>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?",
    re.ASCII | re.IGNORECASE,
)
_ISO = re.compile(
    r"(?P<sign>[+-])?P(?=.)(?:(?P<y>\d+)Y)?(?:(?P<mo>\d+)M)?(?:(?P<w>\d+)W)?(?:(?P<d>\d+(?:[.,]\d+)?)D)?"
    r"(?:T(?=.)(?:(?P<h>\d+(?:[.,]\d+)?)H)?(?:(?P<m>\d+(?:[.,]\d+)?)M)?(?:(?P<s>\d+(?:[.,]\d+)?)S)?)?",
    re.ASCII | re.IGNORECASE,
)
_PIECE = re.compile(r"(?P<number>[0-9]+(?:[.,][0-9]+)?) ?(?P<unit>[^\W\d_]+)\.?(?:,? ?(?:and |und |et )?)")
_SECONDS = {
    "y": 365.2425 * SECONDS_PER_DAY, "mo": 365.2425 / 12 * SECONDS_PER_DAY, "w": 7.0 * SECONDS_PER_DAY,
    "d": 1.0 * SECONDS_PER_DAY, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3,
}  # fmt: skip
_NAMES = {
    "y": ("y", "yr", "yrs", "year", "years", "年"),
    "mo": ("mo", "month", "months", "月", "个月", "個月"),
    "w": ("w", "wk", "wks", "week", "weeks", "woche", "wochen", "周", "週", "星期", "个星期", "个周"),
    "d": ("d", "day", "days", "tag", "tage", "天", "日"),
    "h": ("h", "hr", "hrs", "hour", "hours", "std", "stunde", "stunden", "小时", "小時", "个小时", "時", "时"),
    "m": ("m", "min", "mins", "minute", "minutes", "minuten", "分钟", "分鐘", "分"),
    "s": ("s", "sec", "secs", "second", "seconds", "sek", "sekunden", "秒", "秒钟", "秒鐘"),
    "ms": ("ms", "msec", "millisecond", "milliseconds", "毫秒"),
}  # fmt: skip
_UNIT_OF = {name: unit for unit, names in _NAMES.items() for name in names}
# Alone they also stand for other things: meters, watts, points, days of a calendar, months and years of age.
_NOT_ALONE = frozenset(
    {"m", "w", "y", "mo", "yr", "yrs", "分", "时", "時", "日", "月", "年", "month", "months", "year", "years"}
)


class DurationConfig(NumericConfig):
    """A column of lengths of time such as 1:02:03, 01:30, PT1H30M, '1 h 20 min', '3 天' or '2 days 04:00:00'."""

    words: ClassVar[Words] = Words("duration", "时长")
    things: ClassVar[Words] = Words("durations", "时长")
    kind: Literal["duration"] = "duration"
    begins: Literal["hours", "minutes"] = "minutes"
    """What comes first in 01:30."""

    def read(self, cell: Any) -> float:
        """Seconds; NaN where the cell is no length of time. A number is seconds."""
        if is_one_of(cell, self.missing):
            return math.nan
        if isinstance(cell, str) and not math.isnan(seconds := seconds_of(cell.strip(), self.begins)):
            return seconds
        if isinstance(cell, np.timedelta64):
            cell = cell / np.timedelta64(1, "s")
        return math.nan if isinstance(cell, bytes | bool) else cell_number(cell)

    def written(self, number: float) -> str:
        """As '2 days, 4:05:06'."""
        try:
            return f"-{timedelta(seconds=-number)}" if -SECONDS_PER_DAY < number < 0 else str(timedelta(seconds=number))
        except OverflowError:  # beyond 2.7 million years
            return f"{number:g}"

    def task(self) -> Mapping[str, Any]:
        return {"kind": "regression"}


@lru_cache(maxsize=1 << 16)
def seconds_of(text: str, begins: str) -> float:
    """The seconds in a stripped text; NaN where it is no length of time."""
    if len(text) > _LONGEST or not text:
        return math.nan
    text = plain_text(text.replace("：", ":"))
    if found := _CLOCK.fullmatch(text):
        return _of_clock(found.groupdict(), begins)
    if found := _ISO.fullmatch(text):
        parts = found.groupdict()
        sign = -1 if parts.pop("sign") == "-" else 1
        return sign * math.fsum(_SECONDS[unit] * _number(number) for unit, number in parts.items() if number)
    sign, text = (-1, text[1:].strip()) if text[0] == "-" else (1, text)
    return sign * _of_pieces(text)


def _of_clock(parts: Mapping[str, str | None], begins: str) -> float:
    first, second = int(parts["first"] or 0), int(parts["second"] or 0)
    days = int(parts["days"] or 0)
    if parts["third"] is not None:
        third = int(parts["third"])
        if second > 59 or third > 59:
            return math.nan
        seconds = 3600.0 * first + 60 * second + third + float(f"0.{parts['fraction'] or 0}")
    elif second > 59:
        return math.nan
    else:
        seconds = (60.0 * first + second) * (60 if begins == "hours" or parts["days"] else 1)
    # Python writes minus half an hour as '-1 day, 23:30:00'.
    return (-1 if parts["sign"] == "-" else 1) * (days * SECONDS_PER_DAY + seconds)


def _of_pieces(text: str) -> float:
    """'1 h 20 min': numbers with units, the larger unit first."""
    sizes: list[float] = []
    total, place = 0.0, 0
    while place < len(text):
        found = _PIECE.match(text, place)
        unit = None if found is None else found["unit"]
        name = None if unit is None else _UNIT_OF.get(unit if len(unit) == 1 else unit.casefold())
        if found is None or name is None or (sizes and _SECONDS[name] >= sizes[-1]):
            return math.nan
        if not sizes and found.end() == len(text) and unit in _NOT_ALONE:
            return math.nan
        sizes.append(_SECONDS[name])
        total += sizes[-1] * _number(found["number"])
        place = found.end()
    return total if sizes else math.nan


def _number(text: str) -> float:
    return float(text.replace(",", "."))
