"""Tunes a text embedder on pairs of questions and code, and keeps the result only where it finds unseen code better.

It reads no files and ranks nothing but its own held-out pairs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from tonggan.alignment.contrastive import Contrastive, ContrastiveConfig
from tonggan.codelm.search_pairs import Pair
from tonggan.config import Config
from tonggan.errors import DataError
from tonggan.layers.precision import multiplies_in_bf16
from tonggan.models.text_embedder import TextEmbedder, pad_ids
from tonggan.progress import Progress
from tonggan.training.budget import Budget
from tonggan.training.config import TrainingConfig
from tonggan.training.interruption import stop_request
from tonggan.training.optimizer import build_optimizer, learning_rate_at

_MIN_PAIRS = 100
_MIN_GROUPS = 10
_MAX_HELD_OUT = 500  # pairs that are embedded to measure; more would take time from training


class SearchTuningConfig(Config):
    """How an embedder is tuned; the defaults fit 10 minutes on 2 cores."""

    time_limit: float | None = Field(default=600.0, gt=0)
    """Seconds for everything but reading the pairs; null for as many as the epochs take."""
    epochs: float = Field(default=3.0, gt=0)
    """Times that every pair is seen, at most."""
    batch_size: int = Field(default=64, ge=2)
    """Pairs of a step; each has the others' codes as wrong answers."""
    max_tokens: int = Field(default=128, ge=8)
    """Tokens of a code that are read in training; beyond, only its time grows."""
    learning_rate: float = Field(default=5e-5, gt=0)
    """The highest; it rises during the first tenth and falls to zero."""
    blend: float = Field(default=0.5, gt=0, le=1)
    """The share of what was learned; the rest are the given weights. Half of it keeps most of what docstrings gain and
    loses nothing on questions of another kind (Wortsman et al. 2022)."""
    contrastive: ContrastiveConfig = ContrastiveConfig()
    """The objective."""
    held_out: float = Field(default=0.05, gt=0, lt=0.4)
    """Share of the pairs that weights are chosen by, and again as many that give the verdict; of files of their own."""
    num_validations: int = Field(default=6, ge=1)
    """How often weights are looked at on the way."""
    seed: int = Field(default=0, ge=0)
    """Of the split and the order of pairs."""


@dataclass(frozen=True)
class TunedSearch:
    """What came of it.

    Attributes:
        embedder: the tuned one where it is better, else the one that was given.
        is_better: whether it is the tuned one.
        before: mean reciprocal rank of the right code for unseen questions, with the embedder that was given.
        after: the same with the tuned one.
        num_pairs: that were trained on.
        num_held_out: that gave the verdict, ranked among one another.
        num_steps: of the optimizer.
        is_interrupted: whether the user stopped it before its end.
    """

    embedder: TextEmbedder
    is_better: bool
    before: float
    after: float
    num_pairs: int
    num_held_out: int
    num_steps: int
    is_interrupted: bool


def tune(
    embedder: TextEmbedder,
    pairs: Sequence[Pair],
    *,
    config: SearchTuningConfig | None = None,
    progress: Progress | None = None,
) -> TunedSearch:
    """The embedder after training on ``pairs``, if it finds code of unseen packages or files better than before.

    Ctrl-C ends the training early: what was best until then is judged as at the end.

    Raises:
        DataError: the pairs are too few, or of too few files, to learn from and to judge by.
    """
    config = config or SearchTuningConfig()
    progress = progress or Progress()
    budget = Budget(config.time_limit)
    training, validation, test = _split(pairs, config)
    before = mean_reciprocal_rank(embedder, test)
    budget.reserve(budget.elapsed)  # the verdict on the tuned embedder takes as long again
    with stop_request() as stop:
        tuning = _Tuning(embedder, training, validation, config=config, budget=budget, progress=progress)
        while not stop.received and tuning.share_done < 1:
            tuning.step()
        tuned = tuning.best()
    after = mean_reciprocal_rank(tuned, test)
    is_better = after > before
    return TunedSearch(
        embedder=tuned if is_better else embedder,
        is_better=is_better,
        before=before,
        after=after,
        num_pairs=len(training),
        num_held_out=len(test),
        num_steps=tuning.num_steps,
        is_interrupted=stop.received,
    )


def mean_reciprocal_rank(embedder: TextEmbedder, pairs: Sequence[Pair]) -> float:
    """The mean over the pairs of 1 / the rank of a question's code among the codes of all pairs."""
    questions = embedder.embed([pair.question for pair in pairs])
    scores = questions @ embedder.embed([pair.code for pair in pairs]).T
    ranks = (scores >= np.diagonal(scores)[:, None]).sum(axis=1)
    return float((1 / ranks).mean())


