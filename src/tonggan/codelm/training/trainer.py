"""The steps of a code model's training: rows in, weights out, within a time and a memory, and resumable at any step.

It splits no corpus and judges no result.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from tonggan.codelm.training.config import CodeTrainingConfig
from tonggan.codelm.training.learner import Learner
from tonggan.codelm.training.packing import Packer
from tonggan.errors import ConfigError, InterruptedRunError, TrainingError
from tonggan.progress import Progress
from tonggan.training.budget import Budget, describe_bytes, describe_seconds, peak_memory
from tonggan.training.checkpoint import load_checkpoint, load_optimizer_tensors, optimizer_tensors, save_checkpoint
from tonggan.training.interruption import StopRequest, stop_request
from tonggan.training.memory import keep_freed_memory
from tonggan.training.optimizer import build_optimizer, learning_rate_at

if TYPE_CHECKING:
    from tonggan.codelm.corpus.corpus import Corpus

_TOKENS_AT_ONCE = {"cpu": 2048, "cuda": 32768}  # more are no faster
_LEAST_TOKENS_AT_ONCE = 128


@dataclass
class TrainingState:
    """How far a training is.

    Attributes:
        step: steps of the optimizer.
        epoch: passes over the corpus that are done.
        row: rows of the present pass that are done.
        tokens: that were learned from.
        loss: mean of the last steps, natural logarithm per token.
        elapsed: seconds.
    """

    step: int = 0
    epoch: int = 0
    row: int = 0
    tokens: int = 0
    loss: float = 0.0
    elapsed: float = 0.0


class Trainer:
    """Trains ``learner`` on documents of a corpus.

    Args:
        learner: what learns.
        packer: makes rows.
        corpus: where the documents are.
        numbers: of the documents.
        config: how.
        base_sha256: of the weights that the learner begins with; None where they are new.
        checkpoint: file to resume from, and to write.
        budget: time; what follows the training is reserved in it already.
        max_memory: bytes that the process may take at its peak; None sets no limit.
        progress: told of it.
    """

    def __init__(
        self,
        learner: Learner,
        packer: Packer,
        corpus: Corpus,
        numbers: Sequence[int],
        *,
        config: CodeTrainingConfig,
        base_sha256: str | None,
        checkpoint: Path,
        budget: Budget,
        max_memory: int | None,
        progress: Progress,
    ) -> None:
        self.learner, self.packer, self.corpus, self.numbers = learner, packer, corpus, numbers
        self.config, self.checkpoint, self.budget, self.progress = config, checkpoint, budget, progress
        self.max_memory = max_memory
        self.base_sha256 = base_sha256
        self.schedule = config.optimizer(is_scratch=base_sha256 is None)
        self.optimizer = build_optimizer(learner, self.schedule)
        self.state = TrainingState()
        self.total_tokens = config.epochs * sum(corpus.documents[number].length for number in numbers)
        self.tokens_at_once = self._tokens_at_once()
        self.saved = time.monotonic()

    def run(self) -> TrainingState:
        """Train to the end of the last epoch or of the time.

        Raises:
            InterruptedRunError: the user asked to stop; what was reached is saved.
            TrainingError: the loss is not finite, or more memory is taken than is allowed.
        """
        keep_freed_memory()
        if self.checkpoint.is_file():
            self._resume()
        self._say_plan()
        with stop_request() as stop:
            while self.state.epoch < self.config.epochs and self.budget.elapsed < self.budget.end:
                for rows in self._steps():
                    start = self.budget.elapsed
                    self._step(rows)
                    self._heed(stop)
                    # The next step takes as long as this one.
                    if 2 * self.budget.elapsed - start >= self.budget.end:
                        self.save()
                        return self.state
                else:
                    self.state.epoch, self.state.row = self.state.epoch + 1, 0
        self.save()
        return self.state

    def save(self) -> None:
        """Write the checkpoint."""
        self.state.elapsed = self.budget.elapsed
        tensors = {**self.learner.learned(), **optimizer_tensors(self.learner, self.optimizer)}
        state = {**asdict(self.state), "identity": self._identity()}
        save_checkpoint(self.checkpoint, tensors=tensors, state=state)
        self.saved = time.monotonic()

    def _steps(self) -> Iterator[list[list[int]]]:
        """Rows of each step of the present epoch that is not done yet."""
        generator = np.random.default_rng([self.config.seed, self.state.epoch])
        step: list[list[int]] = []
        for number, row in enumerate(self.packer.rows(self.corpus, self.numbers, generator=generator)):
            if number < self.state.row or len(row) < 2:
                continue
            step.append(row)
            if sum(map(len, step)) >= self.config.batch_tokens:
                yield step
                step = []
        if step:
            yield step

    def _step(self, rows: list[list[int]]) -> None:
        done = max(self.state.tokens / max(1, self.total_tokens), self.budget.elapsed / self.budget.end)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate_at(min(1.0, done), self.schedule)
        num_labels = self.learner.num_labels(rows)
        loss = self._backward(rows, num_labels=num_labels)
        if not np.isfinite(loss):
            raise TrainingError(
                f"training, step {self.state.step + 1}",
                got=f"a loss of {loss}",
                expected="a finite one",
                remedy="Use a smaller learning_rate",
            )
        nn.utils.clip_grad_norm_(list(self.learner.learned().values()), self.config.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        state = self.state
        state.step, state.row, state.tokens = state.step + 1, state.row + len(rows), state.tokens + num_labels
        state.loss = loss if state.step == 1 else 0.9 * state.loss + 0.1 * loss
        self.progress.update(
            "train", done=min(1.0, done), total=1.0, note=f"step {state.step:,}, loss {state.loss:.3f}"
        )

    def _backward(self, rows: list[list[int]], *, num_labels: int) -> float:
        """Gradients and loss of the rows; where a first step alone takes longer than the time, of those until then."""
        total, done = 0.0, 0
        for part in self._parts(rows):
            total += self.learner.backward(part, num_labels=num_labels)
            done += self.learner.num_labels(part)
            if self.budget.elapsed >= self.budget.end:
                break
        if 0 < done < num_labels:
            for parameter in self.learner.learned().values():
                if parameter.grad is not None:
                    parameter.grad *= num_labels / done
            total *= num_labels / done
        return total

    def _parts(self, rows: list[list[int]]) -> Iterator[list[list[int]]]:
        """Rows that go through the model together; those of like length, since they are padded to the longest."""
        part: list[list[int]] = []
        for row in sorted(rows, key=len):
            if part and (len(part) + 1) * len(row) > self.tokens_at_once:
                yield part
                part = []
            part.append(row)
        yield part

    def _heed(self, stop: StopRequest) -> None:
        peak = peak_memory(self.learner.device)
        if self.max_memory is not None and peak > self.max_memory:
            raise TrainingError(
                "memory of the training",
                got=f"{describe_bytes(peak)} at step {self.state.step}",
                expected=f"at most {describe_bytes(self.max_memory)}",
                remedy="Allow more with --max-memory, or train shorter rows with --set length=256",
            )
        if stop.received:
            self.save()
            raise InterruptedRunError(
                "training",
                got="a request to stop",
                expected="to run to the end",
                remedy=f"Run the same command again to go on from step {self.state.step}",
            )
        if time.monotonic() - self.saved >= self.config.checkpoint_every:
            self.save()

    def _resume(self) -> None:
        tensors, state = load_checkpoint(self.checkpoint)
        if state.pop("identity") != self._identity():
            raise ConfigError(
                f"checkpoint {self.checkpoint}",
                got="the beginning of another training",
                expected="the same corpus, base and settings",
                remedy=f"Delete {self.checkpoint} to begin anew, or choose another --name",
            )
        self.learner.restore(tensors)
        load_optimizer_tensors(self.learner, self.optimizer, tensors)
        self.state = TrainingState(**state)
        self.budget.restore(self.state.elapsed)
        self.progress.say(f"Resumed at step {self.state.step:,}.")

    def _identity(self) -> str:
        """What must be the same to go on: settings, base, documents, and the shapes of what learns."""
        # How long, how often saved and how judged may change.
        settings = self.config.model_dump(mode="json", exclude={"epochs", "checkpoint_every", "lines"})
        documents = [self.corpus.documents[number].sha256 for number in self.numbers]
        shapes = {name: list(tensor.shape) for name, tensor in self.learner.learned().items()}
        return hashlib.sha256(
            json.dumps([settings, self.base_sha256, documents, shapes], sort_keys=True).encode()
        ).hexdigest()

    def _tokens_at_once(self) -> int:
        """As many as the memory allows and are of use.

        Raises:
            ConfigError: there is not room for a row.
        """
        useful = max(_TOKENS_AT_ONCE[self.learner.device.type], self.packer.length)
        if self.max_memory is None:
            return useful
        fixed, each = estimate_memory(self.learner)
        room = int((self.max_memory - fixed) / each)
        if room < max(_LEAST_TOKENS_AT_ONCE, self.packer.length):
            needed = fixed + each * max(_LEAST_TOKENS_AT_ONCE, self.packer.length)
            raise ConfigError(
                "memory of the training",
                got=describe_bytes(self.max_memory),
                expected=f"about {describe_bytes(int(needed))} for a row of {self.packer.length} tokens",
                remedy="Allow more with --max-memory, or train shorter rows with --set length=256",
            )
        return min(useful, room)

    def _say_plan(self) -> None:
        learned = sum(tensor.numel() for tensor in self.learner.learned().values())
        limit = "" if self.budget.seconds is None else f", at most {describe_seconds(self.budget.end)}"
        self.progress.say(
            f"Training {learned / 1e6:,.1f} M numbers on {self.total_tokens / 1e6:,.2f} M tokens of "
            f"{len(self.numbers):,} files{limit}."
        )


def estimate_memory(learner: Learner) -> tuple[int, int]:
    """Bytes that a step takes whatever its size, and bytes for each token, somewhat more than was ever measured.

    What the process holds already counts; gradients and the optimizer's two moments come on top, and logits.
    """
    config = learner.model.config
    learned = sum(tensor.numel() for tensor in learner.learned().values())
    logits = 512 * config.vocab_size * 16
    each = config.num_hidden_layers * (100 * config.hidden_size + 16 * config.intermediate_size)
    return peak_memory(learner.device) + 12 * learned + logits, each


def default_device() -> torch.device:
    """A GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
