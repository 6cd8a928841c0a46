"""Trains a bug detector on functions as they are, and measures how sure it may be."""

from __future__ import annotations

import hashlib
import shutil
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from tonggan.codelm.review.learned.detector import BugDetector
from tonggan.codelm.review.learned.examples import Vocabulary, read_example
from tonggan.codelm.review.learned.fixes import Fix
from tonggan.codelm.review.learned.functions import Function
from tonggan.codelm.review.learned.game import FUNCTIONS, BugGame
from tonggan.codelm.review.learned.network import RewriteScorerConfig
from tonggan.config import Config
from tonggan.errors import ConfigError, DataError, InterruptedRunError
from tonggan.models.state import load_learned_state
from tonggan.progress import Progress
from tonggan.tasks.measure import Measure
from tonggan.tokens import Arrays, Batch
from tonggan.training import Budget, TrainingConfig, train
from tonggan.training.checkpoint import Checkpoints, load_checkpoint

_MIN_FUNCTIONS = 200
_HELD_OUT = 0.05  # of the functions
_MOST_HELD_OUT = 1000  # functions that weights are chosen by
_FEWEST_FOLDERS = 20  # among which some are held out
_MOST_REPEATS = 20  # times that a real fix is seen in an epoch


class DetectorTrainingConfig(Config):
    """How a detector is trained; the defaults fit an hour of 2 cores."""

    network: RewriteScorerConfig = RewriteScorerConfig()
    """Size of the detector."""
    game: bool = True
    """Whether a second network chooses the bugs; otherwise they are random."""
    bugs_of_each: int = Field(default=2, ge=1)
    """Buggy copies of each function in a step; the game needs at least two to choose from."""
    vocabulary: int = Field(default=8000, ge=0)
    """Size of the vocabulary of words, which are parts of names."""
    max_functions: int = Field(default=60_000, ge=1)
    """Maximum number of functions to learn from; of more, a random sample is used."""
    max_tokens: int = Field(default=200, ge=16)
    """Longer functions are not used for training."""
    tokens_at_once: int = Field(default=1500, ge=64)
    """Tokens of the functions of one step, not counting their buggy copies."""
    epochs: int = Field(default=10, ge=1)
    """Maximum number of epochs."""
    learning_rate: float = Field(default=1.5e-3, gt=0)
    """Peak learning rate, after a warmup over the first twentieth; it then decays to zero."""
    time_limit: float | None = Field(default=3600.0, gt=0)
    """Seconds for the training; null for no limit."""
    seed: int = Field(default=0, ge=0)
    """Seed of the weights, the order and the bugs."""


@dataclass(frozen=True)
class TrainedDetector:
    """What came of it.

    Attributes:
        detector: with the best weights.
        metrics: on functions of files that it never learned from, half of them with one random bug.
        num_functions: that were learned from.
        num_held_out: that chose the weights.
        num_steps: of the optimizers.
    """

    detector: BugDetector
    metrics: dict[str, float]
    num_functions: int
    num_held_out: int
    num_steps: int


def train_detector(
    functions: Sequence[Function],
    *,
    folder: Path,
    fixes: Sequence[Fix] = (),
    start: BugDetector | None = None,
    config: DetectorTrainingConfig | None = None,
    progress: Progress | None = None,
) -> TrainedDetector:
    """A detector that has learned from ``functions``, which are taken to be right as they are.

    Ctrl-C ends the training early: what was best until then is kept.

    Args:
        functions: that it learns from; one in twenty, of folders of their own, only chooses the weights.
        fixes: real ones that it learns from as well; every tenth only helps to choose the weights.
        start: whose weights, words and size it begins with, instead of random ones.
        folder: receives the checkpoint, from which a killed training goes on; it is removed at the end.
        config: how.
        progress: told of it.

    Raises:
        ConfigError: the network is to have another size than that of ``start``.
        DataError: the functions are too few.
        TrainingError: ``folder`` holds another training, or cannot be written.
    """
    config, progress = config or DetectorTrainingConfig(), progress or Progress()
    budget = Budget(config.time_limit)
    if start is not None:
        config = config.model_copy(update={"network": _network_of(start, config.network)})
    pool = _pool(functions, config=config, words=start.vocabulary if start else None, progress=progress)
    pool = pool.with_fixes(fixes, max_tokens=config.max_tokens)
    torch.manual_seed(config.seed)
    game = _game(pool, start, config)
    batches = FunctionBatches(pool.learned, pool.lengths, config=config, shuffle=True)
    valid = FunctionBatches(pool.held_out, pool.lengths, config=config, shuffle=False)
    interrupted = False
    try:
        train(
            game,
            batches,
            valid=valid,
            config=_loop_config(config, len(batches)),
            folder=folder,
            seed=config.seed,
            identity={"functions": _digest(pool, start), "settings": config.to_dict()},
            budget=budget,
            progress=progress,
        )
    except InterruptedRunError:
        interrupted = True
    num_steps = _take_best(game, folder, interrupted=interrupted)
    detector = BugDetector(game.detector.eval().float(), pool.vocabulary, config=config.network)
    detector.calibrate([pool.functions[row] for row in pool.held_out if row < len(pool.functions)])
    metrics = _metrics(game, valid)
    shutil.rmtree(folder)
    return TrainedDetector(detector, metrics, len(pool.learned), len(pool.held_out), num_steps)


