"""How the checks read one cell of a table: as a text, or as a number. It converts nothing for a model."""

from __future__ import annotations

import math
from typing import Any


def cell_text(value: Any) -> str | None:
    """The cell as a text; None where it is missing (None, NaN, "nan" or blank). 3, 3.0 and "3" are the same text."""
    if value is None:
        return None
    if isinstance(value, float):
        if math.isnan(value):
            return None
        if value.is_integer():
            return str(int(value))
    text = str(value).strip()
    return text if text and text.lower() != "nan" else None


def cell_number(value: Any) -> float:
    """The cell as a finite number; NaN where it is none."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return number if math.isfinite(number) else math.nan
