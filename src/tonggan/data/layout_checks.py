"""What can be wrong with a table as a whole: a last row that is a total, a first row that was no header."""

from __future__ import annotations

import numpy as np

from tonggan.cells import cell_text
from tonggan.data.findings import Finding
from tonggan.data.table import Table
from tonggan.modalities.number import parse_cell
from tonggan.wording import part_zh

_TOTALS = frozenset(
    {
        "total",
        "totals",
        "grand total",
        "sum",
        "subtotal",
        "合计",
        "总计",
        "小计",
        "總計",
        "合計",
        "gesamt",
        "summe",
        "итого",
    }
)
_YEARS = range(1900, 2101)


def check_layout(table: Table, *, split: str) -> list[Finding]:
    """Findings on the last row and on the names of the columns."""
    return [*_check_last_row(table, split), *_check_names(table, split)]


def _check_last_row(table: Table, split: str) -> list[Finding]:
    last = int(np.argmax(table.row_numbers))
    for name in table.names:
        text = cell_text(table.values(name, np.array([last]))[0])
        if text is not None and text.casefold().rstrip(":： ") in _TOTALS:
            return [
                Finding(
                    "warning",
                    column=name,
                    split=split,
                    count=1,
                    message=f"The last row of {split} looks like a total: '{text}' in '{name}'. It is read as a row.",
                    message_zh=f"{part_zh(split)}的最后一行像是合计：“{name}”为“{text}”。目前按普通行读取。",
                    remedy="Remove the row",
                    remedy_zh="请删除该行",
                )
            ]
    return []


def _check_names(table: Table, split: str) -> list[Finding]:
    named = [name for name in table.names if table.stored_as(name) == "untyped"]
    numbers = [name for name in named if parse_cell(name.removesuffix("_2")) is not None]
    # Years and counted columns are names.
    whole = [int(name) for name in numbers if name.isdecimal()]
    counted = len(whole) == len(numbers) and (
        all(number in _YEARS for number in whole)
        or sorted(whole) == list(range(min(whole, default=0), max(whole, default=0) + 1))
    )
    if not numbers or counted or 2 * len(numbers) < len(named):
        return []
    return [
        Finding(
            "warning",
            column=None,
            split=split,
            count=1,
            message=f"The first line of {split} looks like data rather than names: '{numbers[0]}' is taken for a "
            "column's name.",
            message_zh=f"{part_zh(split)}的第一行像是数据而不是列名：“{numbers[0]}”被当作列名。",
            remedy="Put a line with the names of the columns before it",
            remedy_zh="请在其前面加一行列名",
        )
    ]
