"""How the numbers of a column are written, found on a sample of its texts: one way for the whole column, or none.

The order of doubt: a mark means what lets most cells be read; only where a column leaves both open (``1,234`` in every
cell) the usual meaning is taken, and told.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tonggan.data.findings import Doubt
from tonggan.modalities.number import (
    Cell,
    DecimalMark,
    NumberConfig,
    ThousandsMark,
    parse_cell,
    value_of,
)
from tonggan.modalities.numeric import is_missing_marker
from tonggan.wording import Words

# Most cells must be numbers before a column is one of numbers; a few typing errors do not change what it is.
MOST = 0.95
_LIKELY = 0.5  # of the cells: below, a column has nothing to do with numbers
_MAX_UNITS = 6  # more different texts around numbers are codes, such as seats
_MIN_NAMED = 0.7  # of the cells: below, a text that repeats is a value rather than a missing marker
_MAX_NAMED = 3
_LEADING_ZERO = re.compile(r"0\d+")
_BARE_EXPONENT = re.compile(r"\d+[eE]\d+", re.ASCII)  # 12E4 is a code: programs write 1.2e+05
_LONG = re.compile(r"[1-9]\d{15,63}", re.ASCII)
# The first that reads most cells; so a comma before three digits alone stands between thousands.
MARKS: tuple[tuple[DecimalMark, ThousandsMark], ...] = (
    ("point", "none"),
    ("point", "comma"),
    ("point", "space"),
    ("point", "apostrophe"),
    ("comma", "none"),
    ("comma", "point"),
    ("comma", "space"),
    ("comma", "apostrophe"),
)
_CHINESE_MAGNITUDE = re.compile(
    r"(?P<before>[^\w%]{0,3})(?P<times>[十百千]?)(?P<power>万亿|萬億|[万萬亿億千百])(?P<after>.*)"
)
_CHINESE_POWERS = {
    "十": 1e1,
    "百": 1e2,
    "千": 1e3,
    "万": 1e4,
    "萬": 1e4,
    "亿": 1e8,
    "億": 1e8,
    "万亿": 1e12,
    "萬億": 1e12,
}
_MAGNITUDES = {
    "k": 1e3, "tsd": 1e3, "thousand": 1e3, "m": 1e6, "mn": 1e6, "mln": 1e6, "mio": 1e6, "million": 1e6, "b": 1e9,
    "bn": 1e9, "mrd": 1e9, "billion": 1e9, "trillion": 1e12,
}  # fmt: skip
_MONEY = r"[^\w\s%‰°+]{1,2}|us\$|r\$|usd|eur|euro|gbp|chf|rmb|cny|元"
_MAGNITUDE = re.compile(rf"(?P<before>(?:{_MONEY})?) ?(?P<word>{'|'.join(_MAGNITUDES)})\.? ?(?P<after>(?:{_MONEY})?)")
_CURRENCIES = {
    "元": ("¥", "￥", "¥元", "￥元", "圆", "块", "rmb", "cny", "人民币"),
    "$": ("us$", "usd"),
    "€": ("eur", "euro"),
    "£": ("gbp",),
}
_CURRENCY = {name: currency for currency, names in _CURRENCIES.items() for name in names}
_PERCENT = {"%": 0.01, "‰": 0.001}
_IN_WORDS = {"comma": "','", "point": "'.'", "space": "blanks", "apostrophe": "apostrophes"}


@dataclass(frozen=True)
class NumberFormat:
    """How a column's numbers are written.

    Attributes:
        config: reads them.
        numbers: what it reads in the sample, in its order, without the cells that it cannot read.
        share: of the cells that say something, those that it reads.
        reason: in words how the numbers are written; "" where that needs no word.
        problem: why the column is not read as numbers; "" where it is.
        remedy: what to do about the problem; the column is called NAME.
    """

    config: NumberConfig
    numbers: Sequence[float]
    share: float
    reason: str
    problem: str
    remedy: str

    @property
    def is_sure(self) -> bool:
        """Whether the column is one of numbers; if not, a person should hear why they are not read."""
        return not self.problem

    @property
    def doubt(self) -> Doubt:
        """What a person should hear where the column is not one of numbers."""
        return Doubt(
            self.share,
            Words(self.problem, f"约有 {self.share:.0%} 的单元格是数，但写法或单位不一致"),
            Words(self.remedy, "请统一写法，或用 --set columns.NAME.kind=number 读取其中的数（其余按缺失处理）"),
        )


def fit_numbers(values: Sequence[str]) -> NumberFormat | None:
    """How most of ``values``, texts that are not blank, write a number; None where fewer than half hold one."""
    told = [value for value in values if not is_missing_marker(value)]
    cells = [cell for cell in map(parse_cell, told) if cell is not None]
    if len(cells) < _LIKELY * len(told) or not cells:
        return None
    if sum(1 for value in told if _LEADING_ZERO.fullmatch(value)) > 0.01 * len(told):  # codes such as 00123
        return None
    if 2 * sum(1 for value in told if _BARE_EXPONENT.fullmatch(value)) > len(told) or are_long_codes(told):
        return None
    decimal, thousands = _marks(cells)
    if thousands == "space" and _looks_like_phones(cells):
        return None
    units, mixed = _units(cells)
    config = NumberConfig(decimal=decimal, thousands=thousands, units=units)
    rest = Counter(value for value in told if config.is_unreadable(value))
    named = _named_missing(rest, len(told))
    config = config.model_copy(update={"missing": named})
    read = [number for value in told if not math.isnan(number := config.read(value))]
    num_said = len(told) - sum(rest[value] for value in named)
    share = len(read) / num_said if num_said else 0.0
    if mixed:
        share = len(cells) / len(told) if len(mixed) <= _MAX_UNITS else 0.0
    if share < _LIKELY:
        return None
    problem, remedy = _problem(mixed, rest, share)
    reason = _reason(config, cells, [value for value in values if is_missing_marker(value)])
    return NumberFormat(config, read, share, reason, problem, remedy)


def _marks(cells: Sequence[Cell]) -> tuple[DecimalMark, ThousandsMark]:
    """The first of ``MARKS`` that read the most cells."""
    digits = Counter(cell._replace(sign=1, unit="") for cell in cells)
    best, most = MARKS[0], -1
    for decimal, thousands in MARKS:
        num_read = sum(
            count
            for cell, count in digits.items()
            if not math.isnan(value_of(cell, decimal=decimal, thousands=thousands))
        )
        if num_read > most:
            best, most = (decimal, thousands), num_read
        if most == len(cells):
            break
    return best


def are_long_codes(values: Sequence[str]) -> bool:
    """Whether different whole numbers have so many digits that they would be one as floats, as ids have."""
    whole = {value for value in values if _LONG.fullmatch(value)}
    return 2 * len(whole) > len(set(values)) and len(set(map(float, whole))) < len(whole)


def _looks_like_phones(cells: Sequence[Cell]) -> bool:
    """Whether all have the same three or more groups of digits."""
    groups = {cell.digits.count(" ") for cell in cells}
    return len(groups) == 1 and min(groups) >= 2


def _units(cells: Sequence[Cell]) -> tuple[dict[str, float], Counter[str]]:
    """What each unit is multiplied by; and, where they do not go together, how often each occurs."""
    counts = Counter(cell.unit for cell in cells)
    if set(counts) == {""}:
        return {}, Counter()
    factors = magnitudes(counts)
    bases: Counter[str] = Counter()
    for unit, count in counts.items():
        bases[factors[unit][1]] += count
    for base in [base for base in bases if len(base) > 2 and base.endswith("s") and base[:-1] in bases]:
        bases[base[:-1]] += bases.pop(base)  # hours with hour
    bare = bases.pop("", 0)
    base, most = bases.most_common(1)[0] if bases else ("", 0)
    # Beside percentages a bare 12 may be 12 % and 1200 %.
    together = max(most, bare) if base in _PERCENT else most + bare
    if together < MOST * len(cells):
        return {}, counts
    own = {unit: factor for unit, (factor, known) in factors.items() if known in ("", base, base + "s")}
    if base in _PERCENT or not bare:
        own.pop("", None)
    return own, Counter()


def magnitudes(counts: Mapping[str, int]) -> dict[str, tuple[float, str]]:
    """Each unit as a factor and the unit that is measured in: 万元 is (10,000, 元), $k with $ is (1,000, $)."""
    split: dict[str, tuple[float, str]] = {}
    for unit in counts:
        found = _CHINESE_MAGNITUDE.fullmatch(unit)
        factor = 1.0
        base = unit
        if found:
            factor = _CHINESE_POWERS.get(found["times"], 1.0) * _CHINESE_POWERS[found["power"]]
            base = found["before"] + found["after"]
        split[unit] = (_PERCENT.get(base, 1.0) * factor, base)
    words = {unit: found for unit in counts if (found := _MAGNITUDE.fullmatch(unit))}
    bases = {found["before"] + found["after"] for found in words.values()}
    names = {found["word"] for found in words.values()}
    # A lone m is a meter and a lone b a byte, unless money or another magnitude stands beside it.
    is_sure = bases != {""} or len(names) > 1 or ("" in counts and names == {"k"})
    if words and is_sure and counts.keys() <= words.keys() | bases | {""} | _CURRENCY.keys():
        for unit, found in words.items():
            split[unit] = (_MAGNITUDES[found["word"]], found["before"] + found["after"])
    if len({base for _, base in split.values()}) > 1:  # ¥ is the yuan beside 元
        split = {unit: (factor, _CURRENCY.get(base, base)) for unit, (factor, base) in split.items()}
    return split


def _named_missing(rest: Mapping[str, int], num_told: int) -> list[str]:
    """The few texts without digits that repeat among the numbers, such as 'sold out'; [] where they may be values."""
    repeated = sorted(value for value, count in rest.items() if count > 1 and not any(map(str.isdigit, value)))
    if len(repeated) > _MAX_NAMED or sum(rest.values()) > (1 - _MIN_NAMED) * num_told:
        return []
    return repeated


def _problem(mixed: Mapping[str, int], rest: Mapping[str, int], share: float) -> tuple[str, str]:
    if mixed:
        shown = ", ".join(
            f"{count:,} with '{unit}'" if unit else f"{count:,} without a unit"
            for unit, count in sorted(mixed.items(), key=lambda item: -item[1])[:5]
        )
        factors = magnitudes(mixed)
        example = ", ".join(f"'{unit}': {factors[unit][0]:g}" for unit in list(mixed)[:2] if unit)
        return (
            f"numbers in different units: {shown}",
            "Write all cells in one unit, or say what each unit is multiplied by, e.g. "
            f'--set "columns.NAME.units={{{example}}}"',
        )
    if share >= MOST:
        return "", ""
    shown = ", ".join(f"'{value[:30]}'" for value in sorted(rest, key=lambda value: (-rest[value], value))[:3])
    return (
        f"numbers in {share:.0%} of the cells and other texts in the rest, e.g. {shown}",
        "Write these cells as the others are, or leave them empty; --set columns.NAME.kind=number reads the numbers "
        "and counts the rest as missing",
    )


def _reason(config: NumberConfig, cells: Sequence[Cell], markers: Sequence[str]) -> str:
    said = []
    if config.decimal == "comma":
        said.append("written with a decimal comma")
    if config.thousands != "none":
        said.append(f"with {_IN_WORDS[config.thousands]} between thousands")
        if config.thousands == "comma" and all(
            not math.isnan(value_of(cell, decimal="comma", thousands="none")) for cell in cells
        ):
            said.append("so that 1,234 is 1234 (if the comma is a decimal mark: --set columns.NAME.decimal=comma)")
    for percent, words in (("%", "percentages, so that 12 % is 0.12"), ("‰", "per mille, so that 12 ‰ is 0.012")):
        if percent in config.units:
            said.append(words)
    plain = [unit for unit, factor in config.units.items() if unit and factor == 1]
    large = [f"with {unit} for {factor:,.0f}" for unit, factor in config.units.items() if factor > 1]
    if plain:
        said.append("in " + " or ".join(plain))
    said.extend(large)
    missing = [*dict.fromkeys(markers), *config.missing]
    if missing:
        said.append(" and ".join(f"'{text}'" for text in missing[:5]) + " count as missing")
    return ", ".join(said)
