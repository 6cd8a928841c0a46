"""The value of one cell of a table, whoever wrote it: as a text that names it, or as a number.

``True``, ``TRUE`` and ``true`` are one value, and so are 3, 3.0 and "3", a date and the midnight of its day. Each
reader of a cell (modalities, labels, the doctor, the cut, the server) asks here, so that all of them agree.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

import numpy as np

# What stands around a value and is not seen,
_UNSEEN = "\ufeff\u200b\u2060\u200c\u200d\u200e\u200f"
# and what is not seen within one either: marks of direction, and where a word may break.
_UNSEEN_WITHIN = dict.fromkeys(map(ord, "\ufeff\u200b\u2060\u200e\u200f\xad"))
# pandas' own missing values, as objects by their types and as texts.
_MISSING_TYPES = {"NAType", "NaTType"}
_MISSING_TEXTS = {"nan", "<na>", "nat"}
# The full-width forms of ASCII that Chinese and Japanese keyboards write, and the wide blank.
_HALF_WIDTH = {0x3000: " "} | {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
# A leading zero makes a code of it ("0042"), and so does an exponent without a sign ("12e4").
_DECIMAL = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?(e[+-]\d{1,3})?", re.ASCII | re.IGNORECASE)
_DAY = re.compile(r"(\d{4})(?:-(\d{1,2})-(\d{1,2})|/(\d{1,2})/(\d{1,2})|年(\d{1,2})月(\d{1,2})日)", re.ASCII)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?( ?(Z|UTC|[+-]\d\d:?\d\d))?", re.ASCII)
_LONGEST = 40  # longer texts are neither numbers nor dates
_FLOAT32_DIGITS, _FLOAT32_LIMIT = 12, 1e38
_ONE_AND_ZERO = {"True": "1", "False": "0"}
# Squares of larger numbers, and so deviations and errors, are not finite.
LARGEST = 1e150


def cell_text(value: Any) -> str | None:
    """The one text that names the cell's value; None where it is missing (None, NaN, "nan" or blank).

    3, 3.0, "3" and "3.00" are the same text, and so are the ways to write True, a date or a time, full-width forms, and
    letters with composed or combining accents. "03" is a code and stays as it is.
    """
    if isinstance(value, np.floating):
        value = float(str(value))
    elif isinstance(value, np.datetime64):
        value = value.astype("datetime64[us]").item()
    elif isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str):
        return _named(value)
    if is_missing(value):
        return None
    if isinstance(value, bool | int):
        return str(value)
    if isinstance(value, float | Decimal):
        return _named(str(value))
    if isinstance(value, date):
        return _named(value.isoformat())
    if isinstance(value, bytes):
        return _named(value.decode("utf-8", "replace"))
    return str(value).strip() or None


def cell_number(value: Any) -> float:
    """The cell as a finite number, at most 1e150; NaN where it is none. True is 1, and a duration its seconds."""
    if isinstance(value, str):
        if "_" in value:  # float() takes "12_0" for 120
            return math.nan
        value = _ONE_AND_ZERO.get(_named(value) or "", value.translate(_HALF_WIDTH).strip(_UNSEEN))
    if isinstance(value, timedelta):
        value = value.total_seconds()
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return number if abs(number) <= LARGEST else math.nan


def is_missing(value: Any) -> bool:
    """Whether a cell holds nothing: None, NaN or a missing value of pandas. Blank texts are left to ``cell_text``."""
    if isinstance(value, float):
        return math.isnan(value)
    if isinstance(value, Decimal):
        return value.is_nan()
    return value is None or type(value).__name__ in _MISSING_TYPES


def places_of(names: Iterable[str]) -> dict[str, int]:
    """The place of each name by its ``cell_text``; True and False are also found as 1 and 0, and these as them."""
    places: dict[str, int] = {}
    for place, name in enumerate(names):
        places.setdefault(cell_text(name) or name, place)
    for spellings in (_ONE_AND_ZERO, {number: name for name, number in _ONE_AND_ZERO.items()}):
        if places.keys() <= spellings.keys():
            return places | {spellings[name]: place for name, place in places.items()}
    return places


def _named(text: str) -> str | None:
    """``cell_text`` of a text, remembered where it is short: names come again in every batch."""
    return _short_named(text) if len(text) <= _LONGEST else _shown(text)


@lru_cache(maxsize=1 << 16)
def _short_named(text: str) -> str | None:
    shown = _shown(text)
    if shown is None or shown.lower() in _MISSING_TEXTS:
        return None
    if shown.lower() in ("true", "false"):
        return shown.capitalize()
    return _decimal(shown) or _time(shown) or shown


def _shown(text: str) -> str | None:
    """The characters of a text that are seen, each in one form."""
    text = text.strip().strip(_UNSEEN).strip()
    if not text.isascii():
        text = unicodedata.normalize("NFC", text.translate(_HALF_WIDTH).translate(_UNSEEN_WITHIN)).strip()
    if len(text) <= _LONGEST:
        text = " ".join(text.split())
    return text or None


def _decimal(text: str) -> str | None:
    """A number without exponent and without zeros at the end of its fraction; None where it is none."""
    if not _DECIMAL.fullmatch(text):
        return None
    if len(text) > _FLOAT32_DIGITS and "." in text:
        # What was a float32 once is written 0.10000000149011612 as a float, and means 0.1.
        number = float(text)
        if repr(number) == text and abs(number) < _FLOAT32_LIMIT and float(np.float32(number)) == number:
            text = str(np.float32(number))
    if "e" in text.lower():
        exact = Decimal(text)
        if abs(exact.adjusted()) > _LONGEST:  # nobody reads hundreds of zeros
            return str(exact.normalize()).replace("E", "e")
        text = format(exact, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _time(text: str) -> str | None:
    """2024-03-05, or 2024-03-05 10:30:00, with an offset the same moment in UTC; None where it is no time."""
    try:
        if found := _DAY.fullmatch(text):
            year, month, day = (int(part) for part in found.groups() if part)
            return date(year, month, day).isoformat()
        if not _MOMENT.fullmatch(text):
            return None
        moment = datetime.fromisoformat(text.replace(" UTC", "Z").replace(" Z", "Z"))
        if moment.tzinfo is not None:
            moment = moment.astimezone(UTC)
        elif moment.time() == time():
            return moment.date().isoformat()
        return moment.isoformat(" ")
    except (ValueError, OverflowError):  # no such day
        return None
