"""Tunes a text embedder on pairs of questions and code, and keeps the result only where it finds unseen code better.

It reads no files and ranks nothing but its own held-out pairs.
"""

from __future__ import annotations

import hashlib
import math
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from tonggan.alignment import AlignmentConfig, ContrastiveConfig, PairShape
from tonggan.alignment.gradient_cache import in_pieces
from tonggan.codelm.search_pairs import Pair
from tonggan.config import Config
from tonggan.errors import DataError, InterruptedRunError
from tonggan.layers.precision import in_float32
from tonggan.models.state import load_learned_state
from tonggan.models.text_embedder import TextEmbedder, pad_ids
from tonggan.progress import Progress
from tonggan.tasks.measure import Floats, Measure, Reducer
from tonggan.tokens import Arrays, Batch, Prediction
from tonggan.training import Budget, TrainingConfig, train
from tonggan.training.checkpoint import Checkpoints, load_checkpoint
from tonggan.training.objective import MeasuredObjective
from tonggan.training.world import gathered

_NAMES = "names"
"""The target that says which pairs have one name."""
_MIN_PAIRS = 100
_MIN_GROUPS = 10
_AT_ONCE = 64  # pairs that are looked at together
_MAX_HELD_OUT = 500  # pairs that are embedded to measure; more would take time from training


class SearchTuningConfig(Config):
    """How an embedder is tuned; the defaults fit 10 minutes on 2 cores."""

    time_limit: float | None = Field(default=600.0, gt=0)
    """Seconds for everything but reading the pairs; null for no limit."""
    epochs: int = Field(default=3, ge=1)
    """Maximum number of epochs."""
    batch_size: int = Field(default=64, ge=2)
    """Pairs in a step; the code of every other pair is a negative."""
    at_once: int = Field(default=64, ge=1)
    """Pairs that go through the encoder at once. In a larger batch all pairs are still compared: gradient caching keeps
    the memory to that of this many."""
    max_tokens: int = Field(default=128, ge=8)
    """Tokens of a piece of code that are read in training; the rest is cut off."""
    learning_rate: float = Field(default=5e-5, gt=0)
    """Peak learning rate, after a warmup over the first tenth; it then decays to zero."""
    blend: float = Field(default=0.5, gt=0, le=1)
    """Share of the tuned weights when they are averaged with the original ones (Wortsman et al. 2022). One half keeps
    most of the gain on docstrings and loses nothing on other kinds of questions."""
    contrastive: AlignmentConfig = ContrastiveConfig()
    """The objective."""
    held_out: float = Field(default=0.05, gt=0, lt=0.4)
    """Share of the pairs for choosing the weights, and the same share again for the verdict; each from files of its
    own."""
    num_validations: int = Field(default=6, ge=1)
    """How often the weights are validated during training."""
    seed: int = Field(default=0, ge=0)
    """Seed of the split and of the order of the pairs."""

    def loop(self, *, num_batches: int) -> TrainingConfig:
        """What the training loop reads, where an epoch has ``num_batches``."""
        return TrainingConfig(
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            weight_decay=0.01,
            warmup=0.1,
            evaluate_every=max(1, num_batches * self.epochs // self.num_validations),
        )


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
    folder: Path,
    config: SearchTuningConfig | None = None,
    progress: Progress | None = None,
) -> TunedSearch:
    """The embedder after training on ``pairs``, if it finds code of unseen packages or files better than before.

    Ctrl-C ends the training early: what was best until then is judged as at the end.

    Args:
        embedder: the given one.
        pairs: of questions and code.
        folder: receives the checkpoint, from which a killed tuning goes on; it is removed at the end.
        config: how.
        progress: told of it.

    Raises:
        DataError: the pairs are too few, or of too few files, to learn from and to judge by.
        TrainingError: ``folder`` holds another tuning, or cannot be written.
    """
    config = config or SearchTuningConfig()
    budget = Budget(config.time_limit)
    training, validation, test = _split(pairs, config)
    before, floor = mean_reciprocal_rank(embedder, test), mean_reciprocal_rank(embedder, validation)
    budget.reserve(budget.elapsed)  # the verdict on the tuned embedder takes as long again
    objective = PairObjective(embedder, config)
    learned = PairBatches(training, embedder, config, shuffle=True)
    digest = hashlib.sha256(repr(pairs).encode()).hexdigest()
    is_interrupted = False
    try:
        train(
            objective,
            learned,
            valid=PairBatches(validation, embedder, config, shuffle=False),
            config=config.loop(num_batches=len(learned)),
            folder=folder,
            seed=config.seed,
            identity={"embedder": embedder.identity, "pairs": digest, "settings": config.to_dict()},
            budget=budget,
            progress=progress,
        )
    except InterruptedRunError:
        is_interrupted = True
    tuned, num_steps = _best(objective, folder, floor=floor)
    after = mean_reciprocal_rank(tuned, test)
    shutil.rmtree(folder)
    return TunedSearch(
        embedder=tuned if after > before else embedder,
        is_better=after > before,
        before=before,
        after=after,
        num_pairs=len(training),
        num_held_out=len(test),
        num_steps=num_steps,
        is_interrupted=is_interrupted,
    )


