"""What every task can do: encode targets, compute a loss, read outputs, and measure what they are worth.

A task holds what it learned from the training part's targets (label names, scales, class weights) as plain JSON; it
holds no weights of a network. Outputs are the raw numbers of the head; only the task knows what they mean.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from pydantic import FiniteFloat, PositiveFloat, TypeAdapter
from torch import Tensor, nn

from tonggan.config import Config
from tonggan.decoders.text_format import TextFormat
from tonggan.errors import DataError
from tonggan.parts import Part
from tonggan.tasks.labels import LabelType, read_labels
from tonggan.tasks.measure import Measure
from tonggan.tokens import Batch
from tonggan.wording import Words


@dataclass(frozen=True)
class Advice:
    """Settings ``KEY=VALUE`` of a recipe, each to be tried by itself, and why."""

    reason: Words
    settings: Sequence[str]


class TaskConfig(Part):
    """What is predicted, and how it is learned."""

    @abstractmethod
    def build(self) -> Task:
        """The task, to be fitted."""


class Task(ABC):
    """What is predicted.

    Attributes:
        config: the options the task was built from.
        labels: names of the classes, of the labels, or of the numbers predicted; empty before ``fit``.
        temperature: logits are divided by it before they become probabilities (Guo et al. 2017); 1 without calibration.
        score_name: the metric that decides early stopping and that the audit compares.
        greater_is_better: whether a greater score is better.
        rare: the rarest class, where one class has so many of the training rows that accuracy would flatter.
        words: what the task is called.
        constant_words: what ``baseline`` answers.
        max_audited_rows: on how many rows the audit is made at most.
        max_audited_passes: how many rows times columns of tables it is to predict at most.
    """

    kind: str
    score_name: str
    greater_is_better: bool = True
    rare: str | None = None
    words: Words
    constant_words: Words
    max_audited_rows: ClassVar[int] = 20_000
    max_audited_passes: ClassVar[int] = 40_000

    def __init__(self, config: Config) -> None:
        self.config = config
        self.labels: list[str] = []
        self.temperature = 1.0

    @abstractmethod
    def fit(self, values: Iterable[Any]) -> None:
        """Learn from the training part's target values, read once.

        Raises:
            DataError: no values, missing values, or values among which there is nothing to tell apart.
        """

    @property
    def label_values(self) -> list[Any]:
        """``labels`` as ``decode`` gives them."""
        return list(self.labels)

    @property
    @abstractmethod
    def num_outputs(self) -> int:
        """Width of the head."""

    @property
    def text(self) -> TextFormat | None:
        """What a head needs to know to write this task's texts; None for a task without."""
        return None

    @abstractmethod
    def encode(self, values: Sequence[Any]) -> Tensor:
        """Targets as ``outputs_loss`` and ``measure`` take them.

        Raises:
            DataError: a value is missing or unknown; the positions in ``values`` are named.
        """

    @abstractmethod
    def outputs_loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        """[B]: the loss of each row."""

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        """The mean loss of a batch, a scalar."""
        return self.outputs_loss(outputs, target).mean()

    def weight(self, target: Tensor) -> float:
        """Over how much of a batch with these targets ``loss`` is a mean: its rows."""
        return len(target)

    def predict(self, model: nn.Module, batch: Batch) -> Tensor:
        """[B, num_outputs]: raw outputs."""
        outputs: Tensor = model(batch.inputs)
        return outputs

    def probabilities(self, outputs: Tensor) -> Tensor | None:
        """[B, num_labels] after temperature; None where the task has no probabilities."""
        del outputs
        return None

    def answers(self, outputs: Tensor) -> list[dict[str, Any]]:
        """What is told of each row: its ``prediction`` and, where there are some, ``probabilities`` by label."""
        answers: list[dict[str, Any]] = [{"prediction": prediction} for prediction in self.decode(outputs)]
        probabilities = self.probabilities(outputs)
        if probabilities is not None:
            for answer, row in zip(answers, probabilities.tolist(), strict=True):
                answer["probabilities"] = dict(zip(self.labels, row, strict=True))
        return answers

    @abstractmethod
    def decode(self, outputs: Tensor) -> list[Any]:
        """One plain Python value for each row."""

    @abstractmethod
    def measure(self, outputs: Tensor, target: Tensor) -> Measure:
        """What the outputs ``[B, num_outputs]`` of these rows are worth; the Measures of all batches make one."""

    def measure_constant(self, baseline: Tensor, target: Tensor) -> Measure:
        """What the constant answer is worth on the same rows; ``baseline`` is ``[1, num_outputs]``."""
        return self.measure(baseline.expand(len(target), -1), target)

    @abstractmethod
    def baseline(self, target: Tensor, num_rows: int) -> Tensor:
        """[num_rows, num_outputs]: outputs of a model that sees no input, from the training part's ``target``."""

    def advice(self) -> Advice | None:
        """What may serve these targets better than the settings of this task."""
        return None

    @abstractmethod
    def describe(self, outputs_row: Tensor) -> str:
        """How the prediction of one row, ``[num_outputs]``, reads for a person."""

    @abstractmethod
    def describe_target(self, target_row: Tensor) -> str:
        """How the target of one row reads."""

    def state(self) -> dict[str, Any]:
        """What was fitted, as JSON."""
        return {"labels": self.labels, "temperature": self.temperature}

    @classmethod
    def load(cls, config: Config, state: dict[str, Any]) -> Self:
        """The inverse of ``state``."""
        task = cls(config)
        task.labels = TypeAdapter(list[str]).validate_python(state["labels"])
        task.temperature = TypeAdapter(PositiveFloat).validate_python(state["temperature"])
        return task

    def _reject_rows(self, rows: Sequence[int], *, problem: str, expected: str, remedy: str) -> None:
        """Raise a DataError that names ``rows``, the first few by position; nothing when there are none."""
        if rows:
            shown = ", ".join(str(row + 1) for row in rows[:5]) + (", …" if len(rows) > 5 else "")
            raise DataError(
                f"{self.kind} target",
                got=f"{problem} in {len(rows)} rows (counted from 1: {shown})",
                expected=expected,
                remedy=remedy,
            )


class LabelTask(Task):
    """What the tasks of classes and of labels share: labels of any type, and weights that make rare ones count as much.

    Attributes:
        label_type: what the labels of the target column are; ``decode`` gives them back as such.
        weights: ``[C]``, or None where every row counts alike.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.label_type: LabelType = "text"
        self.weights: Tensor | None = None

    @property
    def label_values(self) -> list[Any]:
        return read_labels(self.labels, self.label_type)

    def state(self) -> dict[str, Any]:
        weights = None if self.weights is None else self.weights.tolist()
        return super().state() | {"label_type": self.label_type, "weights": weights}

    @classmethod
    def load(cls, config: Config, state: dict[str, Any]) -> Self:
        task = super().load(config, state)
        label_type = state.get("label_type", "text")
        task.label_type = TypeAdapter(LabelType).validate_python(
            label_type
        )  # before there were types, all labels came back as texts
        if state["weights"] is not None:
            numbers = TypeAdapter(list[FiniteFloat] | list[list[FiniteFloat]])
            task.weights = torch.tensor(numbers.validate_python(state["weights"]))
        return task
