"""The training loop: steps, evaluations, checkpoints, and an end that is on time.

It works with any ``Objective`` and any ``Batches``. Calibration, final metrics, bundles and reports are not its work.

A resumed run gives the numbers of one that was never stopped: order and augmentation of batch ``b`` of epoch ``e``
come from (seed, e, b), all other randomness of step ``t`` from (seed, t), and the rest is in the checkpoint. Only
under a time limit do the numbers depend on the clock.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
import torch
from torch import Tensor

from tonggan.data.loader import Batches
from tonggan.errors import DataError, InterruptedRunError
from tonggan.layers.cores import num_threads
from tonggan.progress import Progress
from tonggan.tasks.measure import Measure
from tonggan.tokens import Batch
from tonggan.training.budget import Budget, describe_bytes, peak_memory
from tonggan.training.checkpoint import Checkpoints, load_checkpoint, save_checkpoint
from tonggan.training.config import TrainingConfig
from tonggan.training.interruption import StopRequest, stop_request
from tonggan.training.journal import Journal
from tonggan.training.memory import keep_freed_memory
from tonggan.training.objective import Objective
from tonggan.training.optimizer import learning_rate_at
from tonggan.training.pace import Following, Pace
from tonggan.training.result import RunState, StoppedBy, TrainingResult
from tonggan.training.stepper import Stepper, not_finite
from tonggan.training.threads import ThreadTuner
from tonggan.training.validator import Validator
from tonggan.training.world import world

_MEASURED_BATCHES = 2
_LONG_STEP = 0.05  # of the limit: so few steps are no trials of threads


def train(
    objective: Objective,
    train: Batches,
    *,
    valid: Batches | None = None,
    config: TrainingConfig,
    folder: Path,
    seed: int,
    identity: Mapping[str, Any] | None = None,
    budget: Budget | None = None,
    following: Following | None = None,
    progress: Progress | None = None,
) -> TrainingResult:
    """Train ``objective``, and leave in it the weights with the best score on ``valid``, or without it the last ones.

    A ``folder`` with the checkpoint of an interrupted run is resumed, by whatever number of processes. Started by
    ``torchrun``, they share each batch and add up their gradients.

    Args:
        objective: what learns, moved to the accelerator, if there is one, and left there; the caller has seeded its
            first weights.
        train: what it learns from.
        valid: the part whose score chooses the weights.
        config: how to train.
        folder: receives ``last.safetensors``, ``best-<step>.safetensors`` and the TensorBoard log.
        seed: of dropout and all other randomness of the steps.
        identity: plain data that must be the same for a run to be resumed, beside config, seed and sizes.
        budget: its limit, less what is reserved, ends the training; None sets no limit.
        following: what comes after the training, and its time.
        progress: is told the predicted time and memory, and how far the run is.

    Raises:
        ConfigError: the objective's batches cannot be cut, as config or several processes would.
        DataError: a part has no rows.
        TrainingError: the loss is not finite, or a checkpoint cannot be read or written.
        InterruptedRunError: Ctrl-C or SIGTERM came; the checkpoint is written.
    """
    _check_rows({"training": train, "validation": valid})
    with world() as processes:
        stepper = Stepper(objective, config=config, world=processes, seed=seed)
        if stepper.device.type == "cpu":
            keep_freed_memory()
        devices = [stepper.device] if stepper.device.type == "cuda" else []
        threads = num_threads(torch.get_num_threads())
        with stop_request() as stop, torch.random.fork_rng(devices=devices), threads:
            run = _Run(
                stepper,
                train=train,
                valid=valid,
                folder=folder,
                identity=identity or {},
                budget=budget or Budget(),
                following=following or Following(),
                progress=progress,
                stop=stop,
            )
            return run.complete()


def _check_rows(parts: Mapping[str, Batches | None]) -> None:
    for name, part in parts.items():
        if part is not None and part.num_rows == 0:
            raise DataError(
                f"{name} part", got="no rows", expected="at least one row", remedy="Check the table and its split"
            )


class _Step(NamedTuple):
    """The batches of one step, and where it is: the epoch, and its number in it."""

    epoch: int
    number: int
    batches: list[Batch]


class _Run:
    """One call of ``train``: the place in the course of the training, its clocks, and what is written on the way."""

    def __init__(
        self,
        stepper: Stepper,
        *,
        train: Batches,
        valid: Batches | None,
        folder: Path,
        identity: Mapping[str, Any],
        budget: Budget,
        following: Following,
        progress: Progress | None,
        stop: StopRequest,
    ) -> None:
        self.stepper, self.train, self.budget, self.stop = stepper, train, budget, stop
        self.folder, self.files = folder, Checkpoints(folder)
        self.objective, self.config, self.world = stepper.objective, stepper.config, stepper.world
        self.progress = progress if progress and self.world.is_main else Progress()
        self.validator = None if valid is None else Validator(stepper, valid)
        self.accumulation = min(self.config.accumulation, len(train))
        self.steps_per_epoch = len(train) // self.accumulation
        self.total_steps = self.steps_per_epoch * self.config.epochs
        self.evaluate_every = self.config.evaluate_every or self.steps_per_epoch
        self.identity = {
            "format": 2,
            "config": {name: value for name, value in self.config.to_dict().items() if name != "sharded"},
            "seed": stepper.seed,
            "precision": stepper.precision,
            "rows": [train.num_rows, 0 if valid is None else valid.num_rows],
            "parameters": sum(parameter.numel() for parameter in self.objective.parameters()),
            **identity,
        }
        self.pace = Pace(budget, total_steps=self.total_steps, evaluate_every=self.evaluate_every, following=following)
        self.state = RunState(training_started=self.pace.started)
        self.unread: list[tuple[_Step, Tensor]] = []
        self.losses: dict[str, float] = {}
        self.steps_between_reads = _reads_apart(stepper.device)
        self.is_told = False
        # Another number of threads may round otherwise: only where the clock decides already.
        is_tuned = budget.seconds is not None and stepper.device.type == "cpu" and self.world.size == 1
        self.tuner = ThreadTuner(longest=_LONG_STEP * (budget.seconds or 0.0)) if is_tuned else None

    # The course of the run.

    def complete(self) -> TrainingResult:
        """Train from the last checkpoint, or the start, to the end."""
        if self.files.last.exists():
            self._restore()
        state = self.state
        if state.stopped_by is None:
            log_folder = self.folder / "tensorboard" if self.world.is_main else None
            self.journal = Journal(log_folder, progress=self.progress, step=state.step)
            self.saved = time.monotonic()
            self.pace.evaluated()
            self.stepper.keep_buffers()
            self.objective.train()
            with closing(self.journal), closing(self._steps(state.place)) as steps:
                state.stopped_by = self._advance(steps)
            state.peak_memory = max(state.peak_memory, peak_memory(self.stepper.device))
            self._save()
        self.world.wait()
        self.stepper.give(load_checkpoint(self.files.best(state.best_step))[0] if self.validator else None)
        return TrainingResult(
            history=state.history,
            best_step=state.best_step if self.validator else state.step,
            best_score=state.best_score,
            steps=state.step,
            learned=state.learned,
            loss=state.loss,
            seconds=state.elapsed - state.training_started,
            stopped_by=state.stopped_by,
            precision=self.stepper.precision,
            peak_memory=state.peak_memory,
            threads=self.tuner.threads if self.tuner else torch.get_num_threads(),
        )

    def _advance(self, steps: Generator[_Step]) -> StoppedBy:
        state = self.state
        while True:
            step = next(steps, None)
            done = 1.0 if step is None else self.world.agreed(self.pace.done(state.step))
            if done >= 1 and step is not None:
                self.pace.revise(at_end=True)
                done = self.world.agreed(self.pace.done(state.step))
            ended: StoppedBy | None = "epochs" if step is None else "time" if done >= 1 else None
            if self._evaluation_is_due(at_end=ended is not None):
                self._evaluate(done)
            if ended:
                return ended
            assert step is not None, "the end of the epochs ends the training"
            if self.config.patience is not None and state.without_gain >= self.config.patience:
                return "patience"
            self._learn(step, done)
            self._check_stop()
            if self.world.agreed(time.monotonic() - self.saved) > self.config.checkpoint_every:
                self._save()

    def _learn(self, step: _Step, done: float) -> None:
        """Take one step of the optimizers."""
        state, start = self.state, time.monotonic()
        rate, enough = learning_rate_at(done, self.config), self._is_out_of_time
        losses = self.stepper.step(state.step, step.batches, learning_rate=rate, enough=enough)
        seconds = time.monotonic() - start
        state.step += 1
        state.place = (step.epoch, step.number + 1)
        state.learned += sum(self.objective.weight(batch) for batch in step.batches)
        self.unread.append((step, losses))
        if len(self.unread) >= self.steps_between_reads:
            self._read_losses()
        self._measure(seconds)
        if self.journal.due and state.loss is not None:
            self._log_progress(done)

    def _is_out_of_time(self) -> bool:
        """Whether a step that is not finished must do with the batches so far."""
        return self.world.size == 1 and self.budget.elapsed >= self.budget.end

    def _steps(self, place: tuple[int, int]) -> Generator[_Step]:
        """What is learned in each step from ``place`` (epoch, step) on."""
        first, number = place
        for epoch in range(first, self.config.epochs):
            batches = self.train.epoch(epoch, start=number * self.accumulation)
            while group := list(islice(batches, self.accumulation)):
                if number and len(group) < self.accumulation:
                    break
                yield _Step(epoch, number, group)
                number += 1
            number = 0

    # Evaluation.

    def _evaluation_is_due(self, *, at_end: bool) -> bool:
        on_the_way = self.state.step > 0 and self.state.step % self.evaluate_every == 0
        if self.validator is None or self.state.evaluated or not (at_end or on_the_way):
            return False
        return at_end or self.world.agreed(self.pace.evaluation_share) <= 1

    def _evaluate(self, done: float) -> None:
        assert self.validator is not None, "an evaluation wants a validation part"
        self._read_losses()
        self.stepper.share_buffers()
        start = time.monotonic()
        objective = self.validator.objective
        with objective.evaluated():
            losses, measure = self._look(self.validator, self.validator.num_batches)
            entry = {
                "epoch": self.state.step / self.steps_per_epoch,
                "valid_loss": float(losses.mean()),
                "valid_score": measure.score(),
                "valid_rows": len(measure),
                "learning_rate": learning_rate_at(done, self.config),
                "seconds": self.budget.elapsed - self.state.training_started,
            }
            is_best = self.state.add_evaluation(entry, greater_is_better=objective.greater_is_better)
            if is_best:
                best, tensors = {"step": self.state.step, "score": self.state.best_score}, self.stepper.learned()
                if self.world.is_main:
                    save_checkpoint(self.files.best(self.state.step), tensors=tensors, state=best)
        self.stepper.keep_buffers()
        curves = {"valid/loss": entry["valid_loss"], f"valid/{objective.score_name}": entry["valid_score"]}
        self.journal.log(curves, step=self.state.step)
        self.pace.evaluation_took(time.monotonic() - start, share=len(measure) / self.validator.num_rows)
        if done < 1:
            self.pace.revise(at_end=False)
        self.pace.evaluated()
        self.progress.scored("training", len(self.state.history), measure.score())

    def _look(self, validator: Validator, num_batches: int) -> tuple[Tensor, Measure]:
        limit = self.pace.evaluation_end

        def enough() -> bool:
            if self.world.size == 1:  # Others would wait for this one.
                self._check_stop()
            return self.world.agreed(self.budget.elapsed > limit) > 0

        return validator.look(num_batches, enough=enough)

    # Time and memory.

    def _measure(self, seconds: float) -> None:
        """Take in the time of a step; after some of them, say what the whole will cost."""
        self.pace.step_took(seconds)
        if self.tuner:
            self.tuner.took(seconds)
        ended = self.state.step % self.evaluate_every == 0 or self.state.step == self.total_steps
        settled = self.tuner is None or self.tuner.is_settled
        # They look at the validation part together, so that one of them decides when.
        if not self.is_told and self.world.agreed(self.pace.is_known(soon=ended)) and (settled or ended):
            self.is_told = True
            self._say_plan()

    def _say_plan(self) -> None:
        if self.validator is not None:
            self._look(self.validator, 1)  # which also allocates
            start = time.monotonic()
            self._look(self.validator, _MEASURED_BATCHES)
            share = min(1.0, _MEASURED_BATCHES / self.validator.num_batches)
            self.pace.evaluation_took(time.monotonic() - start, share=share)
        self.pace.revise(at_end=False)
        memory = describe_bytes(peak_memory(self.stepper.device))
        self.progress.say(f"Training: {self.pace.plan(self.state.step)}, about {memory}")

    # What is told and written on the way.

    def _log_progress(self, done: float) -> None:
        assert self.state.loss is not None, "there is no loss before a step"
        note = f"step {self.state.step:,}, loss {self.state.loss:.4f}"
        if self.validator is not None and self.state.best_score is not None:
            note += f", best {self.validator.objective.score_name} {self.state.best_score:.4f}"
        self.journal.update(done, note=note)
        curves = {**self.losses, "train/learning_rate": learning_rate_at(done, self.config)}
        self.journal.log(curves, step=self.state.step)

    def _check_stop(self) -> None:
        if self.world.any(self.stop.received):
            self._save()
            raise InterruptedRunError(
                "training",
                got=f"a request to stop at step {self.state.step:,} of {self.total_steps:,}",
                expected="to run to the end",
                remedy="Run the same command to resume where it stopped",
            )

    # Checkpoints.

    def _save(self) -> None:
        self._read_losses()
        self.saved = time.monotonic()
        self.state.elapsed = self.budget.elapsed
        self.state.scaler = self.stepper.scaler.state_dict() if self.stepper.scaler else None
        tensors = self.stepper.tensors()
        if self.world.is_main:
            state = {"identity": self.identity, "run": asdict(self.state)}
            self.files.save_last(tensors, state=state, best_step=self.state.best_step)

    def _restore(self) -> None:
        tensors, saved = self.files.load_last(self.identity)
        self.state = RunState(**saved["run"])
        self.stepper.load(tensors, self.state.scaler)
        self.budget.restore(self.state.elapsed)
        self.pace.started = self.state.training_started
        self.progress.say(f"Resuming at step {self.state.step:,} of {self.total_steps:,}")

    # Losses that are not finite.

    def _read_losses(self) -> None:
        if not self.unread:
            return
        steps, found = zip(*self.unread, strict=True)
        self.unread.clear()
        losses = torch.stack(found)
        self.world.add([losses])
        rows = losses.tolist()
        for index, (step, (total, *_)) in enumerate(zip(steps, rows, strict=True)):
            if not math.isfinite(total):
                self._refuse(step, self.state.step - len(rows) + index + 1)
        self.state.add_losses([total for total, *_ in rows])
        names = self.stepper.loss_names if len(self.stepper.loss_names) > 1 else []
        parts = {f"train/loss/{name}": value for name, value in zip(names, rows[-1][1:], strict=False)}
        self.losses = {"train/loss": rows[-1][0], **parts}

    def _refuse(self, step: _Step, number: int) -> NoReturn:
        rows = self.stepper.bad_rows(step.batches)
        whole = [row for batch in step.batches for row in batch.rows.tolist()]
        named = sorted(self.train.numbers_of(np.array(rows or whole)))
        raise not_finite(number, named, of=len(whole), learning_rate=self.config.learning_rate)


def _reads_apart(device: torch.device) -> int:
    """Steps from one look at the losses to the next: a look waits for the device, which on a CPU costs nothing."""
    return 1 if device.type == "cpu" else 16
