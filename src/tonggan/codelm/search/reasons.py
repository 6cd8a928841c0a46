"""Why a unit was found, for a person: that the question names it, and the lines that share words with the question."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from tonggan.codelm.units import Unit
from tonggan.codelm.words import places_of, symbol_of

_MOST_LINES = 3  # that are shown of a unit


@dataclass(frozen=True)
class Reason:
    """One reason.

    Attributes:
        kind: the question names the unit, shares words with a line of it, or is only close to it in meaning.
        words: as they are written in the unit; empty for ``meaning``.
        line: of the file; None where the text is no line of it.
        text: that line; what the unit says of itself where no line shares a word.
        marks: start and end of each word in ``text``.
    """

    kind: Literal["symbol", "words", "meaning"]
    words: tuple[str, ...] = ()
    line: int | None = None
    text: str = ""
    marks: tuple[tuple[int, int], ...] = ()

    def __str__(self) -> str:
        if self.kind == "meaning":
            return "close in meaning"
        where = f", line {self.line}" if self.line is not None else ""
        said = "is named" if self.kind == "symbol" else "words"
        return f"{said} {', '.join(self.words)}{where}"


def reasons_for(unit: Unit, *, words: Collection[str], symbols: Collection[str]) -> tuple[Reason, ...]:
    """The reasons that can be shown for ``unit``: its name, then lines in their order; ``meaning`` where there is none.

    Args:
        unit: that was found.
        words: of the question and how else they are written, as ``code_words`` gives them.
        symbols: that the question may name.
    """
    reasons = []
    if unit.kind in ("function", "class") and symbol_of(unit.name) in symbols:
        reasons.append(Reason("symbol", (unit.name,)))
    reasons += _lines_with(words, unit)
    return tuple(reasons) or (Reason("meaning", text=(unit.docstring or unit.signature).partition("\n")[0]),)


def _lines_with(words: Collection[str], unit: Unit) -> list[Reason]:
    """The lines that hold the most of ``words`` which no line chosen before them holds."""
    # What is said above a definition, as in JavaScript and Go, is no part of its text: those lines are not counted.
    said = [(None, line) for line in unit.docstring.split("\n") if line.strip() and line.strip() not in unit.text]
    lines = [*enumerate(unit.text.split("\n")), *said]
    places = [list(places_of(words, line)) for _, line in lines]
    missing = {word for found in places for *_, word in found}
    chosen: list[int] = []
    while missing and len(chosen) < _MOST_LINES:
        gains = [len(missing & {word for *_, word in found}) for found in places]
        best = gains.index(max(gains))
        chosen.append(best)
        missing -= {word for *_, word in places[best]}
    # The outline of a file leaves lines out, so its lines cannot be counted.
    first = None if unit.kind in ("file", "commit") else unit.start_line
    reasons = []
    for place in sorted(chosen):
        number, text = lines[place]
        marks = tuple((start, end) for start, end, _ in places[place])
        found = tuple(dict.fromkeys(text[start:end] for start, end in marks))
        line = None if number is None or first is None else first + number
        reasons.append(Reason("words", found, line, text, marks))
    return reasons
