"""Where a text that fills a gap ends: at what stands behind the gap, at a smaller indent, at a time limit.

Models that were trained to fill in know the first by themselves; others write on through the end of the file.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from tonggan.language.prompt import Piece

_LEAST_OVERLAP = 2  # letters; a single one may well be there twice


class Cut:
    """A filter of one text's pieces; it hands lines on when they are whole, and the last one at the end.

    Args:
        line: what stands before the gap in its line.
        suffix: what stands behind the gap; empty where the text is not to be compared with it.
        indent: a line with fewer characters of white space in front ends the text before it.
        seconds: after so many since the first token the text ends with the next whole line.
        clock: seconds.
    """

    def __init__(
        self,
        *,
        line: str = "",
        suffix: str = "",
        indent: int = 0,
        seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rest, _, below = suffix.partition("\n")
        self._rest = self._rest.rstrip()
        self._following = next((each.rstrip() for each in below.split("\n") if each.strip()), None)
        self._line = line
        self._indent = indent
        self._seconds = seconds
        self._clock = clock
        self._start: float | None = None
        self._held = ""
        self._is_first = True

    def __call__(self, piece: Piece) -> Piece:
        """``piece`` with the text that is certain by now; with a finish where the text ends here."""
        if self._start is None:
            self._start = self._clock()
        self._held += piece.text
        ready, ended = "", False
        while not ended and (end := self._held.find("\n", 0 if self._is_first else 1)) >= 0:
            unit, self._held = self._held[:end], self._held[end:]
            text, ended = self._decide(unit, is_whole=True)
            ready += text
        if not ended and piece.finish is not None:
            text, ended = self._decide(self._held, is_whole=False)
            ready += text
        return replace(piece, text=ready, finish="stop" if ended else piece.finish)

    def _decide(self, unit: str, *, is_whole: bool) -> tuple[str, bool]:
        """What of a line is shown, and whether the text is over.

        Args:
            unit: the line, with the line feed in front of it but for the first.
            is_whole: whether a line feed follows.
        """
        is_first, self._is_first = self._is_first, False
        if is_first and self._rest:
            return _without_overlap(unit, self._rest), is_whole
        content = unit.removeprefix("\n").rstrip()
        whole = (self._line + content) if is_first else content
        if self._following is not None and whole == self._following:
            return "", True
        if not is_first and content and len(content) - len(content.lstrip()) < self._indent:
            return "", True
        late = self._seconds is not None and self._clock() - (self._start or 0.0) > self._seconds
        return unit, is_whole and late


def _without_overlap(text: str, rest: str) -> str:
    """``text`` without the end that ``rest`` begins with."""
    for length in range(min(len(text), len(rest)), 0, -1):
        if text.endswith(rest[:length]) and (length >= _LEAST_OVERLAP or not rest[:length].isalnum()):
            return text[:-length]
    return text
