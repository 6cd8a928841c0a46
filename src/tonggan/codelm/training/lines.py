"""Lines of real code to complete, drawn fairly, and how near an answer comes to what stood there.

It asks no model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tonggan.codelm.languages import PROSE, has_grammar, nodes_of, parse
from tonggan.errors import DataError
from tonggan.tasks.edit_distance import edit_distance

_LEAST_LETTERS = 4  # a line of brackets tells nothing
_LONGEST = 200  # characters; longer lines are data


@dataclass(frozen=True)
class Line:
    """A cursor in a file, and what followed it on its line.

    Attributes:
        name: of the file.
        language: of the file.
        text: the file without the rest of the cursor's line, as it is while one types.
        offset: of the cursor.
        target: what stood there.
    """

    name: str
    language: str
    text: str
    offset: int
    target: str


def is_code(language: str | None) -> bool:
    """Whether files of ``language`` hold lines to complete."""
    return has_grammar(language) and language not in PROSE


def draw_lines(
    files: Sequence[tuple[str, str, str]], *, count: int, generator: np.random.Generator, per_file: int = 4
) -> list[Line]:
    """At most ``count`` lines, in random order, no more than ``per_file`` of one file.

    Only code counts: no blank lines, no comments, no documentation or other texts, no lines of brackets alone. Half of
    the cursors stand at the first character of a line, after its indentation, the others inside it.

    Args:
        files: name, language and text of each, with plain line feeds; those that are no code are passed over.
        count: how many.
        generator: of the draws.
        per_file: so that long files are not all there is.
    """
    drawn: list[Line] = []
    for name, language, text in files:
        places = _places(text, language) if is_code(language) else []
        for place in generator.permutation(len(places))[:per_file]:
            start, end = places[place]
            offset = start if generator.random() < 0.5 else int(generator.integers(start + 1, end))
            rest = text[offset:end].rstrip()
            drawn.append(Line(name, language, text[:offset] + text[end:], offset, rest))
    return [drawn[place] for place in generator.permutation(len(drawn))[:count]]


def completed(line: Line, *, text: str, start: int, end: int) -> str:
    """What stands from the cursor to the end of its line, once ``text`` has replaced ``start`` to ``end``."""
    after = line.text[:start] + text + line.text[end:]
    return after[line.offset :].split("\n", 1)[0].rstrip()


def edit_similarity(one: str, other: str) -> float:
    """1 for equal texts, 0 where nothing is alike: one minus the edit distance over the longer length."""
    longer = max(len(one), len(other))
    return 1.0 - edit_distance(one, other) / longer if longer else 1.0


def _places(text: str, language: str) -> list[tuple[int, int]]:
    """Offsets of the first character and of the end of each line that is code."""
    try:
        texts = [node for node, _ in nodes_of(parse(text, language)) if _is_text(node.type)]
    except DataError:  # a text that no parser gets through is no code to complete
        return []
    places: list[tuple[int, int]] = []
    start = start_byte = number = end_of_texts = 0
    for line in text.split("\n"):
        code = line.strip()
        first = len(line) - len(line.lstrip())
        first_byte = start_byte + len(line[:first].encode("utf-8", "replace"))
        while number < len(texts) and texts[number].start_byte <= first_byte:
            end_of_texts = max(end_of_texts, texts[number].end_byte)
            number += 1
        is_line = sum(map(str.isalpha, code)) >= _LEAST_LETTERS and len(code) <= _LONGEST
        if is_line and first_byte >= end_of_texts:
            places.append((start + first, start + len(line.rstrip())))
        start += len(line) + 1
        start_byte += len(line.encode("utf-8", "replace")) + 1
    return places


def _is_text(kind: str) -> bool:
    return "comment" in kind or "string" in kind
