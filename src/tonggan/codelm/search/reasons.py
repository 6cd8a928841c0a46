"""Why a unit was found, for a person: which words it shares with the question, and the line where most of them are."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from tonggan.codelm.units import Unit
from tonggan.codelm.words import places_of, symbol_of

_MOST_WORDS = 6  # that a reason names


@dataclass(frozen=True)
class Reason:
    """One reason.

    Attributes:
        kind: the question names it, shares words with it, or only means the same.
        words: as they are written in the unit; empty for ``meaning``.
        line: of the file, where most of the words are; None where there is none to show.
        text: of that line.
        marks: start and end of each word in ``text``.
    """

    kind: Literal["symbol", "words", "meaning"]
    words: tuple[str, ...] = ()
    line: int | None = None
    text: str = ""
    marks: tuple[tuple[int, int], ...] = ()

    def __str__(self) -> str:
        if self.kind == "meaning":
            return "means the like"
        where = f", line {self.line}" if self.line is not None else ""
        said = "is named" if self.kind == "symbol" else "words"
        return f"{said} {', '.join(self.words)}{where}"


def reasons_for(unit: Unit, *, words: Collection[str], symbols: Collection[str]) -> tuple[Reason, ...]:
    """The reasons that can be shown for ``unit``, the weightiest first; ``meaning`` where there is no other.

    Args:
        unit: that was found.
        words: of the question and how else they are written, as ``code_words`` gives them.
        symbols: that the question may name.
    """
    reasons = []
    if unit.kind in ("function", "class") and symbol_of(unit.name) in symbols:
        reasons.append(Reason("symbol", (unit.name,)))
    shared = _shared_words(unit, words)
    if shared is not None:
        reasons.append(shared)
    return tuple(reasons) or (Reason("meaning"),)


def _shared_words(unit: Unit, words: Collection[str]) -> Reason | None:
    written: dict[str, str] = {}
    best: tuple[int, int | None, str, tuple[tuple[int, int], ...]] = (0, None, "", ())
    # What is said above a definition, as in JavaScript and Go, is no part of its text: those lines are not counted.
    said = [(None, line) for line in unit.docstring.split("\n")]
    for number, line in [*enumerate(unit.text.split("\n")), *said]:
        places = list(places_of(words, line))
        for start, end, word in places:
            written.setdefault(word, line[start:end])
        distinct = len({word for *_, word in places})
        if distinct > best[0]:
            best = (distinct, number, line, tuple((start, end) for start, end, _ in places))
    if not written:
        return None
    _, number, text, marks = best
    # The outline of a file leaves lines out, so its lines cannot be counted.
    line_number = None if number is None or unit.kind in ("file", "commit") else unit.start_line + number
    return Reason("words", tuple(written.values())[:_MOST_WORDS], line_number, text, marks)
