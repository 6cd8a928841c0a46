"""Several labels in one value, e.g. tags ``"red|round|small"`` or a list: the kind of a target column.

It has no modality: the labels of many rows become targets in the multilabel task.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from tonggan.cells import cell_text
from tonggan.modalities.base import ColumnConfig, Form
from tonggan.modalities.numeric import Markers, is_one_of
from tonggan.wording import Words

_JOINED = re.compile(r"""['"]\s+['"]""")


class MultilabelConfig(ColumnConfig):
    """A column whose values are sets of labels."""

    words: ClassVar[Words] = Words("multilabel", "多标签分类")
    form: ClassVar[Form] = "names"
    kind: Literal["multilabel"] = "multilabel"
    separator: str = Field(default="|", min_length=1)
    """Separator between the labels of a text."""
    missing: Markers = Field(default_factory=list)
    """Texts that mean the labels are not known; without any, usual ones such as NA are recognized."""

    def read(self, cell: Any) -> Any:
        """The cell; None where it is one of ``missing``."""
        return None if is_one_of(cell, self.missing) else cell

    def task(self) -> Mapping[str, Any]:
        return {"kind": "multilabel", "separator": self.separator}

    def labels(self, cell: Any) -> list[Any] | None:
        """The labels of one cell in their order and as they are, each once; None where it is missing.

        An empty list is no label at all, which is not the same as missing. A text that is a list itself, such as
        ``["red", "round"]``, is one; another is split at ``separator``. Blanks around a label are dropped.
        """
        if isinstance(cell, list | tuple | set | frozenset):
            parts: Iterable[Any] = cell
        elif isinstance(cell, str) and (written := written_list(cell)) is not None:
            parts = written
        elif cell_text(self.read(cell)) is None:
            return None
        else:
            parts = cell.split(self.separator) if isinstance(cell, str) else [cell]
        by_text: dict[str, Any] = {}
        for part in parts:
            text = cell_text(part)
            if text is not None:
                by_text.setdefault(text, part.strip() if isinstance(part, str) else part)
        return list(by_text.values())


def written_list(text: str) -> list[Any] | None:
    """The list of texts and numbers that JSON, or Python as in ``['red', 'round']``, writes so; None of other texts."""
    text = text.strip()
    # Python would join two texts without a comma, as arrays of NumPy are written.
    if not (text.startswith("[") and text.endswith("]")) or _JOINED.search(text):
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            values = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        is_flat = isinstance(values, list) and all(isinstance(value, str | int | float | None) for value in values)
        return values if is_flat else None
    return None
