"""From files to rows of token ids, the files of a repository one after another, each under its name; and to batches.

A row never holds two repositories, so no attention crosses from one to another; a row that is not full is shorter,
which costs nothing where padding is left out of the products. It draws the order and the cuts, and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from tonggan.codelm.training.fill_in_the_middle import FillInTheMiddle
from tonggan.grammars import title_line
from tonggan.language.tokenizer import Tokenizer

if TYPE_CHECKING:
    from tonggan.codelm.corpus.corpus import Corpus

from tonggan.codelm.training.learner import CODE, Learner
from tonggan.errors import ConfigError
from tonggan.models.text_embedder import pad_ids
from tonggan.tokens import Batch
from tonggan.training.budget import describe_bytes, peak_memory

_SHELF_ROWS = 8  # of tokens in neighboring files that stay together; shelves come in random order
_SHUFFLED_ROWS = 64
_LEAST_SHARE = 0.25  # of a row that must be left for a file to begin in it that does not fit
_CHARACTERS_OF_A_TOKEN = 3.5  # a first guess
_MARKS = 12  # three sentinels, the end of a text, and what two cuts inside of tokens cost
_TOKENS_AT_ONCE = {"cpu": 2048, "cuda": 32768}  # more are no faster
_LEAST_TOKENS_AT_ONCE = 128


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


class CodeBatches:
    """The documents ``numbers`` of a corpus as rows of token ids; which rows there are only packing tells.

    Args:
        packer: makes the rows.
        corpus: where the documents are.
        numbers: of the documents.
        tokens_at_once: of a batch, padding included.
        window: tokens that are brought into an order by length, so that little is padded.
        seed: of the order.
    """

    def __init__(
        self,
        packer: Packer,
        corpus: Corpus,
        numbers: Sequence[int],
        *,
        tokens_at_once: int,
        window: int,
        seed: int,
    ) -> None:
        self.packer, self.corpus, self.numbers = packer, corpus, numbers
        self.tokens_at_once, self.window, self.seed = tokens_at_once, window, seed
        self.num_rows = len(numbers)
        self.num_tokens = sum(corpus.documents[number].length for number in numbers)

    def __len__(self) -> int:
        return max(1, math.ceil(self.num_tokens / self.tokens_at_once))

    def epoch(self, number: int, *, start: int = 0) -> Iterator[Batch]:
        """The batches of epoch ``number`` from batch ``start`` on."""
        generator = np.random.default_rng([self.seed, number])
        done, made = 0, 0
        for rows in self._windows(generator):
            for part in _parts(rows, tokens_at_once=self.tokens_at_once):
                if made >= start:
                    yield Batch(torch.arange(done, done + len(part)), {CODE: pad_ids(part)})
                done, made = done + len(part), made + 1

    def numbers_of(self, rows: NDArray[np.int64]) -> list[int]:
        """Rows as they come in the epoch, from 1."""
        counted: list[int] = (rows + 1).tolist()
        return counted

    def _windows(self, generator: np.random.Generator) -> Iterator[list[list[int]]]:
        window: list[list[int]] = []
        for row in self.packer.rows(self.corpus, self.numbers, generator=generator):
            if len(row) >= 2:
                window.append(row)
            if sum(map(len, window)) >= self.window:
                yield window
                window = []
        if window:
            yield window


def _parts(rows: Sequence[list[int]], *, tokens_at_once: int) -> Iterator[list[list[int]]]:
    """Rows of like length that are at most ``tokens_at_once``, padded to the longest; at least one row each."""
    part: list[list[int]] = []
    for row in sorted(rows, key=len):
        if part and (len(part) + 1) * len(row) > tokens_at_once:
            yield part
            part = []
        part.append(row)
    yield part


def tokens_at_once(learner: Learner, *, length: int, max_memory: int | None) -> int:
    """As many as ``max_memory`` bytes allow and are of use, for rows of ``length`` tokens.

    Raises:
        ConfigError: there is not room for a row.
    """
    useful = max(_TOKENS_AT_ONCE[learner.device.type], length)
    if max_memory is None:
        return useful
    fixed, each = estimate_memory(learner)
    room = int((max_memory - fixed) / each)
    least = max(_LEAST_TOKENS_AT_ONCE, length)
    if room < least:
        raise ConfigError(
            "memory of the training",
            got=describe_bytes(max_memory),
            expected=f"about {describe_bytes(int(fixed + each * least))} for a row of {length} tokens",
            remedy="Allow more with --max-memory, or train shorter rows with --set length=256",
        )
    return min(useful, room)


def estimate_memory(learner: Learner) -> tuple[int, int]:
    """Bytes that a step takes whatever its size, and bytes for each token, somewhat more than was ever measured.

    What the process holds already counts; gradients and the optimizer's two moments come on top, and logits.
    """
    config = learner.model.config
    learned = sum(tensor.numel() for tensor in learner.learned().values())
    logits = 512 * config.vocab_size * 16
    each = config.num_hidden_layers * (100 * config.hidden_size + 16 * config.intermediate_size)
    return peak_memory(learner.device) + 12 * learned + logits, each
