"""Where something is in a text, as editors say it: a line and UTF-16 code units in it. It holds no text.

Lines end with a line feed, a carriage return or both and with nothing else, as the Language Server Protocol has it:
``str.splitlines`` would also break at a form feed, which sources have, and every edit after it would land elsewhere.
"""

from __future__ import annotations

import re

_LINE_END = re.compile(r"\r\n|\n|\r")


def offset_of(text: str, *, line: int, character: int) -> int:
    """The index in ``text`` of a position; one beyond the end of a line or of the text is taken back to it.

    Args:
        text: the document.
        line: from 0.
        character: UTF-16 code units from the beginning of the line; inside a pair of surrogates it is taken back to
            the pair's beginning.
    """
    start = 0
    for _ in range(line):
        found = _LINE_END.search(text, start)
        if found is None:
            return len(text)
        start = found.end()
    found = _LINE_END.search(text, start)
    content = text[start : len(text) if found is None else found.start()]
    if content.isascii():
        return start + min(character, len(content))
    units = content.encode("utf-16-le", "surrogatepass")[: 2 * character]
    return start + len(units.decode("utf-16-le", "ignore"))


def position_of(text: str, offset: int) -> tuple[int, int]:
    """Line and UTF-16 code units of an index in ``text``."""
    line, start = 0, 0
    for found in _LINE_END.finditer(text, 0, len(text)):
        if found.end() > offset:
            break
        line, start = line + 1, found.end()
    return line, utf16_length(text[start:offset])


def utf16_length(text: str) -> int:
    """How many UTF-16 code units ``text`` takes."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def replace(text: str, *, start: tuple[int, int], end: tuple[int, int], new: str) -> str:
    """``text`` with ``new`` in place of what is between two positions, each a line and a character."""
    first = offset_of(text, line=start[0], character=start[1])
    last = offset_of(text, line=end[0], character=end[1])
    return text[:first] + new + text[max(first, last) :]
