"""How a finding on some cells of a column is worded: how many, an example with its row, and what training has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tonggan.data.findings import Finding, Severity
from tonggan.wording import shortened

UNREADABLE = "not written as the numbers of this column are"
"""Why a cell of a number column that says something cannot be used."""

_SPLITS_ZH = {"the table": "表格", "the request": "请求"}


@dataclass(frozen=True)
class CellFindings:
    """One column of one part, to speak of.

    Attributes:
        name: the column.
        split: the part.
        numbers: how each row is counted by its owner.
    """

    name: str
    split: str
    numbers: NDArray[np.int64]

    def finding(
        self,
        severity: Severity,
        count: int,
        example: tuple[int, Any] | None,
        *,
        what: tuple[str, str],
        then: tuple[str, str] = ("", ""),
        remedy: tuple[str, str],
        total: int | None = None,
    ) -> Finding:
        """``count`` of ``total`` cells are ``what``, e.g. ``example``, and ``then``; each in both languages."""
        total = len(self.numbers) if total is None else total
        where_zh = _SPLITS_ZH.get(self.split, self.split)
        shown = shown_zh = ""
        if example is not None:
            row, value = example
            number, value = self.numbers[row], shortened(str(value))
            shown, shown_zh = f", e.g. '{value}' in row {number}", f"，例如第 {number} 行的“{value}”"
        return Finding(
            severity,
            self.name,
            self.split,
            count,
            message=f"{count:,} of {total:,} cells of '{self.name}' in {self.split} {what[0]}{shown}{then[0]}.",
            message_zh=f"{where_zh} 的“{self.name}”列（共 {total:,} 格）有 {count:,} 格{what[1]}{shown_zh}{then[1]}。",
            remedy=remedy[0],
            remedy_zh=remedy[1],
        )
