"""Labels as a table has them: counted by value however they are spelled, shown and given back in their own type."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

import numpy as np

from tonggan.cells import cell_number, cell_text

LabelType = Literal["text", "integer", "float", "boolean", "date", "timestamp"]
"""What Python type a label is given back in."""
_MAX_DIGITS = 19

_READ: dict[LabelType, Callable[[str], Any]] = {
    "text": str,
    "integer": int,
    "float": float,
    "boolean": lambda label: cell_text(label) == "True",
    "date": date.fromisoformat,
    "timestamp": datetime.fromisoformat,
}


class LabelCounter:
    """How often each label occurs, by its ``cell_text``, and what it is called."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._spellings: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._types: set[LabelType] = set()

    def add(self, value: Any) -> bool:
        """Count one label; False where it is missing."""
        text = cell_text(value)
        if text is None:
            return False
        self.counts[text] += 1
        self._spellings[text][value.strip() if isinstance(value, str) else text] += 1
        self._types.add(_type_of(value))
        return True

    @property
    def type(self) -> LabelType:
        """The type that all labels have; text where they have several."""
        if self._types == {"integer", "float"}:
            return "float"
        return next(iter(self._types)) if len(self._types) == 1 else "text"

    def named(self) -> dict[str, int]:
        """Counts by the name to show, which is the most frequent spelling; numbers in their order, else by alphabet."""
        names = {spellings.most_common(1)[0][0]: self.counts[text] for text, spellings in self._spellings.items()}
        return {name: names[name] for name in _sorted(names)}


def read_labels(labels: Sequence[str], label_type: LabelType) -> list[Any]:
    """The labels as values of their type."""
    return [_READ[label_type](label) for label in labels]


def type_of_texts(labels: Sequence[str], *, stored_as: str | None) -> LabelType:
    """The type of labels that are texts because their table has only texts, or has dates as texts.

    Args:
        labels: their names.
        stored_as: ``Table.stored_as`` of their column.
    """
    if stored_as in ("date", "timestamp"):
        return "date" if stored_as == "date" else "timestamp"
    if stored_as != "untyped":
        return "text"
    if all(cell_text(label) in ("True", "False") for label in labels):
        return "boolean"
    # "007" is a code, and so are 20 digits that no column of whole numbers could hold.
    if all(label.lstrip("-").isdecimal() and cell_text(int(label)) == cell_text(label) for label in labels):
        return "integer" if all(len(label) < _MAX_DIGITS for label in labels) else "text"
    numbers = {label: cell_number(label) for label in labels}
    return "float" if all(cell_text(number) == cell_text(label) for label, number in numbers.items()) else "text"


def _type_of(value: Any) -> LabelType:
    if isinstance(value, bool | np.bool_):
        return "boolean"
    if isinstance(value, int | np.integer):
        return "integer"
    if isinstance(value, float | Decimal | np.floating):
        return "float"
    if isinstance(value, datetime):
        return "timestamp"
    return "date" if isinstance(value, date) else "text"


def _sorted(names: Iterable[str]) -> list[str]:
    """Names in the order of their numbers where all are numbers, else by alphabet."""
    names = list(names)
    numbers = {name: cell_number(name) for name in names}
    if any(math.isnan(number) for number in numbers.values()):
        return sorted(names)
    return sorted(names, key=lambda name: (numbers[name], name))
