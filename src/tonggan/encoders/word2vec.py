"""Word vectors: learned from texts by skip-gram with negative sampling, written and read in the usual text format.

What a word is, who splits texts decides: here words are numbers. The same seed gives the same vectors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from ctypes import Structure, addressof, c_float, c_int, c_int32, c_int64, c_uint64, c_void_p
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from tonggan.config import Config
from tonggan.errors import ConfigError, DataError
from tonggan.files import whole_file
from tonggan.native import library

_LANES = 16  # as in native/source/skip_gram.c
_LAST_RATE = 1e-4
_FEWEST_PAIRS, _MOST_PAIRS = 16, 256
_SPACE = re.compile(r"\s")


class SkipGramConfig(Config):
    """How vectors are learned (Mikolov et al. 2013); the defaults are those of the authors' program."""

    vector_size: int = Field(default=100, ge=2)
    """Width of the vectors."""
    window: int = Field(default=5, ge=1)
    """Maximum context size on each side; the actual size is drawn from 1 to this for each word."""
    negatives: int = Field(default=5, ge=1)
    """Negative samples for each true pair, drawn in proportion to their frequency to the power of 0.75."""
    subsample: float = Field(default=1e-3, ge=0)
    """Words more frequent than this share of the corpus are dropped at random; 0 keeps all."""
    skip_gram_epochs: int = Field(default=10, ge=1)
    """Passes over the texts."""
    skip_gram_rate: float = Field(default=0.025, gt=0)
    """Initial learning rate; it decays linearly."""


class _Job(Structure):
    """``struct skip_gram`` of native/source/skip_gram.c."""

    _fields_: ClassVar = [
        ("inputs", c_void_p),
        ("outputs", c_void_p),
        ("width", c_int64),
        ("words", c_void_p),
        ("starts", c_void_p),
        ("num_sentences", c_int64),
        ("kept", c_void_p),
        ("alias_odds", c_void_p),
        ("aliases", c_void_p),
        ("num_words", c_int32),
        ("window", c_int32),
        ("negatives", c_int32),
        ("first_rate", c_float),
        ("last_rate", c_float),
        ("seed", c_uint64),
    ]


