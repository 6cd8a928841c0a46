"""A column of numbers and how its cells are written: decimal mark, marks between thousands, units, missing markers.

One column has one way of writing, so that ``1,234`` never means two things in it. A cell that is written in another way
is not read: it is missing, and ``is_unreadable`` says so.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import Field, field_validator

from tonggan.cells import LARGEST, cell_number, cell_text
from tonggan.modalities.numeric import NumericConfig, is_one_of
from tonggan.wording import Words

DecimalMark = Literal["point", "comma"]
ThousandsMark = Literal["none", "comma", "point", "space", "apostrophe"]

_LONGEST = 64  # longer texts are no numbers
_PLAIN = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
_DIGITS = r"(?:\d[\d.,' ]*|[.,]\d+)(?:[eE][-+]?\d{1,3})?"
_CELL = re.compile(
    rf"(?P<open>\()? ?(?P<sign>[-+]?) ?(?P<before>[^\d\s().,'+-]{{1,4}}\.?)? ?(?P<inner>[-+]?) ?(?P<number>{_DIGITS})"
    r"(?P<after>[^\d\s().,'-][^\d()]{0,15}[23]?(?<! ))? ?(?P<trailing>-?)(?P<close>\))?",
    re.ASCII,
)
_FLAT = str.maketrans(
    {
        "−": "-",
        "﹣": "-",
        "－": "-",
        "＋": "+",
        "．": ".",
        "，": ",",
        "％": "%",
        "﹪": "%",
        "（": "(",
        "）": ")",
        "￥": "¥",
    }
    | {"’": "'", "＇": "'", "＄": "$", "٫": ".", "٬": ","}
)
_CURRENCIES = frozenset(
    {
        "usd", "us", "eur", "gbp", "rmb", "cny", "jpy", "chf", "inr", "rs", "hkd", "twd", "nt", "sgd",
        "aud", "cad", "nzd", "krw", "brl", "mxn", "rub", "try", "zar", "sek", "nok", "dkk", "pln", "czk",
        "huf", "kr", "zł", "kč", "ft", "lei", "人民币",
    }
)  # fmt: skip
_MARKS = {"none": "", "comma": ",", "point": ".", "space": " ", "apostrophe": "'"}


class Cell(NamedTuple):
    """A text that holds one number: its sign, its digits with their marks, and the unit around them ("" without)."""

    sign: int
    digits: str
    unit: str


class NumberConfig(NumericConfig):
    """A column of numbers. How they are written is found on the training part where it is not declared."""

    words: ClassVar[Words] = Words("number", "数值")
    kind: Literal["number"] = "number"
    decimal: DecimalMark = "point"
    """Decimal separator: 1.5 or 1,5."""
    thousands: ThousandsMark = "none"
    """Thousands separator: 1,234 or 1.234 or 1 234 or 1'234; Indian groups such as 1,23,456 are read too."""
    units: dict[str, float] = Field(default_factory=dict)
    """Units before or after a number, each with the factor to multiply the number by, e.g. {kg: 1, g: 0.001}."""

    @field_validator("units")
    @classmethod
    def _names_units_as_cells_do(cls, units: dict[str, float]) -> dict[str, float]:
        return {unit_name(unit): factor for unit, factor in units.items()}

    def read(self, cell: Any) -> float:
        """The cell as a finite number; NaN where it is missing, or not written as this column's numbers are.

        A value that is a number already is taken as it is, whatever the unit of the texts.
        """
        if is_one_of(cell, self.missing):
            return math.nan
        if isinstance(cell, str):
            if self.decimal == "point" and not self.units and _PLAIN.fullmatch(cell):  # almost all there are
                number = float(cell)
                return number if abs(number) <= LARGEST else math.nan
            parts = parse_cell(cell)
            if parts is None:
                return cell_number(cell) if cell_text(cell) in ("True", "False") else math.nan
            return value_of(parts, decimal=self.decimal, thousands=self.thousands) * self.factor(parts.unit)
        return math.nan if isinstance(cell, bytes) else cell_number(cell)

    def task(self) -> Mapping[str, Any]:
        return {"kind": "regression"}

    def factor(self, unit: str) -> float:
        """What a number with ``unit`` is multiplied by; NaN where this column does not have the unit."""
        if unit:
            return self.units.get(unit, math.nan)
        # A bare 12 in a column of percentages may be 12 % as well as 1200 %.
        is_percentage = bool(self.units) and all("%" in known or "‰" in known for known in self.units)
        return math.nan if is_percentage else self.units.get("", 1.0)