def _network_of(start: BugDetector, given: RewriteScorerConfig) -> RewriteScorerConfig:
    """That of ``start``, of which only the dropout may be ``given``.

    Raises:
        ConfigError: another size is given.
    """
    for name in sorted(given.model_fields_set - {"dropout"}):
        if getattr(given, name) != getattr(start.config, name):
            raise ConfigError(
                "training of a bug detector",
                got=f"network.{name}={getattr(given, name)}",
                expected=f"{getattr(start.config, name)}, as in the detector to go on from",
                remedy="Leave the setting out, or start from scratch without --detector",
            )
    return start.config.model_copy(update=given.model_dump(include={"dropout"} & given.model_fields_set))


def _game(pool: _Pool, start: BugDetector | None, config: DetectorTrainingConfig) -> BugGame:
    game = BugGame(
        pool.functions,
        pool.vocabulary,
        config=config.network,
        has_selector=config.game,
        num_bugs=config.bugs_of_each,
        fixes=pool.fixes,
    )
    if start is not None:
        game.detector.load_state_dict(start.scorer.state_dict())
    return game


def _loop_config(config: DetectorTrainingConfig, num_batches: int) -> TrainingConfig:
    return TrainingConfig(
        optimizer="muon",
        epochs=config.epochs,
        learning_rate=config.learning_rate,
        weight_decay=0.01,
        evaluate_every=max(1, min(500, num_batches * config.epochs // 8)),
    )


def _take_best(game: BugGame, folder: Path, *, interrupted: bool) -> int:
    """Give ``game`` the best weights of its training; how many steps it took."""
    files = Checkpoints(folder)
    _, state = files.load_last({})
    run = state["run"]
    if interrupted and run["best_score"] is None:
        raise InterruptedRunError(
            "training",
            got="a request to stop before any weights were looked at",
            expected="to run to the end",
            remedy="Run the same command to resume where it stopped",
        )
    tensors, _ = load_checkpoint(files.best(run["best_step"]))
    load_learned_state(game, tensors)
    num_steps: int = run["step"]
    return num_steps


class _Pool(NamedTuple):
    """Functions that are short enough, which of them are learned from, which choose the weights, and their tokens."""

    functions: list[Function]
    learned: NDArray[np.int64]
    held_out: NDArray[np.int64]
    lengths: NDArray[np.int64]
    vocabulary: Vocabulary
    fixes: Sequence[Fix] = ()

    def with_fixes(self, fixes: Sequence[Fix], *, max_tokens: int) -> _Pool:
        """The pool with real fixes behind its functions, which are learned again until they are a quarter of all."""
        read = [(fix, read_example(fix.before, max_tokens=max_tokens)) for fix in fixes]
        known = [(fix, len(example.graph.tokens)) for fix, example in read if example is not None]
        if not known:
            return self
        rows = len(self.functions) + np.arange(len(known))
        is_held_out = np.array([zlib.crc32(fix.after.encode("utf-8", "replace")) % 10 == 0 for fix, _ in known])
        learned = rows[~is_held_out]
        repeats = min(_MOST_REPEATS, max(1, len(self.learned) // (3 * max(1, len(learned)))))
        return self._replace(
            learned=np.concatenate([self.learned, np.repeat(learned, repeats)]),
            held_out=np.concatenate([self.held_out, rows[is_held_out]]),
            lengths=np.concatenate([self.lengths, [length for _, length in known]]),
            fixes=[fix for fix, _ in known],
        )


def _digest(pool: _Pool, start: BugDetector | None) -> str:
    """What tells one training's data and beginning from another's."""
    found = hashlib.sha256("\0".join(function.text for function in pool.functions).encode("utf-8", "replace"))
    for fix in pool.fixes:
        found.update(f"\0{fix.before.text}\0{fix.after}".encode("utf-8", "replace"))
    for tensor in start.scorer.state_dict().values() if start else ():
        found.update(tensor.numpy().tobytes())
    return found.hexdigest()


def _pool(
    functions: Sequence[Function], *, config: DetectorTrainingConfig, words: Vocabulary | None, progress: Progress
) -> _Pool:
    drawn = np.random.default_rng(config.seed).permutation(len(functions))[: config.max_functions]
    known = held_out_folders([functions[row].path for row in drawn])
    found: list[Function] = []
    lengths: list[int] = []
    is_held_out: list[bool] = []
    counts: Counter[str] = Counter()
    for row in progress.track(drawn.tolist(), label="read functions"):
        function = functions[row]
        example = read_example(function, max_tokens=config.max_tokens)
        if example is not None:
            found.append(function)
            lengths.append(len(example.graph.tokens))
            is_held_out.append(function.path.startswith(known))
            if not is_held_out[-1]:
                counts.update(word for token in example.graph.tokens for word in token.words)
    held_out = np.flatnonzero(is_held_out)
    if len(found) < _MIN_FUNCTIONS or not len(held_out):
        raise DataError(
            "training of a bug detector",
            got=f"{len(found):,} functions that can be read, {len(held_out)} of them in files that are held out",
            expected=f"at least {_MIN_FUNCTIONS} in {_FEWEST_FOLDERS} files or more",
            remedy="Name more code, e.g. the folder of the installed packages",
        )
    vocabulary = words or Vocabulary.of(counts, size=config.vocabulary)
    learned = np.flatnonzero(np.logical_not(is_held_out))
    return _Pool(found, learned, held_out[:_MOST_HELD_OUT], np.array(lengths), vocabulary)


def held_out_folders(paths: Sequence[str]) -> tuple[str, ...]:
    """Beginnings of the paths that are held out: the widest folders of which there are enough, or files.

    What a package repeats, in other files of it as well, says nothing of code that is not there yet.
    """
    parts = [path.split("/") for path in paths]
    depth = 1
    while len({tuple(each[:depth]) for each in parts}) < min(_FEWEST_FOLDERS, len(set(paths))):
        depth += 1
    sizes = Counter("/".join(each[:depth]) + "/" * (len(each) > depth) for each in parts)
    held_out: list[str] = []
    for folder in sorted(sizes, key=lambda name: zlib.crc32(name.encode("utf-8", "replace"))):
        if sizes[folder] + sum(sizes[each] for each in held_out) <= max(1, _HELD_OUT * len(paths)):
            held_out.append(folder)
    return tuple(held_out)


def _metrics(game: BugGame, batches: FunctionBatches) -> dict[str, float]:
    game.eval()
    with torch.no_grad():
        parts = [game.measure(game.predict(batch), {}) for batch in batches.epoch(0)]
    return Measure.cat(parts).metrics()


class FunctionBatches:
    """Numbers of functions in batches of about as many tokens, functions of like length together.

    Args:
        rows: numbers of the functions.
        lengths: tokens of each function of the pool.
        config: how many tokens at once.
        shuffle: whether they come in a new random order in each epoch.
    """

    def __init__(
        self, rows: NDArray[np.int64], lengths: NDArray[np.int64], *, config: DetectorTrainingConfig, shuffle: bool
    ) -> None:
        self.rows, self.lengths, self.shuffle, self.config = rows, lengths, shuffle, config
        self.num_rows = len(rows)
        self._batches = len(self._cut(0))

    def __len__(self) -> int:
        return self._batches

    def epoch(self, number: int, *, start: int = 0) -> Iterator[Batch]:
        """The batches of epoch ``number`` from batch ``start`` on."""
        for rows in self._cut(number)[start:]:
            numbers = torch.from_numpy(rows)
            yield Batch(numbers, {FUNCTIONS: Arrays.whole(numbers)}, {})

    def numbers_of(self, rows: NDArray[np.int64]) -> list[int]:
        """Functions as they are counted from 1."""
        counted: list[int] = (rows + 1).tolist()
        return counted

    def _cut(self, epoch: int) -> list[NDArray[np.int64]]:
        """Cut where the lengths say, so that each epoch has the same batches' sizes."""
        drawn = np.random.default_rng([self.config.seed, epoch])
        shuffled = drawn.permutation(self.rows) if self.shuffle else self.rows
        ordered = shuffled[np.argsort(self.lengths[shuffled], kind="stable")]
        batches, first = [], 0
        while first < len(ordered):
            size = 1
            while (
                first + size < len(ordered)
                and self.lengths[ordered[first + size]] * (size + 1) <= self.config.tokens_at_once
            ):
                size += 1
            batches.append(ordered[first : first + size])
            first += size
        return [batches[place] for place in drawn.permutation(len(batches))] if self.shuffle else batches
