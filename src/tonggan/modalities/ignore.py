"""A column that no model reads: an id, a note, or a second copy of the target.

It has no modality; the kind exists so that a column can be declared, or guessed, as unused.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from tonggan.modalities.base import ColumnConfig
from tonggan.wording import Words


class IgnoreConfig(ColumnConfig):
    """A column that is left out."""

    words: ClassVar[Words] = Words("ignore", "忽略")
    is_used: ClassVar[bool] = False
    kind: Literal["ignore"] = "ignore"
