"""Several labels in one value, e.g. tags ``"red|round|small"`` or a list: the kind of a target column.

It has no modality: the labels of many rows become targets in the multilabel task.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from tonggan.config import Config


class MultilabelConfig(Config):
    """A column whose values are sets of labels."""

    kind: Literal["multilabel"] = "multilabel"
    separator: str = Field(default="|", min_length=1)
    """What stands between two labels of a text value."""

    def split(self, value: Any) -> list[str] | None:
        """The labels of one value in their order, each once; None where the value is missing.

        An empty list is no label at all, which is not the same as missing. A text is split at ``separator``, and
        blanks around a label are dropped.
        """
        if value is None:
            return None
        if isinstance(value, str):
            if not value.strip():
                return None
            parts = value.split(self.separator)
        elif isinstance(value, list | tuple | set | frozenset):
            parts = [str(part) for part in value if part is not None]
        else:
            parts = [str(value)]
        return list(dict.fromkeys(label for part in parts if (label := part.strip())))
