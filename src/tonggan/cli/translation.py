"""What the command line shows in the reader's language: as the library says it in English, or in Chinese.

The library speaks English. Its sentences are found in a catalog by the words around what they are filled with, so that
no message is written twice in the code. What the catalog lacks stays English.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from tonggan.evaluation.wording import Words
from tonggan.wording import LANGUAGE_VARIABLE, Bilingual, language

_DEPTH = 3  # of sentences inside sentences


def take_language(arguments: Sequence[str]) -> tuple[list[str], str | None]:
    """``arguments`` without a ``--lang zh`` or ``--lang en``, and which of them was chosen last.

    ``--lang`` with another value is left: it names a programming language where code is searched.
    """
    rest: list[str] = []
    chosen: str | None = None
    waiting = list(arguments)
    while waiting:
        argument = waiting.pop(0)
        if argument == "--lang" and waiting and waiting[0] in ("zh", "en"):
            chosen = waiting.pop(0)
        elif argument in ("--lang=zh", "--lang=en"):
            chosen = argument[-2:]
        else:
            rest.append(argument)
    return rest, chosen


@contextmanager
def speaking(chosen: str | None) -> Iterator[None]:
    """Speak the language ``chosen`` instead of the locale's until the block ends."""
    before = os.environ.get(LANGUAGE_VARIABLE)
    if chosen is not None:
        os.environ[LANGUAGE_VARIABLE] = chosen
    try:
        yield
    finally:
        if chosen is not None and before is None:
            del os.environ[LANGUAGE_VARIABLE]
        elif chosen is not None and before is not None:
            os.environ[LANGUAGE_VARIABLE] = before


def shown(text: str | Words) -> str:
    """``text`` in the reader's language."""
    if isinstance(text, Words):
        return text.chinese if language() == "zh" else text.english
    if isinstance(text, Bilingual):
        return text.chinese if language() == "zh" else text
    return catalog().translate(text) if language() == "zh" else text


class Catalog:
    """English sentences, with ``{}`` where they are filled in, and their translations.

    Args:
        entries: a translation for each sentence; ``{0}`` is what fills the first place, and so on.
    """

    def __init__(self, entries: Mapping[str, str]) -> None:
        self._whole = {english: chinese for english, chinese in entries.items() if "{}" not in english}
        filled = [(english.split("{}"), chinese) for english, chinese in entries.items() if "{}" in english]
        # The sentence that says the most itself is tried first.
        self._filled = sorted(filled, key=lambda entry: -sum(map(len, entry[0])))

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
        for pieces, chinese in self._filled:
            values = _filling(text, pieces)
            if values is not None:
                return chinese.format(*(self.translate(value, depth=depth - 1) for value in values))
        return None


@cache
def catalog() -> Catalog:
    """The Chinese catalog that comes with the package."""
    import yaml

    return Catalog(yaml.safe_load((Path(__file__).parent / "chinese.yaml").read_text(encoding="utf-8")))


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
    return [*values, text[start:end]]
