"""Functions with their rewrites as tensors: words of tokens, edges, and what each rewrite would put where, and why."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tonggan.codelm.review.learned.code_graph import CodeGraph
from tonggan.codelm.review.learned.functions import Function
from tonggan.codelm.review.learned.neighbors import evidence_of
from tonggan.codelm.review.learned.rewrites import LABELS, REWRITE_KINDS, Rewrite, rewrites_of
from tonggan.codelm.review.learned.surroundings import ALONE, Surroundings
from tonggan.codelm.review.learned.tokens import words_of

_SHARED = 256  # places in the vocabulary that all words share that are not in it
_LONGEST_TOKEN = 20  # characters a token has at most, on average, where a function is worth parsing
_MOST_KEPT = 200_000  # tokens whose numbers are not looked up again
_LABELS = {label: number for number, label in enumerate(LABELS)}
_KINDS = {kind: number for number, kind in enumerate(REWRITE_KINDS)}


class Vocabulary:
    """Numbers of words; those that it does not hold share some places by their checksum.

    Args:
        words: that it holds.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)
        self._numbers = {word: _SHARED + number for number, word in enumerate(self.words)}
        self._tokens: dict[str, tuple[int, ...]] = {}

    def __len__(self) -> int:
        return _SHARED + len(self.words)

    def numbers(self, text: str) -> tuple[int, ...]:
        """The places of the words of a token."""
        found = self._tokens.get(text)
        if found is None:
            found = tuple(self.number(word) for word in words_of(text))
            if len(self._tokens) < _MOST_KEPT:
                self._tokens[text] = found
        return found

    def number(self, word: str) -> int:
        """The place of ``word``."""
        known = self._numbers.get(word)
        return zlib.crc32(word.encode("utf-8", "replace")) % _SHARED if known is None else known

    @classmethod
    def of(cls, counts: Mapping[str, int], *, size: int) -> Vocabulary:
        """The most frequent of words, at most ``size``, by how often each was seen."""
        return cls([word for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:size]])


class Example(NamedTuple):
    """A function and its rewrites.

    Attributes:
        graph: of the function.
        rewrites: of it that are scored.
        evidence: int64 ``[R, 4]``, what the rest of the file says of each rewrite, in ``NUM_EVIDENCES``.
        around: the rest of the file.
    """

    graph: CodeGraph
    rewrites: list[Rewrite]
    evidence: NDArray[np.int64]
    around: Surroundings

    @classmethod
    def of(cls, text: str, around: Surroundings = ALONE) -> Example:
        """That of a function's source.

        Raises:
            SyntaxError: it is no function.
        """
        graph = CodeGraph(text, around.parameters)
        rewrites = rewrites_of(graph, around.attributes)
        return cls(graph, rewrites, evidence_of(graph, rewrites, around), around)


def read_example(function: Function, *, max_tokens: int) -> Example | None:
    """That of a function; None where it cannot be parsed, is longer, or nothing in it can be rewritten."""
    if len(function.text) > _LONGEST_TOKEN * max_tokens:
        return None
    try:
        example = Example.of(function.text, function.around)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return example if example.rewrites and len(example.graph.tokens) <= max_tokens else None


@dataclass(frozen=True)
class ExampleBatch:
    """B functions of at most L tokens with N rewrites in all.

    Attributes:
        words: int64 ``[W]``, the words of all tokens, one token after the other.
        starts: int64 ``[T]``, where among them each of the T real tokens begins.
        mask: bool ``[B, L]``, True where a token is real.
        edges: int64 ``[E, 4]``: function, from, to, kind.
        rows: int64 ``[N]``, the function of each rewrite.
        columns: int64 ``[N]``, the how manieth of its function it is.
        tokens: int64 ``[N]``, where it is told.
        labels: int64 ``[N]``, what comes in its place, in ``LABELS``.
        kinds: int64 ``[N]``, in ``REWRITE_KINDS``.
        sources: int64 ``[N, 2]``, tokens that say what comes in its place.
        has_sources: bool ``[N]``, whether any do.
        evidence: int64 ``[N, 4]``, in ``NUM_EVIDENCES``, of each of the four in numbers of its own.
        new_words: int64 ``[M]``, the words of the names that come in the place of others.
        new_starts: int64 ``[N]``, where among them those of each rewrite begin.
    """

    words: Tensor
    starts: Tensor
    mask: Tensor
    edges: Tensor
    rows: Tensor
    columns: Tensor
    tokens: Tensor
    labels: Tensor
    kinds: Tensor
    sources: Tensor
    has_sources: Tensor
    evidence: Tensor
    new_words: Tensor
    new_starts: Tensor


def collate(examples: Sequence[Example], vocabulary: Vocabulary) -> ExampleBatch:
    """``examples`` as one batch; each has at least one token."""
    words: list[int] = []
    starts: list[int] = []
    edges = []
    for row, example in enumerate(examples):
        for token in example.graph.tokens:
            starts.append(len(words))
            words.extend(vocabulary.numbers(token.text))
        own = torch.from_numpy(example.graph.edges)
        edges.append(torch.cat([torch.full((len(own), 1), row), own], dim=1))
    lengths = torch.tensor([len(example.graph.tokens) for example in examples])
    rewrites = [
        (row, column, rewrite) for row, each in enumerate(examples) for column, rewrite in enumerate(each.rewrites)
    ]
    numbers = [
        [row, column, each.token, _LABELS[each.label], _KINDS[each.kind], *_two(each.sources)]
        for row, column, each in rewrites
    ]
    new_words: list[int] = []
    new_starts: list[int] = []
    for _, _, each in rewrites:
        new_starts.append(len(new_words))
        if each.kind in ("variable", "attribute"):
            new_words.extend(vocabulary.numbers(each.edits[0][2]))
    table = torch.tensor(numbers, dtype=torch.int64).reshape(-1, 7)
    return ExampleBatch(
        words=torch.tensor(words),
        starts=torch.tensor(starts),
        mask=torch.arange(int(lengths.max())) < lengths[:, None],
        edges=torch.cat(edges),
        rows=table[:, 0],
        columns=table[:, 1],
        tokens=table[:, 2],
        labels=table[:, 3],
        kinds=table[:, 4],
        sources=table[:, 5:],
        has_sources=torch.tensor([bool(each.sources) for *_, each in rewrites], dtype=torch.bool),
        evidence=torch.from_numpy(np.concatenate([example.evidence for example in examples])),
        new_words=torch.tensor(new_words, dtype=torch.int64),
        new_starts=torch.tensor(new_starts, dtype=torch.int64),
    )


def _two(sources: Sequence[int]) -> tuple[int, int]:
    return (sources[0], sources[-1]) if sources else (0, 0)
