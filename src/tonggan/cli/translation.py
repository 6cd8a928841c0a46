"""What the command line shows in the reader's language: as the library says it in English, or in Chinese.

``tonggan.wording`` says how sentences are translated.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tonggan.wording import LANGUAGE_VARIABLE, Words, language, translated


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
    return translated(text)
