"""The training loop: steps, evaluations, checkpoints, and an end that is on time.

It knows a task by ``loss``, ``predict`` and ``measure``. Calibration, final metrics and reports are not its work.

A resumed run gives the numbers of one that was never stopped: order and augmentation of batch ``b`` of epoch ``e``
come from (seed, e, b), all other randomness of step ``t`` from (seed, t), and the rest is in the checkpoint. Only
under a time limit do the numbers depend on the clock.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
from torch import Tensor, nn

from tonggan.data.dataset import Dataset
from tonggan.data.loader import Loader
from tonggan.errors import DataError, InterruptedRunError, TrainingError
from tonggan.layers.cores import num_threads
from tonggan.progress import Progress
from tonggan.tasks.base import Objective
from tonggan.tasks.measure import Measure
from tonggan.tokens import Batch
from tonggan.training.budget import Budget, describe_bytes, peak_memory
from tonggan.training.checkpoint import load_checkpoint, load_model_tensors, model_tensors, save_checkpoint
from tonggan.training.config import TrainingConfig
from tonggan.training.interruption import StopRequest, stop_request
from tonggan.training.journal import Journal
from tonggan.training.memory import keep_freed_memory
from tonggan.training.optimizer import learning_rate_at
from tonggan.training.pace import Following, Pace
from tonggan.training.result import RunState, StoppedBy, TrainingResult
from tonggan.training.stepper import Stepper, not_finite, set_memory_format
from tonggan.training.threads import ThreadTuner
from tonggan.training.validator import Validator, share_of

_MEASURED_BATCHES = 2


def train(
    model: nn.Module,
    task: Objective,
    *,
    train: Dataset,
    valid: Dataset,
    config: TrainingConfig,
    folder: Path,
    seed: int,
    budget: Budget | None = None,
    following: Following | None = None,
    progress: Progress | None = None,
) -> TrainingResult:
    """Train ``model`` and leave in it the weights with the best score on ``valid``.

    A ``folder`` with the checkpoint of an interrupted run is resumed. Started by ``accelerate launch`` or
    ``torchrun``, each process trains on its share of the rows, and gradients are averaged.

    Args:
        model: maps ``batch.inputs`` to outputs; it is moved to the accelerator, if there is one, and left there.
        task: fitted on the training part's targets.
        train: the training part.
        valid: the part whose score chooses the weights.
        config: how to train.
        folder: receives ``last.safetensors``, ``best-<step>.safetensors`` and the TensorBoard log.
        seed: of dropout and order; the caller has seeded the model's first weights.
        budget: its limit, less what is reserved, ends the training; None sets no limit.
        following: what comes after the training, and its time.
        progress: is told the predicted time and memory, and how far the run is.

    Raises:
        DataError: a part has no rows.
        TrainingError: the loss is not finite, or a checkpoint cannot be read or written.
        InterruptedRunError: Ctrl-C or SIGTERM came; the checkpoint is written.
    """
    from accelerate import Accelerator, DistributedDataParallelKwargs

    _check_rows(train, valid)
    # A batch in which a modality is absent gives no gradient to that modality's encoder.
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    # Half precision is the stepper's work: Accelerate has one setting for a whole process, and patches the model.
    accelerator = Accelerator(mixed_precision="no", kwargs_handlers=[unused])
    stepper = Stepper(model, task, config=config, accelerator=accelerator, seed=seed)
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
            budget=budget or Budget(),
            following=following or Following(),
            progress=progress,
            stop=stop,
        )
        return run.complete()


def _check_rows(train: Dataset, valid: Dataset) -> None:
    for name, part in {"training": train, "validation": valid}.items():
        if len(part) == 0:
            raise DataError(
                f"{name} part", got="no rows", expected="at least one row", remedy="Check the table and its split"
            )


class _Run:
    """One call of ``train``: the place in the course of the training, its clocks, and what is written on the way."""

    def __init__(
        self,
        stepper: Stepper,
        *,
        train: Dataset,
        valid: Dataset,
        folder: Path,
        budget: Budget,
        following: Following,
        progress: Progress | None,
        stop: StopRequest,
    ) -> None:
        self.stepper, self.folder, self.budget, self.stop = stepper, folder, budget, stop
        self.model, self.task, self.config = stepper.model, stepper.task, stepper.config
        self.accelerator = stepper.accelerator
        self.progress = progress if progress and self.accelerator.is_main_process else Progress()
        size = self.config.batch_size
        self.validator = Validator(stepper, valid, batch_size=size)
        share = share_of(train, np.arange(len(train)), accelerator=self.accelerator)
        self.loader = Loader(
            share,
            batch_size=size,
            seed=stepper.seed,
            shuffle=True,
            drop_last=len(share) >= size,
            hidden_cells=self.config.hidden_cells,
        )
        self.accumulation = min(self.config.accumulation, len(self.loader))
        self.steps_per_epoch = len(self.loader) // self.accumulation
        self.total_steps = self.steps_per_epoch * self.config.epochs
        self.evaluate_every = self.config.evaluate_every or self.steps_per_epoch
        self.identity = {
            "config": self.config.to_dict(),
            "seed": stepper.seed,
            "precision": stepper.precision,
            "rows": [len(train), len(valid)],
            "processes": self.accelerator.num_processes,
            "parameters": sum(parameter.numel() for parameter in self.model.parameters()),
        }
        self.pace = Pace(budget, total_steps=self.total_steps, evaluate_every=self.evaluate_every, following=following)
        self.state = RunState(training_started=self.pace.started)
        self.unread: list[Tensor] = []
        self.steps_between_reads = _reads_apart(stepper.device)
        self.is_told = False
        # Another number of threads may round otherwise: only where the clock decides already.
        is_tuned = budget.seconds is not None and stepper.device.type == "cpu" and self.accelerator.num_processes == 1
        self.tuner = ThreadTuner() if is_tuned else None

    # The course of the run.

    def complete(self) -> TrainingResult:
        """Train from the last checkpoint, or the start, to the end."""
        state = self.state
        if self._last_path.exists():
            state = self._restore()
        if state.stopped_by is None:
            log_folder = self.folder / "tensorboard" if self.accelerator.is_main_process else None
            self.journal = Journal(log_folder, progress=self.progress, step=state.step)
            self.saved = time.monotonic()
            self.pace.evaluated()
            self.stepper.keep_buffers()
            self.stepper.wrapped.train()
            with closing(self.journal), closing(self._batches(state.step)) as batches:
                state.stopped_by = self._advance(batches)
            state.peak_memory = max(state.peak_memory, peak_memory(self.stepper.device))
            self._save()
        self.accelerator.wait_for_everyone()
        tensors, _ = load_checkpoint(self._best_path(state.best_step))
        load_model_tensors(self.model, tensors)
        set_memory_format(self.model, torch.contiguous_format)
        assert state.best_score is not None, "a run does not end without an evaluation"
        return TrainingResult(
            history=state.history,
            best_step=state.best_step,
            best_score=state.best_score,
            steps=state.step,
            seconds=state.elapsed - state.training_started,
            stopped_by=state.stopped_by,
            precision=self.stepper.precision,
            peak_memory=state.peak_memory,
            threads=self.tuner.threads if self.tuner else torch.get_num_threads(),
        )

    def _advance(self, batches: Generator[list[Batch]]) -> StoppedBy:
        state = self.state
        while True:
            done = self._done()
            if done >= 1 and state.step < self.total_steps:
                self.pace.revise(at_end=True)
                done = self._done()
            ended: StoppedBy | None = "epochs" if state.step == self.total_steps else "time" if done >= 1 else None
            if self._evaluation_is_due(at_end=ended is not None):
                self._evaluate(done)
            if ended:
                return ended
            if self.config.patience is not None and state.without_gain >= self.config.patience:
                return "patience"
            start = time.monotonic()
            loss = self.stepper.step(state.step, next(batches), learning_rate=learning_rate_at(done, self.config))
            seconds = time.monotonic() - start
            state.step += 1
            self.unread.append(loss)
            if len(self.unread) >= self.steps_between_reads:
                self._read_losses()
            self._measure(seconds)
            if self.journal.due and state.loss_steps:
                self._log_progress(done)
            self._check_stop()
            if time.monotonic() - self.saved > self.config.checkpoint_every:
                self._save()

    def _done(self) -> float:
        return self._agree(self.pace.done(self.state.step))

    def _agree(self, value: float) -> float:
        """The main process's ``value`` in all processes, which must take the same turns whatever their clocks say."""
        if self.accelerator.num_processes == 1:
            return value
        from accelerate.utils import broadcast

        return float(broadcast(torch.tensor(value, device=self.stepper.device)).item())

    def _batches(self, step: int) -> Generator[list[Batch]]:
        """The batches of each step from ``step`` on, without end."""
        epoch, skipped = divmod(step, self.steps_per_epoch)
        while True:
            batches = self.loader.epoch(epoch, start=skipped * self.accumulation)
            for _ in range(skipped, self.steps_per_epoch):
                yield list(islice(batches, self.accumulation))
            epoch, skipped = epoch + 1, 0

    # Evaluation.

    def _evaluation_is_due(self, *, at_end: bool) -> bool:
        step = self.state.step
        if self.state.evaluated or not (at_end or (step > 0 and step % self.evaluate_every == 0)):
            return False
        return at_end or self._agree(self.pace.evaluation_share) <= 1

    def _evaluate(self, done: float) -> None:
        self._read_losses()
        start = time.monotonic()
        losses, measure = self._look(self.validator.num_batches)
        entry = {
            "epoch": self.state.step / self.steps_per_epoch,
            "valid_loss": float(losses.mean()),
            "valid_score": measure.score(),
            "valid_rows": len(measure),
            "learning_rate": learning_rate_at(done, self.config),
            "seconds": self.budget.elapsed - self.state.training_started,
        }
        is_best = self.state.add_evaluation(entry, greater_is_better=self.task.greater_is_better)
        if is_best and self.accelerator.is_main_process:
            best = {"step": self.state.step, "score": self.state.best_score}
            save_checkpoint(self._best_path(self.state.step), tensors=model_tensors(self.model), state=best)
        self.stepper.keep_buffers()
        curves = {"valid/loss": entry["valid_loss"], f"valid/{self.task.score_name}": entry["valid_score"]}
        self.journal.log(curves, step=self.state.step)
        self.pace.evaluation_took(time.monotonic() - start, share=len(measure) / self.validator.num_rows)
        if done < 1:
            self.pace.revise(at_end=False)
        self.pace.evaluated()

    def _look(self, num_batches: int) -> tuple[Tensor, Measure]:
        limit = self.pace.evaluation_end

        def enough() -> bool:
            self._check_stop()
            return self.budget.elapsed > limit

        return self.validator.look(num_batches, enough=enough)

    # Time and memory.

    def _measure(self, seconds: float) -> None:
        """Take in the time of a step; after some of them, say what the whole will cost."""
        self.pace.step_took(seconds)
        if self.tuner:
            self.tuner.took(seconds)
        ended = self.state.step % self.evaluate_every == 0 or self.state.step == self.total_steps
        settled = self.tuner is None or self.tuner.is_settled
        if not self.is_told and self.pace.is_known(soon=ended) and (settled or ended):
            self.is_told = True
            self._say_plan()

    def _say_plan(self) -> None:
        self._look(1)  # which also allocates
        start = time.monotonic()
        self._look(_MEASURED_BATCHES)
        share = min(1.0, _MEASURED_BATCHES / self.validator.num_batches)
        self.pace.evaluation_took(time.monotonic() - start, share=share)
        self.pace.revise(at_end=False)
        memory = describe_bytes(peak_memory(self.stepper.device))
        self.progress.say(f"Training: {self.pace.plan(self.state.step)}, about {memory}")

    # What is told and written on the way.

    def _log_progress(self, done: float) -> None:
        loss = self.state.loss_sum / self.state.loss_steps
        note = f"step {self.state.step:,}, loss {loss:.4f}"
        if self.state.best_score is not None:
            note += f", best {self.task.score_name} {self.state.best_score:.4f}"
        self.journal.update(done, note=note)
        curves = {"train/loss": loss, "train/learning_rate": learning_rate_at(done, self.config)}
        self.journal.log(curves, step=self.state.step)

    def _check_stop(self) -> None:
        if self.stop.received:
            self._save()
            raise InterruptedRunError(
                "training",
                got=f"a request to stop at step {self.state.step:,} of {self.total_steps:,}",
                expected="to run to the end",
                remedy="Run the same command to resume where it stopped",
            )

    # Checkpoints.

    @property
    def _last_path(self) -> Path:
        return self.folder / "last.safetensors"

    def _best_path(self, step: int) -> Path:
        return self.folder / f"best-{step:08d}.safetensors"

    def _save(self) -> None:
        self._read_losses()
        self.saved = time.monotonic()
        self.state.elapsed = self.budget.elapsed
        self.state.scaler = self.stepper.scaler.state_dict() if self.stepper.scaler else None
        if self.accelerator.is_main_process:
            state = {"identity": self.identity, "run": asdict(self.state)}
            save_checkpoint(self._last_path, tensors=self.stepper.tensors(), state=state)
            # Best weights carry their step in their name, so that those this checkpoint speaks of are there until now.
            for path in self.folder.glob("best-*.safetensors"):
                if path != self._best_path(self.state.best_step):
                    path.unlink()

    def _restore(self) -> RunState:
        tensors, saved = load_checkpoint(self._last_path)
        differing = [name for name, value in self.identity.items() if saved["identity"].get(name) != value]
        if differing:
            raise TrainingError(
                f"checkpoint {self._last_path}",
                got=f"a run with other {', '.join(differing)}",
                expected="the run that is to be resumed",
                remedy="Choose another folder for this run, or delete that one",
            )
        self.state = RunState(**saved["run"])
        self.stepper.load(tensors, self.state.scaler)
        self.budget.restore(self.state.elapsed)
        self.pace.started = self.state.training_started
        self.progress.say(f"Resuming at step {self.state.step:,} of {self.total_steps:,}")
        return self.state

    # Losses that are not finite.

    def _read_losses(self) -> None:
        if not self.unread:
            return
        losses = self.accelerator.reduce(torch.stack(self.unread), reduction="mean").tolist()
        first = self.state.step - len(losses)
        self.unread.clear()
        for index, loss in enumerate(losses):
            if not math.isfinite(loss):
                self._refuse(first + index)
        self.state.add_losses(losses)

    def _refuse(self, step: int) -> NoReturn:
        with closing(self._batches(step)) as batches:
            group = next(batches)
        rows = self.stepper.bad_rows(group)
        whole = [row for batch in group for row in batch.rows.tolist()]
        named = sorted(self.loader.dataset.numbers_of(np.array(rows or whole)))
        raise not_finite(step + 1, named, of=len(whole), learning_rate=self.config.learning_rate)


def _reads_apart(device: torch.device) -> int:
    """Steps from one look at the losses to the next: a look waits for the device, which on a CPU costs nothing."""
    return 1 if device.type == "cpu" else 16
