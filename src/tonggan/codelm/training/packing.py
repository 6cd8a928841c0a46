"""From files to rows of token ids: the files of a repository one after another, each under its name.

A row never holds two repositories, so no attention crosses from one to another; a row that is not full is shorter,
which costs nothing where padding is left out of the products. It draws the order and the cuts, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tonggan.codelm.languages import title_line
from tonggan.codelm.training.fill_in_the_middle import FillInTheMiddle
from tonggan.language.tokenizer import Tokenizer

if TYPE_CHECKING:
    from tonggan.codelm.corpus.corpus import Corpus

_SHELF_ROWS = 8  # of tokens in neighboring files that stay together; shelves come in random order
_SHUFFLED_ROWS = 64
_LEAST_SHARE = 0.25  # of a row that must be left for a file to begin in it that does not fit
_CHARACTERS_OF_A_TOKEN = 3.5  # a first guess
_MARKS = 12  # three sentinels, the end of a text, and what two cuts inside of tokens cost


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

    def rows(self, corpus: Corpus, numbers: Sequence[int], *, generator: np.random.Generator) -> Iterator[list[int]]:
        """The documents ``numbers`` of ``corpus`` once, in random order but for neighbors in a repository."""
        waiting: list[list[int]] = []
        shelves = self._shelves(corpus, numbers)
        for place in generator.permutation(len(shelves)):
            for row in self._pack(corpus, shelves[place], generator=generator):
                waiting.append(row)
                if len(waiting) == _SHUFFLED_ROWS:
                    yield waiting.pop(int(generator.integers(_SHUFFLED_ROWS)))
        for place in generator.permutation(len(waiting)):
            yield waiting[place]

    def _shelves(self, corpus: Corpus, numbers: Sequence[int]) -> list[list[int]]:
        """Neighbors in one repository, about as much as fills some rows."""
        shelves: list[list[int]] = []
        size = 0
        for number in numbers:
            document = corpus.documents[number]
            is_other = not shelves or corpus.documents[shelves[-1][-1]].repository != document.repository
            if is_other or size + document.length > _SHELF_ROWS * self.length:
                shelves.append([])
                size = 0
            shelves[-1].append(number)
            size += document.length
        return shelves

    def _pack(self, corpus: Corpus, numbers: Sequence[int], *, generator: np.random.Generator) -> Iterator[list[int]]:
        row: list[int] = []
        for number in numbers:
            document = corpus.documents[number]
            opening, rest = title_line(document.name, document.language), corpus.text(number)
            while rest:
                room = self.length - len(row) - len(self.tokenizer.encode(opening)) - _MARKS
                count = self._fitting(rest, room=room)
                if row and (room < 1 or (count < len(rest) and room < _LEAST_SHARE * self.length)):
                    yield row
                    row = []
                    continue
                piece, rest = rest[:count], rest[count:]
                row += self._encode(piece, opening=opening, is_last=not rest, generator=generator)
                row = row[: self.length]  # the cuts may have cost more tokens than was thought
        if row:
            yield row

    def _encode(self, text: str, *, opening: str, is_last: bool, generator: np.random.Generator) -> list[int]:
        cut = None if self.fill is None else self.fill.encode(text, opening=opening, generator=generator)
        if cut is not None:
            return cut
        return self.tokenizer.encode(opening + text) + ([self.tokenizer.ends[0]] if is_last else [])

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