class _Tuning:
    """Weights on their way, and the best of them so far."""

    def __init__(
        self,
        embedder: TextEmbedder,
        training: Sequence[Pair],
        validation: Sequence[Pair],
        *,
        config: SearchTuningConfig,
        budget: Budget,
        progress: Progress,
    ) -> None:
        self._given = embedder
        self._encoder = deepcopy(embedder.encoder).float()
        self._training, self._validation = training, validation
        self._config, self._budget, self._progress = config, budget, progress
        self._loss: Contrastive = config.contrastive.build().to(self._encoder.device)
        self._rate = TrainingConfig(learning_rate=config.learning_rate, weight_decay=0.01, warmup=0.1)
        self._optimizer = build_optimizer(torch.nn.ModuleList([self._encoder, self._loss]), self._rate)
        self._generator = np.random.default_rng(config.seed)
        self._order: list[int] = []
        self.num_steps = 0
        self._num_looks = 0
        self._best: TextEmbedder | None = None
        self._best_score = mean_reciprocal_rank(embedder, validation)

    @property
    def share_done(self) -> float:
        """0 to 1, of the steps or of the time, whichever ends first."""
        total = max(1, math.ceil(self._config.epochs * len(self._training) / self._config.batch_size))
        return min(1.0, max(self.num_steps / total, self._budget.elapsed / max(self._budget.end, 1e-9)))

    def step(self) -> None:
        """Learn from the next batch, and now and then look whether it helped."""
        size = min(self._config.batch_size, len(self._training))
        if len(self._order) < size:
            self._order = self._generator.permutation(len(self._training)).tolist()
        batch, self._order = [self._training[row] for row in self._order[:size]], self._order[size:]
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate_at(self.share_done, self._rate)
        loss = self._loss(
            self._vectors([pair.question for pair in batch]),
            self._vectors([pair.code for pair in batch]),
            matches=_same_names(batch).to(self._encoder.device),
        )
        self._optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._encoder.parameters(), 1.0)
        self._optimizer.step()
        self.num_steps += 1
        note = f"loss {loss.item():.3f}, best MRR {self._best_score:.3f}"
        self._progress.update("tune", done=self.share_done, total=1.0, note=note)
        if self.share_done >= (self._num_looks + 1) / self._config.num_validations:
            self._look()

    def best(self) -> TextEmbedder:
        """The embedder with the best weights so far: the given one where none were better on validation."""
        return self._given if self._best is None else self._best

    def _look(self) -> None:
        self._num_looks += 1
        blended = self._blended()
        score = mean_reciprocal_rank(blended, self._validation)
        if score > self._best_score:
            self._best, self._best_score = blended, score

    def _blended(self) -> TextEmbedder:
        """An embedder with weights between the given ones and those of now."""
        given = self._given
        encoder = deepcopy(self._encoder).eval()
        with torch.no_grad():
            for weight, former in zip(encoder.parameters(), given.encoder.parameters(), strict=True):
                weight.lerp_(former.float(), 1 - self._config.blend)
        return TextEmbedder(encoder, given.tokenizer, max_tokens=given.max_tokens, precision=given.precision)

    def _vectors(self, texts: Sequence[str]) -> Tensor:
        """``[B, D]``, through which gradients pass."""
        limit = min(self._config.max_tokens, self._given.max_tokens)
        rows = [encoding.ids for encoding in self._given.tokenizer.encode_batch_fast(list(texts))]
        arrays = pad_ids([row if len(row) <= limit else [*row[: limit - 1], row[-1]] for row in rows])
        device = self._encoder.device
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=multiplies_in_bf16(device)):
            tokens = self._encoder(arrays.to(device))
        mean: Tensor = tokens.mean().float()
        return mean


def _same_names(batch: Sequence[Pair]) -> Tensor:
    """``[B, B]``, True where functions have one name, as a method of many classes: they answer the same question."""
    return torch.tensor([[one.name == other.name for other in batch] for one in batch])


def _split(pairs: Sequence[Pair], config: SearchTuningConfig) -> tuple[list[Pair], list[Pair], list[Pair]]:
    """Pairs to train on, to choose by and to judge by; no package or file is in two of them."""
    groups = _groups(pairs)
    generator = np.random.default_rng(config.seed)
    sizes = Counter(groups)
    names = generator.permutation(sorted(sizes)).tolist()
    parts: list[list[Pair]] = []
    for _ in range(2):
        chosen: set[str] = set()
        while names and sum(sizes[name] for name in chosen) < config.held_out * len(pairs):
            chosen.add(names.pop())
        held = [pair for pair, name in zip(pairs, groups, strict=True) if name in chosen]
        parts.append([held[row] for row in generator.permutation(len(held))[:_MAX_HELD_OUT]])
    left = set(names)
    training = [pair for pair, name in zip(pairs, groups, strict=True) if name in left]
    if len(pairs) < _MIN_PAIRS or len(sizes) < _MIN_GROUPS or not training:
        raise DataError(
            "tuning of the search",
            got=f"{len(pairs)} functions with a docstring in {len(sizes)} files",
            expected=f"at least {_MIN_PAIRS} in {_MIN_GROUPS} files",
            remedy="Name more code, e.g. the folder of the installed packages",
        )
    return training, parts[0], parts[1]


def _groups(pairs: Sequence[Pair]) -> list[str]:
    """The package of each pair: the folder nearest to the top of which there are several; else its file."""
    parts = [pair.path.split("/") for pair in pairs]
    deepest = max((len(part) for part in parts), default=0)
    for depth in range(1, deepest):
        names = ["/".join(part[:depth]) for part in parts]
        if len(set(names)) >= 2 * _MIN_GROUPS:
            return names
    return [pair.path for pair in pairs]