def learn_vectors(
    words: NDArray[np.int32],
    starts: NDArray[np.int64],
    *,
    num_words: int,
    config: SkipGramConfig,
    seed: int,
    compiled: bool | None = None,
    tell: Callable[[int], None] | None = None,
) -> NDArray[np.float32]:
    """``[num_words, vector_size]``: zeros for words that do not occur.

    Args:
        words: of all texts, one after the other.
        starts: ``[num_texts + 1]``: where each text begins among ``words``, and their end.
        num_words: numbers of words are below it.
        config: how.
        seed: of all that is drawn.
        compiled: by the compiled kernels, on one thread; None where there are some, else by PyTorch.
        tell: is called after each pass with its number from 1 on.

    Raises:
        DataError: there are no words.
    """
    if len(words) == 0:
        raise DataError(
            "word vectors", got="texts without a word", expected="words to learn from", remedy="Give it texts"
        )
    words, starts = np.ascontiguousarray(words, np.int32), np.ascontiguousarray(starts, np.int64)
    counts = np.bincount(words, minlength=num_words)
    width = -(-config.vector_size // _LANES) * _LANES
    random = np.random.default_rng(seed)
    inputs = np.zeros((num_words, width), np.float32)
    inputs[:, : config.vector_size] = random.uniform(-1, 1, (num_words, config.vector_size)) / config.vector_size
    inputs[counts == 0] = 0
    outputs = np.zeros_like(inputs)
    function = _compiled() if compiled in (None, True) else None
    kept = _kept(counts, config.subsample)
    rates = np.linspace(config.skip_gram_rate, _LAST_RATE, config.skip_gram_epochs + 1)
    if function is None:
        _learn_in_torch(words, starts, inputs, outputs, counts, kept, rates, config=config, seed=seed, tell=tell)
        return inputs[:, : config.vector_size].copy()
    odds, aliases = _alias_table(counts.astype(np.float64) ** 0.75)
    arrays = (inputs, outputs, words, starts, kept, odds, aliases)
    addresses = [each.ctypes.data for each in arrays]
    job = _Job(
        *addresses[:2], width, *addresses[2:4], len(starts) - 1, *addresses[4:], num_words, config.window,
        config.negatives, 0, 0, int(random.integers(1, 1 << 63)),
    )  # fmt: skip
    for epoch, (job.first_rate, job.last_rate) in enumerate(pairwise(rates), 1):
        if function(addressof(job)):
            raise MemoryError("no memory for the words of the longest text")
        if tell is not None:
            tell(epoch)
    return inputs[:, : config.vector_size].copy()


def _compiled() -> Callable[[int], int] | None:
    """The kernel, or None where no compiler was at hand, or what it made is of an older version."""
    if library.available() is not None:
        return None
    function = getattr(library.load(), "tonggan_skip_gram", None)
    if function is not None:
        function.restype, function.argtypes = c_int, [c_void_p]
    return function


def _kept(counts: NDArray[np.int64], subsample: float) -> NDArray[np.float32]:
    """The probability that an occurrence of each word counts."""
    if subsample == 0:
        return np.ones(len(counts), np.float32)
    shares = np.maximum(counts, 1) / counts.sum()
    kept: NDArray[np.float32] = np.minimum(1, (np.sqrt(shares / subsample) + 1) * (subsample / shares)).astype("f4")
    return kept


def _alias_table(weights: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Walker's table: drawing a place, and its alias with a probability of 1 - odds, draws in proportion to weights."""
    scaled = weights * (len(weights) / weights.sum())
    odds, aliases = np.ones(len(weights)), np.arange(len(weights), dtype=np.int32)
    small, large = list(np.flatnonzero(scaled < 1)), list(np.flatnonzero(scaled >= 1))
    while small and large:
        low, high = small.pop(), large[-1]
        odds[low], aliases[low] = scaled[low], high
        scaled[high] -= 1 - scaled[low]
        if scaled[high] < 1:
            small.append(large.pop())
    return odds.astype(np.float32), aliases


def _learn_in_torch(
    words: NDArray[np.int32],
    starts: NDArray[np.int64],
    inputs: NDArray[np.float32],
    outputs: NDArray[np.float32],
    counts: NDArray[np.int64],
    kept: NDArray[np.float32],
    rates: NDArray[np.float64],
    *,
    config: SkipGramConfig,
    seed: int,
    tell: Callable[[int], None] | None,
) -> None:
    """The same with pairs in batches, in place; much slower, for systems without a compiler."""
    random = np.random.default_rng(seed)
    own, other = torch.from_numpy(inputs), torch.from_numpy(outputs)
    ends = np.cumsum(counts**0.75)
    texts = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    # Changes of a word that occurs several times add up: with many more pairs than there are words it would diverge.
    size = min(_MOST_PAIRS, max(_FEWEST_PAIRS, int((counts > 0).sum()) // 4))
    for epoch in range(config.skip_gram_epochs):
        chosen = random.random(len(words)) < kept[words]
        pairs = _pairs(words[chosen], texts[chosen], config.window, random)
        for first in range(0, pairs.shape[1], size):
            rate = rates[epoch] + (rates[epoch + 1] - rates[epoch]) * first / pairs.shape[1]
            word, context = torch.from_numpy(pairs[:, first : first + size])
            drawn = ends.searchsorted(random.random((len(word), config.negatives)) * ends[-1], side="right")
            targets = torch.cat([context[:, None], torch.from_numpy(drawn)], dim=1)
            ours, theirs = own[word], other[targets]
            steps = -torch.bmm(theirs, ours[:, :, None]).squeeze(2).sigmoid_() * rate
            steps[:, 0] += rate
            steps[:, 1:].masked_fill_(targets[:, 1:] == context[:, None], 0)
            own.index_add_(0, word, torch.bmm(steps[:, None], theirs).squeeze(1))
            other.index_add_(0, targets.flatten(), (steps[:, :, None] * ours[:, None]).flatten(0, 1))
        if tell is not None:
            tell(epoch + 1)


def _pairs(
    words: NDArray[np.int32], texts: NDArray[np.int64], window: int, random: np.random.Generator
) -> NDArray[np.int64]:
    """``[2, N]``: words with a word of their context each, in random order."""
    reach = random.integers(1, window + 1, len(words))
    found = []
    for distance in range(1, window + 1):
        near = texts[distance:] == texts[:-distance]
        before, after = slice(None, -distance), slice(distance, None)
        for center, other in ((after, before), (before, after)):
            there = near & (reach[center] >= distance)
            found.append(np.stack([words[other][there], words[center][there]]).astype(np.int64))
    pairs = np.concatenate(found, axis=1)
    return pairs[:, random.permutation(pairs.shape[1])]


def write_vectors(path: Path, vectors: Mapping[str, NDArray[np.float32]]) -> None:
    """A first line with number and width, then a word and its vector a line, as word2vec's text format has them.

    Words with blanks in them, which the format cannot hold, get underscores for them.
    """
    width = len(next(iter(vectors.values()), ()))
    with whole_file(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f"{len(vectors)} {width}\n")
        for word, vector in vectors.items():
            file.write(f"{_SPACE.sub('_', word)} {' '.join(f'{value:.6g}' for value in vector.tolist())}\n")


def read_vectors(path: Path, *, wanted: Sequence[str] | None = None) -> dict[str, NDArray[np.float32]]:
    """The vectors of a file in word2vec's text format, or in that of GloVe, which lacks the first line.

    Args:
        path: of the file.
        wanted: only these words are kept.

    Raises:
        ConfigError: there is no such file.
        DataError: it is written in another way.
    """
    if not path.is_file():
        raise ConfigError(
            "word vectors",
            got=f"no file {path}",
            expected="a text file of word vectors",
            remedy="Correct the path, or leave it out to learn vectors",
        )
    kept, found, width = None if wanted is None else set(wanted), {}, None
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            word, *values = line.rstrip("\n ").split(" ")
            if number == 1 and len(values) == 1:
                width = int(values[0]) if values[0].isdigit() else None
                continue
            width = len(values) if width is None else width
            try:
                vector = np.array(values, dtype=np.float32)
            except ValueError:
                vector = np.empty(0, np.float32)
            if len(vector) != width or width == 0 or not np.isfinite(vector).all():
                raise DataError(
                    f"word vectors {path}, line {number}",
                    got=f"'{line[:40].rstrip()}'",
                    expected=f"a word and {width or 'some'} numbers",
                    remedy="Give it a file in word2vec's text format",
                )
            if kept is None or word in kept:
                found[word] = vector
    return found
