"""What columns have in common whose cells each mean one number: a measure, a moment, a length of time."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from datetime import date
from functools import lru_cache
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

from tonggan.cells import cell_text, is_missing
from tonggan.modalities.base import ColumnConfig, Form
from tonggan.wording import Words

FloatArray = NDArray[np.float64]


def _as_texts(value: Any) -> Any:
    cells = value if isinstance(value, list | tuple) else [value]
    return [cell_text(cell) if isinstance(cell, int | float | date) else cell for cell in cells]


Markers = Annotated[list[str], BeforeValidator(_as_texts)]
"""Cells that say that a value is not known; numbers such as -999 may stand among them as they are."""

# How tables write that a value is not known.
MISSING = frozenset(
    {
        "na", "n/a", "n.a.", "n.a", "nan", "nat", "null", "none", "nil", "nd", "n.d.", "n/d", "s/d",
        "k.a.", "tbd", "tba", "-", "--", "---", "–", "—", "―", "ー", "?", "??", ".", "..", "…", "*", "/",
        "#n/a", "#na", "#null!", "#value!", "#div/0!", "#ref!", "#num!", "#name?", "<na>", "(blank)",
        "(null)", "missing", "unknown", "unspecified", "inconnu", "desconocido", "unbekannt", "缺失", "缺",
        "无", "無", "未知", "不详", "不詳", "不明", "暂无", "空", "未填", "未填写", "未提供", "无数据", "无记录",
        "なし", "없음", "not available", "not applicable", "not known", "no data", "k. a.", "n. a.", "\\n",
        "0000-00-00", "0000-00-00 00:00:00",
    }
)  # fmt: skip


class NumericConfig(ColumnConfig):
    """A column of which every cell means one number.

    Attributes:
        things: what its cells hold.
    """

    form: ClassVar[Form] = "number"
    joins: ClassVar[str] = "table"
    things: ClassVar[Words] = Words("numbers", "数")
    missing: Markers = Field(default_factory=list)
    """Texts or numbers that mean a missing value, besides the usual ones such as - and n/a."""

    @abstractmethod
    def read(self, cell: Any) -> float:
        """The cell as a finite number; NaN where it says nothing, or nothing that such a column writes."""

    def is_unreadable(self, cell: Any) -> bool:
        """Whether the cell says something, neither a number as this column writes them nor that there is none."""
        if is_missing(cell) or not math.isnan(self.read(cell)):
            return False
        text = str(cell).strip()
        return bool(text) and not is_missing_marker(text) and not is_one_of(cell, self.missing)

    def parts(self, numbers: FloatArray) -> Mapping[str, FloatArray]:
        """By name, what models read of ``numbers`` ``[N]``, NaN where one is missing: each ``[N]``.

        The first part is always read, the others where they differ from row to row.
        """
        return {"": numbers}

    def after(self, earlier: FloatArray, later: FloatArray) -> FloatArray | None:  # noqa: ARG002
        """How long after the numbers of one such column those of another are, ``[N]``; None where that says nothing."""
        return None

    def written(self, number: float) -> str:
        """A number of ``read`` as a person, and this column, writes it."""
        return f"{number:g}"


def is_missing_marker(text: str) -> bool:
    """Whether a stripped text is one of those by which tables of all kinds say that a value is not known."""
    return text.casefold() in MISSING


def is_one_of(cell: Any, texts: Sequence[str]) -> bool:
    """Whether a cell is one of ``texts``, in small or capital letters, or the number that one of them writes."""
    return bool(texts) and (text := cell_text(cell)) is not None and text.casefold() in _keys(tuple(texts))


@lru_cache(maxsize=256)
def _keys(texts: tuple[str, ...]) -> frozenset[str]:
    return frozenset((cell_text(text) or text.strip()).casefold() for text in texts)