def _best(objective: PairObjective, folder: Path, *, floor: float) -> tuple[TextEmbedder, int]:
    """The best embedder of a training, the given one where none was above ``floor``; and the steps that it took."""
    files = Checkpoints(folder)
    _, state = files.load_last({})
    run = state["run"]
    if run["best_score"] is None or run["best_score"] <= floor:
        return objective.given, run["step"]
    tensors, _ = load_checkpoint(files.best(run["best_step"]))
    load_learned_state(objective, tensors)
    return objective.embedder(), run["step"]


def mean_reciprocal_rank(embedder: TextEmbedder, pairs: Sequence[Pair]) -> float:
    """The mean over the pairs of 1 / the rank of a question's code among the codes of all pairs."""
    texts = {"question": [pair.question for pair in pairs], "code": [pair.code for pair in pairs]}
    return PairMeasure({name: embedder.embed(part) for name, part in texts.items()}, "mrr", True).score()


class PairBatches:
    """Pairs as token ids of ``question`` and ``code``; the target says which have one name.

    Functions of one name, as a method of many classes, answer the same question.

    Args:
        pairs: at least one.
        embedder: whose tokens they become.
        config: how many, and how long.
        shuffle: whether they come in a new random order in each epoch, in whole batches, cut to the length of training.
    """

    def __init__(
        self, pairs: Sequence[Pair], embedder: TextEmbedder, config: SearchTuningConfig, *, shuffle: bool
    ) -> None:
        self.pairs, self.tokenizer, self.shuffle, self.seed = pairs, embedder.tokenizer, shuffle, config.seed
        self.limit = min(config.max_tokens, embedder.max_tokens) if shuffle else embedder.max_tokens
        self.size = min(config.batch_size, len(pairs)) if shuffle else _AT_ONCE
        names = {name: number for number, name in enumerate(dict.fromkeys(pair.name for pair in pairs))}
        self.names = torch.tensor([names[pair.name] for pair in pairs])
        self.num_rows = len(pairs)

    def __len__(self) -> int:
        return len(self.pairs) // self.size if self.shuffle else math.ceil(len(self.pairs) / self.size)

    def epoch(self, number: int, *, start: int = 0) -> Iterator[Batch]:
        """The batches of epoch ``number`` from batch ``start`` on."""
        order = np.arange(len(self.pairs))
        if self.shuffle:
            order = np.random.default_rng([self.seed, number]).permutation(order)
        for index in range(start, len(self)):
            rows = torch.from_numpy(order[index * self.size : (index + 1) * self.size])
            pairs = [self.pairs[row] for row in rows.tolist()]
            inputs = {
                "question": self._ids([pair.question for pair in pairs]),
                "code": self._ids([pair.code for pair in pairs]),
            }
            yield Batch(rows, inputs, {_NAMES: Arrays.whole(self.names[rows])})

    def numbers_of(self, rows: NDArray[np.int64]) -> list[int]:
        """Pairs as they are counted from 1."""
        counted: list[int] = (rows + 1).tolist()
        return counted

    def _ids(self, texts: Sequence[str]) -> Arrays:
        rows = [encoding.ids for encoding in self.tokenizer.encode_batch_fast(list(texts))]
        return pad_ids([row if len(row) <= self.limit else [*row[: self.limit - 1], row[-1]] for row in rows])


