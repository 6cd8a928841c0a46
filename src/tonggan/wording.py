"""The reader's language, and sentences that exist in English and in Chinese."""

from __future__ import annotations

import os
from typing import Literal

Language = Literal["en", "zh"]

LANGUAGE_VARIABLE = "TONGGAN_LANG"
"""The environment variable that ``--lang`` sets; without it the locale decides."""

_LOCALE = ("LC_ALL", "LC_MESSAGES", "LANG")


def language() -> Language:
    """The reader's language: of ``--lang``, else of the locale."""
    said = next((os.environ[name] for name in (LANGUAGE_VARIABLE, *_LOCALE) if os.environ.get(name)), "")
    return "zh" if said.lower().startswith("zh") else "en"


class Bilingual(str):
    """An English sentence that brings its Chinese along, for whoever shows it to a reader of Chinese."""

    __slots__ = ("chinese",)

    chinese: str

    def __new__(cls, english: str, chinese: str) -> Bilingual:
        """The sentence ``english`` with its translation."""
        said = super().__new__(cls, english)
        said.chinese = chinese
        return said
