"""The reader's language, and sentences in English and in Chinese.

The library speaks English. Its sentences are found in a catalog by the words around what they are filled with, so that
no message is written twice in the code. What the catalog lacks stays English.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Literal

from tonggan.errors import TongganError

Language = Literal["en", "zh"]

LANGUAGE_VARIABLE = "TONGGAN_LANG"
"""The environment variable that ``--lang`` sets; without it the locale decides."""

_DEPTH = 3  # of sentences inside sentences
_PARTS_ZH = {"train": "训练集", "valid": "验证集", "test": "测试集", "the table": "表格", "the request": "请求"}
_LOCALE = ("LC_ALL", "LC_MESSAGES", "LANG")


def language() -> Language:
    """The reader's language: of ``--lang``, else of the locale."""
    said = next((os.environ[name] for name in (LANGUAGE_VARIABLE, *_LOCALE) if os.environ.get(name)), "")
    return "zh" if said.lower().startswith("zh") else "en"


@dataclass(frozen=True)
class Words:
    """A label in both languages."""

    english: str
    chinese: str

    def capitalized(self) -> Words:
        """The same for the beginning of a line."""
        first = self.english.split(" ", 1)[0]
        if first != first.lower():  # as mAP has its own way of being written
            return self
        return Words(self.english[:1].upper() + self.english[1:], self.chinese)


class Bilingual(str):
    """An English sentence that brings its Chinese along, for whoever shows it to a reader of Chinese."""

    __slots__ = ("chinese",)

    chinese: str

    def __new__(cls, english: str, chinese: str) -> Bilingual:
        """The sentence ``english`` with its translation."""
        said = super().__new__(cls, english)
        said.chinese = chinese
        return said


class Catalog:
    """English sentences, with ``{}`` where they are filled in, and their translations.

    Args:
        entries: a translation for each sentence; ``{0}`` is what fills the first place, and so on.
    """

    def __init__(self, entries: Mapping[str, str]) -> None:
        self._whole = {english: chinese for english, chinese in entries.items() if "{}" not in english}
        filled = [(english.split("{}"), chinese) for english, chinese in entries.items() if "{}" in english]
        # Sentences that begin with words of their own are tried first, of these what says the most itself.
        self._filled = sorted(filled, key=lambda entry: (not entry[0][0].strip(), -sum(map(len, entry[0]))))

    def translate(self, text: str, *, depth: int = _DEPTH) -> str:
        """``text`` with all that the catalog knows of it translated, line by line."""
        if "\n" in text:
            return "\n".join(self.translate(line, depth=depth) for line in text.split("\n"))
        core = text.strip()
        found = self._translated(core, depth) if core else None
        if found is None:
            return text
        before = text[: len(text) - len(text.lstrip())]
        return before + found + text[len(before) + len(core) :]

    def _translated(self, text: str, depth: int) -> str | None:
        if text in self._whole:
            return self._whole[text]
        if depth == 0:
            return None
        listed = self._translated_list(text, depth)
        if listed is not None:
            return listed
        for pieces, chinese in self._filled:
            values = _filling(text, pieces)
            if values is not None:
                return chinese.format(*(self.translate(value, depth=depth - 1) for value in values))
        return None

    def _translated_list(self, text: str, depth: int) -> str | None:
        """``text`` as a list of which every part is known, or None."""
        for separator, chinese in (("; ", "；"), (", ", "，")):
            parts = text.split(separator)
            known = takewhile(lambda said: said is not None, (self._translated(part, depth) for part in parts))
            said = [part for part in known if part] if len(parts) > 1 else []
            if said and len(said) == len(parts):
                return chinese.join(said)
        return None


def shortened(text: str, *, limit: int = 40) -> str:
    """``text`` as one line of at most ``limit`` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


@cache
def catalog() -> Catalog:
    """The Chinese catalog that comes with the package."""
    import yaml

    text = (Path(__file__).parent / "chinese.yaml").read_text(encoding="utf-8")
    # Ten times faster where PyYAML was compiled with libyaml: whatever says a word in Chinese waits for this.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return Catalog(yaml.load(text, Loader=loader))  # noqa: S506 (either is safe)


def translated(text: str) -> str:
    """``text`` in the reader's language."""
    if language() == "en":
        return text
    return text.chinese if isinstance(text, Bilingual) else catalog().translate(text)


def in_words(error: TongganError) -> str:
    """What ``error`` says, as one sentence in the reader's language and the remedy in another."""
    if language() == "en":
        return str(error)
    who, got, expected, remedy = map(translated, (error.who, error.got, error.expected, error.remedy))
    return f"{who}：得到 {got}，应为 {expected}。{remedy}。"


def part_zh(name: str) -> str:
    """What a part of the data is called in a Chinese sentence; any other name stays as it is."""
    return _PARTS_ZH.get(name, name)


def listed(names: Sequence[str], *, limit: int) -> tuple[str, str]:
    """The first names in quotation marks, as a list in an English and in a Chinese sentence."""
    first, more = names[:limit], len(names) > limit
    english, chinese = ", ".join(f"'{name}'" for name in first), "、".join(f"“{name}”" for name in first)
    return english + (", …" if more else ""), chinese + ("等" if more else "")


def _filling(text: str, pieces: Sequence[str]) -> list[str] | None:
    """What stands between ``pieces`` in ``text``, each place as short as it can be; None where they do not fit."""
    first, *middle, last = pieces
    end = len(text) - len(last)
    if not text.startswith(first) or not text.endswith(last) or end < len(first):
        return None
    values, start = [], len(first)
    for piece in middle:
        place = text.find(piece, start, end)
        if place < 0:
            return None
        values.append(text[start:place])
        start = place + len(piece)
    if not first and not middle and " " not in last.strip() and " " in text[:end]:
        return None  # '{} rows' is a number of rows, and not the end of a sentence
    return [*values, text[start:end]]