class PairObjective(MeasuredObjective):
    """A question's vector is more like that of its own code than like those of the other codes of its batch.

    Args:
        embedder: whose weights are learned from; it stays as it is.
        config: the loss, and how much of what was learned is kept.
    """

    score_name = "mrr"
    greater_is_better = True
    splits_batches = False
    gathers = True

    def __init__(self, embedder: TextEmbedder, config: SearchTuningConfig) -> None:
        super().__init__()
        self.given, self.blend, self.at_once = embedder, config.blend, config.at_once
        self.encoder = deepcopy(embedder.encoder).float()
        self.contrastive = config.contrastive.build(PairShape(embedder.dim))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        names = gathered(batch.targets[_NAMES].values)
        matches = names.unsqueeze(1) == names.unsqueeze(0)
        questions, codes = (gathered(vectors) for vectors in self._vectors(batch))
        with in_float32(questions.device):
            return {"contrastive": self.contrastive(questions, codes, matches=matches)}

    def predict(self, batch: Batch) -> Prediction:
        """Unit vectors ``[B, D]`` of ``question`` and ``code``."""
        question, code = (F.normalize(vectors, dim=-1) for vectors in self._vectors(batch))
        return Prediction({"question": question, "code": code})

    def measure(self, prediction: Prediction, targets: Mapping[str, Arrays]) -> Measure:
        del targets
        rows = {name: prediction[name].double().numpy() for name in ("question", "code")}
        return PairMeasure(rows, self.score_name, self.greater_is_better)

    @contextmanager
    def evaluated(self) -> Iterator[None]:
        """With weights between the given ones and those of now."""
        weights = [weight for weight in self.encoder.parameters() if weight.is_floating_point()]
        given = [weight for weight in self.given.encoder.parameters() if weight.is_floating_point()]
        learned = [weight.detach().clone() for weight in weights]
        with torch.no_grad():
            for weight, former in zip(weights, given, strict=True):
                weight.lerp_(former.to(weight.device, weight.dtype), 1 - self.blend)
        try:
            yield
        finally:
            with torch.no_grad():
                for weight, own in zip(weights, learned, strict=True):
                    weight.copy_(own)

    def embedder(self) -> TextEmbedder:
        """An embedder of the encoder's weights, in all else as the given one."""
        given = self.given
        return TextEmbedder(
            self.encoder.eval(),
            given.tokenizer,
            max_tokens=given.max_tokens,
            prompt=given.prompt,
            passage_prompt=given.passage_prompt,
            temperature=given.temperature,
            precision=given.precision,
            name=given.name,
        )

    def _vectors(self, batch: Batch) -> list[Tensor]:
        rows = torch.split(torch.arange(len(batch)), self.at_once)
        return [
            in_pieces(self._encoded, [batch.inputs[name].take(part) for part in rows]) for name in ("question", "code")
        ]

    def _encoded(self, arrays: Arrays) -> Tensor:
        vectors: Tensor = self.encoder(arrays).mean().float()
        return vectors


class PairMeasure(Measure):
    """How near the top each question's own code is among those of all pairs, by vectors ``[N, D]`` of both."""

    def make_reducers(self) -> Sequence[Reducer]:
        ahead = self._ahead()

        def mean_reciprocal_rank(counts: Floats) -> Sequence[float]:
            return [float(counts @ (1 / np.maximum(ahead @ counts, 1)) / counts.sum())]

        return [Reducer(("mrr",), mean_reciprocal_rank)]

    def _ahead(self) -> NDArray[np.bool_]:
        """``[N, N]``: which codes, the right one among them, are no less like a question than the right one."""
        scores = self.rows["question"] @ self.rows["code"].T
        ahead: NDArray[np.bool_] = scores >= np.diagonal(scores)[:, None]
        return ahead

    def badness(self) -> Floats:
        badness: Floats = 1 - 1 / self._ahead().sum(axis=1)
        return badness

    def differs(self, other: Self) -> NDArray[np.bool_]:
        differs: NDArray[np.bool_] = self.badness() != other.badness()
        return differs


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
