"""A column of times of day, without a date, and how its cells are written."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime, time, timedelta
from functools import lru_cache
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike

from tonggan.modalities.number import plain_text
from tonggan.modalities.numeric import FloatArray, NumericConfig, is_one_of
from tonggan.wording import Words

SECONDS_PER_DAY = 86_400

_LONGEST = 32  # longer texts are no times
_WESTERN = re.compile(
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?"
    r"(?: ?(?P<half>[ap])\.?m\.?)?",
    re.ASCII | re.IGNORECASE,
)
_FULL_HOUR = re.compile(r"(?P<hour>\d{1,2}) ?(?P<half>[ap])\.?m\.?", re.ASCII | re.IGNORECASE)
_CHINESE = re.compile(
    r"(?P<half>凌晨|早上|上午|中午|下午|傍晚|晚上)? ?(?P<hour>\d{1,2}) ?[:时時点點] ?"
    r"(?:(?P<minute>\d{1,2}) ?(?:[:分] ?(?:(?P<second>\d{1,2}) ?秒?)?)?)?",
    re.ASCII,
)
_AFTERNOON = ("p", "下午", "傍晚", "晚上")


class TimeOfDayConfig(NumericConfig):
    """A column of times such as 14:30, 14:30:05, 2:30 PM or 下午2:30."""

    words: ClassVar[Words] = Words("time of day", "时刻")
    things: ClassVar[Words] = Words("times of day", "时刻")
    kind: Literal["time"] = "time"

    def read(self, cell: Any) -> float:
        """Seconds since midnight; NaN where the cell is no time."""
        if isinstance(cell, time):
            cell = cell.isoformat()
        if not isinstance(cell, str) or is_one_of(cell, self.missing):
            return math.nan
        return seconds_of_day(cell.strip())

    def parts(self, numbers: FloatArray) -> Mapping[str, FloatArray]:
        """Hours, as a number and as a point on a circle."""
        return cycle("hour", numbers / 3600, 24)

    def after(self, earlier: FloatArray, later: FloatArray) -> FloatArray:
        """Seconds, beyond midnight where need be."""
        return np.asarray((later - earlier) % SECONDS_PER_DAY)

    def written(self, number: float) -> str:
        """As 14:30:05."""
        return (datetime(1970, 1, 1) + timedelta(seconds=number)).time().isoformat()


@lru_cache(maxsize=1 << 14)
def seconds_of_day(text: str) -> float:
    """Seconds since midnight in a stripped text; NaN where it is no time of day. 24:00 is the end of the day."""
    if len(text) > _LONGEST:
        return math.nan
    text = plain_text(text.replace("：", ":"))
    found = next((found for each in (_WESTERN, _FULL_HOUR, _CHINESE) if (found := each.fullmatch(text))), None)
    if found is None:
        return math.nan
    parts = found.groupdict()
    hour, minute, second = (int(parts.get(name) or 0) for name in ("hour", "minute", "second"))
    half = (parts.get("half") or "").casefold()
    if half in ("a", "p") and not 1 <= hour <= 12:
        return math.nan
    if half == "a" or (half == "凌晨" and hour == 12):
        hour %= 12
    elif half in _AFTERNOON and hour < 12:
        hour += 12
    elif half == "p":
        hour = 12
    seconds = 3600 * hour + 60 * minute + second + float(f"0.{parts.get('fraction') or 0}")
    return seconds if minute < 60 and second < 60 and seconds <= SECONDS_PER_DAY else math.nan


def cycle(name: str, values: ArrayLike, length: float) -> dict[str, FloatArray]:
    """``values`` ``[N]`` that begin anew after ``length``: as they are, and where they lie on a circle."""
    numbers = np.asarray(values, dtype=np.float64)
    angles = 2 * math.pi / length * numbers
    return {name: numbers, f"{name} sine": np.sin(angles), f"{name} cosine": np.cos(angles)}
