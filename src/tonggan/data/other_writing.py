"""Numbers and dates of new rows that are written in another way than in training: how to read them, if that is sure.

What can mean one number only is read: ``12,5`` in a column of ``12.5``. Of several readings the one counts that gives
numbers as training has them, if there is one such: ``1,234`` is 1.234 where training has 0 to 10. ``25/12/2024`` is
read in a column of ``12/25/2024`` if all other cells can have the day first too. All else is left to the doctor.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tonggan.data.cell_findings import CellFindings
from tonggan.data.findings import Finding
from tonggan.data.number_format import MARKS, magnitudes
from tonggan.data.profiles import ColumnProfile, NumberProfile
from tonggan.data.table import Table
from tonggan.data.time_format import by_order
from tonggan.modalities import ColumnConfig, DateConfig, NumericConfig
from tonggan.modalities.number import Cell, DecimalMark, NumberConfig, ThousandsMark, parse_cell, value_of

_Marks = tuple[DecimalMark, ThousandsMark]

_SAMPLE_SIZE = 5_000  # different texts of each kind that are looked at
_WITHIN = 0.9  # of the numbers must lie where those of training do
_MARGIN = 0.05  # of the range of nearly all numbers of training that new ones may lie beyond it


class AnyWriting(NumberConfig):
    """A column of new rows: a cell with other marks than most is read too, where it can mean one number only."""

    def read(self, cell: Any) -> float:
        """As ``NumberConfig.read``."""
        number = super().read(cell)
        parts = parse_cell(cell) if math.isnan(number) and isinstance(cell, str) else None
        if parts is None:
            return number
        found = {value for marks in MARKS if not math.isnan(value := _value(parts, marks))}
        return found.pop() * self.factor(parts.unit) if len(found) == 1 else math.nan


def read_otherwise(
    cells: Iterable[Any], config: NumericConfig, profile: NumberProfile | None = None
) -> NumericConfig | None:
    """How to read ``cells``, of which ``config`` cannot read some that are surely numbers or dates; None without such.

    Args:
        cells: of one column of new rows.
        config: how the training part writes the column.
        profile: the column in the training part; without one, what could mean several numbers is not read.
    """
    if isinstance(config, DateConfig):
        return _dates_otherwise(*_texts(cells, config), config, profile)
    if not isinstance(config, NumberConfig):
        return None
    unread, others = _texts(cells, config)
    parts = [part for part in map(parse_cell, unread) if part is not None]
    if not parts:
        return None
    marks = _marks(parts, [part for part in map(parse_cell, others) if part is not None], config, profile)
    units = _units(parts, marks, config, profile)
    other = AnyWriting(decimal=marks[0], thousands=marks[1], units=units, missing=config.missing)
    return None if all(math.isnan(other.read(text)) for text in unread) else other


def _dates_otherwise(
    unread: Sequence[str], others: Sequence[str], config: DateConfig, profile: NumberProfile | None
) -> DateConfig | None:
    """With the day or the month first, whichever reads more; where both do, the one that gives days of training."""
    texts = [*unread, *(text for text in others if not math.isnan(config.read(text)))]
    found = {
        order: numbers
        for order, numbers in by_order(texts, config).items()
        if order and not np.isnan(numbers[len(unread) :]).any() and not np.isnan(numbers[: len(unread)]).all()
    }
    counts = {order: int((~np.isnan(numbers)).sum()) for order, numbers in found.items()}
    best = [order for order in found if counts[order] == max(counts.values())]
    if len(best) > 1:
        best = [order for order in best if _is_usual(found[order], profile)]
    return config.model_copy(update={"order": best[0]}) if len(best) == 1 else None


def find_other_writing(
    table: Table, columns: Mapping[str, ColumnConfig], profiles: Mapping[str, ColumnProfile], *, split: str
) -> tuple[dict[str, NumericConfig], list[Finding]]:
    """How to read those ``columns`` of new rows that are written in another way than in training, and a note."""
    found: dict[str, NumericConfig] = {}
    findings: list[Finding] = []
    for name, config in columns.items():
        if isinstance(config, NumericConfig) and name in table.names and not _is_number(table.column_type(name)):
            profile = profiles.get(name)
            known = profile if isinstance(profile, NumberProfile) else None
            other = read_otherwise((cell for values in table.iterate(name) for cell in values), config, known)
            if other is not None:
                found[name] = other
                findings.append(_note(table, name, config, other, example=known.example if known else "", split=split))
    return found, findings


def _is_number(stored: pa.DataType) -> bool:
    return bool(pa.types.is_integer(stored) or pa.types.is_floating(stored) or pa.types.is_null(stored))


def _note(table: Table, name: str, config: NumericConfig, other: NumericConfig, *, example: str, split: str) -> Finding:
    count, first, row = 0, None, 0
    for values in table.iterate(name):
        for cell in values:
            if config.is_unreadable(cell) and not other.is_unreadable(cell):
                count += 1
                first = (row, cell) if first is None else first
            row += 1
    number = math.nan if first is None else other.read(first[1])
    shown = f"{number:.10g}" if isinstance(other, NumberConfig) else other.written(number)
    usual, usual_zh = (f", where training has '{example}'", f"（训练表中的写法如“{example}”）") if example else ("", "")
    return CellFindings(name, split, table.row_numbers).finding(
        "note",
        count,
        first,
        what=("are written in another way than in training", "与训练表中的写法不同"),
        then=(
            f"{usual}; they are read as {config.things.english}, this one as {shown}",
            f"{usual_zh}；按{config.things.chinese}读取，此格为 {shown}",
        ),
        remedy=("Check that this is what they mean", "请确认这就是其含义"),
    )


def _texts(cells: Iterable[Any], config: NumericConfig) -> tuple[list[str], list[str]]:
    """Different texts that ``config`` cannot read, and others."""
    unread: dict[str, None] = {}
    others: dict[str, None] = {}
    for cell in cells:
        if isinstance(cell, str):
            found = unread if config.is_unreadable(cell) else others
            if len(found) < _SAMPLE_SIZE:
                found.setdefault(cell)
    return list(unread), list(others)


def _marks(
    unread: Sequence[Cell], others: Sequence[Cell], config: NumberConfig, profile: NumberProfile | None
) -> _Marks:
    """The marks of all cells; those of ``config`` where cells differ, or nothing says what they mean."""
    own: _Marks = (config.decimal, config.thousands)
    marked = [cell for cell in (*unread, *others) if any(not math.isnan(_value(cell, marks)) for marks in MARKS)]
    readings: dict[tuple[float, ...], _Marks] = {}
    for marks in (own, *MARKS):
        numbers = tuple(_value(cell, marks) for cell in marked)
        if not any(map(math.isnan, numbers)):
            readings.setdefault(numbers, marks)
    if own in readings.values():
        return own
    # Cells that training's marks read too must not get another meaning for the sake of one that they do not.
    is_other = any(not math.isnan(_value(cell, own)) and cell.digits.strip("0123456789") for cell in others)
    if len(readings) == 1 and not is_other:
        return next(iter(readings.values()))
    factors = np.array([config.units.get(cell.unit, 1.0) for cell in marked])
    sure = [marks for numbers, marks in readings.items() if _is_usual(np.array(numbers) * factors, profile)]
    return sure[0] if len(sure) == 1 else own


def _units(
    cells: Sequence[Cell], marks: _Marks, config: NumberConfig, profile: NumberProfile | None
) -> dict[str, float]:
    """What each unit is multiplied by, as far as that is sure for those that training does not have."""
    units = config.units
    unknown = list(dict.fromkeys(cell.unit for cell in cells if math.isnan(config.factor(cell.unit))))
    if not unknown:
        return units
    split = magnitudes(dict.fromkeys(["", *unknown] if not units else [*units, *unknown], 1))
    # Ten thousands of yuan beside yuan: the same thing in another size.
    known = {split[unit][1]: factor / split[unit][0] for unit, factor in units.items() if unit}
    found = {unit: known[split[unit][1]] * split[unit][0] for unit in unknown if unit and split[unit][1] in known}
    rest = [unit for unit in unknown if unit not in found]
    options: list[Mapping[str, float]] = []
    if rest and not any(unit for unit in units if unit):
        # One unit where training has none, and a percentage may be meant as 12 or as 0.12.
        if len({split[unit][1] for unit in rest}) == 1:
            options = [{unit: split[unit][0] for unit in rest}, {unit: split[unit][0] * 100 for unit in rest}]
            options = options if split[rest[0]][1] == "%" else options[:1]
    elif rest == [""]:
        options = [{"": 1.0}, {"": 0.01}]  # percentages in training, and none here
    sure = [option for option in options if _is_usual(_numbers(cells, marks, option), profile)]
    if len(sure) == 1:
        found |= sure[0]
    return {**({} if units else {"": 1.0}), **units, **found} if found else units


def _numbers(cells: Sequence[Cell], marks: _Marks, units: Mapping[str, float]) -> np.ndarray[Any, Any]:
    return np.array([_value(cell, marks) * units[cell.unit] for cell in cells if cell.unit in units])


def _is_usual(numbers: np.ndarray[Any, Any], profile: NumberProfile | None) -> bool:
    """Whether nearly all numbers lie where nearly all of training do."""
    if profile is None:
        return False
    numbers = numbers[~np.isnan(numbers)]
    margin = _MARGIN * (profile.usual_high - profile.usual_low)
    within = (numbers >= profile.usual_low - margin) & (numbers <= profile.usual_high + margin)
    return len(numbers) > 0 and bool(within.mean() >= _WITHIN)


def _value(cell: Cell, marks: _Marks) -> float:
    return value_of(cell, decimal=marks[0], thousands=marks[1])