def unit_name(unit: str) -> str:
    """One spelling of a unit: KG, kg. and kg are the same, mW and MW are not."""
    name = " ".join(unit.split()).removesuffix(".").replace("²", "2").replace("³", "3")
    return name if re.fullmatch("[mM][A-Za-z]", name) else name.casefold()


@lru_cache(maxsize=1 << 14)
def parse_cell(text: str) -> Cell | None:
    """The parts of a text that holds one number, e.g. ``-$1,200``, ``(12.5)``, ``¥3.2万``, ``120 km/h``; else None.

    Digits of every script are read, and full-width signs. What the marks in them mean is left to ``value_of``.
    """
    if len(text) > _LONGEST:
        return None
    if _PLAIN.fullmatch(text):
        return Cell(-1 if text[0] == "-" else 1, text.removeprefix("-"), "")
    found = _CELL.fullmatch(plain_text(text))
    if found is None or bool(found["open"]) != bool(found["close"]):
        return None
    signs = [mark for mark in (found["sign"], found["inner"], found["trailing"]) if mark]
    before, after = found["before"] or "", (found["after"] or "").strip()
    if len(signs) > 1 - bool(found["open"]) or (before and not _is_currency(before)) or not _is_unit(after):
        return None
    if after and found["number"].rstrip()[-1] in ".,'":  # 1.png
        return None
    negative = found["open"] or "-" in signs
    return Cell(-1 if negative else 1, found["number"].strip(), unit_name(before) + unit_name(after))


def plain_text(text: str) -> str:
    """``text`` with ASCII digits and signs, and every run of blanks as one."""
    if not text.isascii():
        text = "".join(
            str(unicodedata.decimal(character)) if character.isdecimal() else character for character in text
        ).translate(_FLAT)
    return " ".join(text.split())


def _is_currency(text: str) -> bool:
    return text.casefold().removesuffix(".") in _CURRENCIES or any(unicodedata.category(sign) == "Sc" for sign in text)


def _is_unit(text: str) -> bool:
    """Whether a text may stand behind a number: nothing, or what begins with a letter or a sign of measures."""
    return not text or text[0].isalpha() or text[0] in '%‰°℃℉"″′+' or unicodedata.category(text[0]) == "Sc"


def value_of(cell: Cell, *, decimal: DecimalMark, thousands: ThousandsMark) -> float:
    """The number of a cell with these marks, without its unit; NaN where its digits are marked in another way."""
    if not _digits(decimal, thousands).fullmatch(cell.digits):
        return math.nan
    digits = cell.digits.replace(_MARKS[thousands], "") if thousands != "none" else cell.digits
    return cell.sign * cell_number(digits.replace(",", ".") if decimal == "comma" else digits)


@lru_cache
def _digits(decimal: DecimalMark, thousands: ThousandsMark) -> re.Pattern[str]:
    point, mark = re.escape(_MARKS[decimal]), re.escape(_MARKS[thousands])
    whole = r"\d+"
    if mark and mark != point:
        indian = rf"|[1-9]\d?(?:{mark}\d\d)+{mark}\d{{3}}" if thousands == "comma" else ""
        whole = rf"(?:\d+|[1-9]\d{{0,2}}(?:{mark}\d{{3}})+{indian})"
    return re.compile(rf"(?:{whole}(?:{point}\d*)?|{point}\d+)(?:[eE][-+]?\d+)?", re.ASCII)
