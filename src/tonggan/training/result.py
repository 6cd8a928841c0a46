"""What a training run gives back besides the weights, and what it must remember to be resumed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from tonggan.training.precision import Precision

StoppedBy = Literal["epochs", "time", "patience"]


@dataclass(frozen=True)
class TrainingResult:
    """The course of a finished training.

    Attributes:
        history: one entry for each evaluation: ``step``, ``epoch`` (a fraction), ``train_loss`` (mean since the entry
            before, None without a step), ``valid_loss``, ``valid_score`` (by the task's ``score_name``),
            ``valid_rows``, ``learning_rate`` and ``seconds``.
        best_step: the step whose weights were kept.
        best_score: their score; None where there was no validation part.
        steps: steps of the optimizer.
        learned: what was learned from, in the objective's weights: rows, or tokens.
        loss: of the last steps; None without any.
        seconds: wall-clock time, that of interrupted parts included.
        stopped_by: what ended it.
        precision: the number format it ran in.
        peak_memory: bytes, of main memory on a CPU, else of the accelerator.
        threads: with how many PyTorch took the last steps.
    """

    history: list[dict[str, Any]]
    best_step: int
    best_score: float | None
    steps: int
    learned: float
    loss: float | None
    seconds: float
    stopped_by: StoppedBy
    precision: Precision
    peak_memory: int
    threads: int


@dataclass
class RunState:
    """The plain data of a checkpoint; all else of a run follows from its config and seed."""

    step: int = 0
    place: tuple[int, int] = (0, 0)
    """The next step: its epoch, and its number in it."""
    learned: float = 0.0
    """The objective's total weight of all batches so far."""
    loss: float | None = None
    """Recent loss."""
    history: list[dict[str, Any]] = field(default_factory=list)
    best_step: int = 0
    best_score: float | None = None
    best_loss: float = math.inf
    without_gain: int = 0
    """Evaluations since the best one."""
    loss_sum: float = 0.0
    loss_steps: int = 0
    """Losses of the steps since the last evaluation."""
    training_started: float = 0.0
    elapsed: float = 0.0
    """Seconds of the budget used: at the first step, and at this checkpoint."""
    stopped_by: StoppedBy | None = None
    peak_memory: int = 0
    scaler: dict[str, Any] | None = None

    @property
    def evaluated(self) -> bool:
        """Whether the weights of this very step have been evaluated."""
        return bool(self.history) and self.history[-1]["step"] == self.step

    def add_losses(self, losses: list[float]) -> None:
        """Count the losses of further steps."""
        for loss in losses:
            self.loss_sum += loss
            self.loss = loss if self.loss is None else 0.9 * self.loss + 0.1 * loss
        self.loss_steps += len(losses)

    def add_evaluation(self, entry: dict[str, Any], *, greater_is_better: bool) -> bool:
        """Record an evaluation; True where it is the best so far, by score and then by loss."""
        mean_loss = self.loss_sum / self.loss_steps if self.loss_steps else None
        self.history.append({"step": self.step, "train_loss": mean_loss, **entry})
        self.loss_sum, self.loss_steps = 0.0, 0
        sign = 1 if greater_is_better else -1
        # Equal scores, common near 100 %, are ranked by the loss.
        rank = (sign * entry["valid_score"], -entry["valid_loss"])
        if self.best_score is None or rank > (sign * self.best_score, -self.best_loss):
            self.best_step, self.best_score, self.best_loss = self.step, entry["valid_score"], entry["valid_loss"]
            self.without_gain = 0
            return True
        self.without_gain += 1
        return False
