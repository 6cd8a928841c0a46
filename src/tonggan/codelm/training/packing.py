"""From files to rows of token ids: the files of a repository one after another, each under its name.

A row never holds two repositories, so no attention crosses from one to another; a row that is not full is shorter,
which costs nothing where padding is left out of the products. It draws the order and the cuts, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tonggan.codelm.languages import comment_of
from tonggan.codelm.training.fill_in_the_middle import FillInTheMiddle
from tonggan.language.tokenizer import Tokenizer

_SHELF_ROWS = 8  # of tokens in neighboring files that stay together; shelves come in random order
_SHUFFLED_ROWS = 64
_LEAST_SHARE = 0.25  # of a row that must be left for a file to begin in it that does not fit
_CHARACTERS_OF_A_TOKEN = 3.5  # a first guess
_MARKS = 12  # three sentinels, the end of a text, and what two cuts inside of tokens cost


@dataclass(frozen=True)
class File:
    """A file of a corpus.

    Attributes:
        repository: what it belongs to.
        name: its path there.
        language: as ``languages.language_of`` names it; None if unknown.
        text: all of it.
    """

    repository: str
    name: str
    language: str | None
    text: str


def header(name: str, language: str | None) -> str:
    """The line that says which file follows: its name in a comment."""
    return f"{comment_of(language) or '#'} {name}\n"


class Packer:
    """Rows of at most ``length`` token ids.

    Args:
        tokenizer: of the model.
        length: of a row.
        fill: cuts pieces of files for fill-in-the-middle; None leaves all as they are.
    """

    def __init__(self, tokenizer: Tokenizer, *, length: int, fill: FillInTheMiddle | None) -> None:
        self.tokenizer = tokenizer
        self.length = length
        self.fill = fill

    def rows(self, files: Sequence[File], *, generator: np.random.Generator) -> Iterator[list[int]]:
        """All of ``files`` once; files of one repository stand side by side in it."""
        waiting: list[list[int]] = []
        shelves = self._shelves(files)
        for number in generator.permutation(len(shelves)):
            for row in self._pack(shelves[number], generator=generator):
                waiting.append(row)
                if len(waiting) == _SHUFFLED_ROWS:
                    yield waiting.pop(int(generator.integers(_SHUFFLED_ROWS)))
        for number in generator.permutation(len(waiting)):
            yield waiting[number]

    def _shelves(self, files: Sequence[File]) -> list[list[File]]:
        """Neighbors in one repository, about as much as fills some rows."""
        room = _SHELF_ROWS * self.length * _CHARACTERS_OF_A_TOKEN
        shelves: list[list[File]] = []
        size = 0
        for file in files:
            if not shelves or shelves[-1][-1].repository != file.repository or size + len(file.text) > room:
                shelves.append([])
                size = 0
            shelves[-1].append(file)
            size += len(file.text)
        return shelves

    def _pack(self, files: Sequence[File], *, generator: np.random.Generator) -> Iterator[list[int]]:
        row: list[int] = []
        for file in files:
            rest = file.text
            while rest:
                opening = self.tokenizer.encode(header(file.name, file.language))[: self.length // 2]
                room = self.length - len(row) - len(opening) - _MARKS
                count = self._fitting(rest, room=room)
                if row and (room < 1 or (count < len(rest) and room < _LEAST_SHARE * self.length)):
                    yield row
                    row = []
                    continue
                row += [*opening, *self._encode(rest[:count], is_last=count == len(rest), generator=generator)]
                rest = rest[count:]
                if len(row) > self.length:
                    row = row[: self.length]  # the cuts have cost more tokens than was thought
        if row:
            yield row

    def _encode(self, text: str, *, is_last: bool, generator: np.random.Generator) -> list[int]:
        cut = None if self.fill is None else self.fill.encode(text, generator=generator)
        if cut is not None:
            return cut
        return self.tokenizer.encode(text) + ([self.tokenizer.ends[0]] if is_last else [])

    def _fitting(self, text: str, *, room: int) -> int:
        """How many characters of ``text`` take at most ``room`` tokens, whole lines where one fits; at least one."""
        count = max(1, min(len(text), int(room * _CHARACTERS_OF_A_TOKEN)))
        while True:
            if count < len(text):
                count = text.rfind("\n", 0, count) + 1 or count
            taken = len(self.tokenizer.encode(text[:count]))
            if taken <= room or count == 1:
                return count
            count = max(1, min(count - 1, int(0.95 * count * max(room, 1) / taken)))
