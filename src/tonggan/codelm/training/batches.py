"""Batches of packed rows of a corpus: as many tokens as go through the model at once, of rows of like length."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from tonggan.codelm.training.learner import CODE, Learner
from tonggan.codelm.training.packing import Packer
from tonggan.errors import ConfigError
from tonggan.models.text_embedder import pad_ids
from tonggan.tokens import Batch
from tonggan.training.budget import describe_bytes, peak_memory

if TYPE_CHECKING:
    from tonggan.codelm.corpus.corpus import Corpus

_TOKENS_AT_ONCE = {"cpu": 2048, "cuda": 32768}  # more are no faster
_LEAST_TOKENS_AT_ONCE = 128


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
