"""How a finding on some cells of a column is worded: how many, an example with its row, and what training has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tonggan.data.findings import Finding, Severity
from tonggan.modalities import ColumnConfig, NumericConfig
from tonggan.wording import Bilingual, Words, part_zh, shortened


def why_unreadable(config: ColumnConfig) -> Bilingual:
    """Why a cell of such a column that says something cannot be used."""
    if isinstance(config, NumericConfig):
        things = config.things
        said = f"not written as the {things.english} of this column are"
        return Bilingual(said, f"不是{things.chinese}，或与该列的写法不同")
    kind = Words(config.kind, config.kind) if config.words is None else config.words
    return Bilingual(f"not written as cells of the kind {kind.english} are", f"不是“{kind.chinese}”类的写法")


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
        shown = shown_zh = ""
        if example is not None:
            row, value = example
            number, value_zh = self.numbers[row], value.chinese if isinstance(value, Bilingual) else str(value)
            shown = f", e.g. '{shortened(str(value))}' in row {number}"
            shown_zh = f"，例如第 {number} 行的“{shortened(value_zh)}”"
        return Finding(
            severity,
            self.name,
            self.split,
            count,
            message=f"{count:,} of {total:,} cells of '{self.name}' in {self.split} {what[0]}{shown}{then[0]}.",
            message_zh=f"{part_zh(self.split)}的“{self.name}”列（共 {total:,} 格）"
            f"有 {count:,} 格{what[1]}{shown_zh}{then[1]}。",
            remedy=remedy[0],
            remedy_zh=remedy[1],
        )
