"""What every task can do: say how targets are read, what it asks of a head, and what predictions mean and are worth.

A task holds what it learned from the training part's targets (label names, scales, the constant answer) as plain JSON;
it holds no weights of a network. A Prediction holds the raw outputs of the head; only the task knows what they mean.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import FiniteFloat, PositiveFloat, TypeAdapter
from torch import Tensor

from tonggan.config import Config
from tonggan.data.target_checks import Checked, TargetColumn, check_labels, check_values
from tonggan.decoders import TARGET, Answer, Vector, default_head
from tonggan.errors import DataError
from tonggan.modalities.base import Cell, ColumnConfig, Modality
from tonggan.models import ModelConfig
from tonggan.parts import Part
from tonggan.tasks.label_measure import LabelMeasure
from tonggan.tasks.labels import LabelType, read_labels
from tonggan.tasks.losses import LabelLossConfig
from tonggan.tasks.measure import Measure
from tonggan.tokens import Arrays, Batch, Prediction
from tonggan.wording import Words


@dataclass(frozen=True)
class Advice:
    """Settings ``KEY=VALUE`` of a recipe, each to be tried by itself, and why."""

    reason: Words
    settings: Sequence[str]


class TaskConfig(Part):
    """What is predicted, and how it is learned.

    Attributes:
        asks: the form of the answer, which a head must give.
        predicts_numbers: whether the targets are numbers, of which another column may be a linear function.
        form: what a vector says: one of some classes, any of some labels, or numbers; None of all other answers.
    """

    asks: ClassVar[type[Answer]] = Vector
    form: ClassVar[Literal["classes", "labels", "numbers"] | None] = None
    predicts_numbers: ClassVar[bool] = False

    def check(self, column: TargetColumn) -> Checked:
        """What the doctor tells of a column of the target: by default only which cells say nothing that is readable."""
        return check_values(column)

    def complete(
        self, model: ModelConfig, columns: Mapping[str, ColumnConfig], *, target: Sequence[str]
    ) -> tuple[ModelConfig, Self, dict[str, ColumnConfig]]:
        """Model, task and columns of a recipe made to fit each other: what was left open is filled in.

        Args:
            model: with or without its head.
            columns: all of the table, by name.
            target: names of those that are predicted.

        Raises:
            ConfigError: an option excludes such a task.
        """
        del target
        if model.head.gives is not self.asks and "head" not in model.model_fields_set:
            model = model.model_copy(update={"head": default_head(self.asks)})
        return model, self, dict(columns)

    @abstractmethod
    def build(self) -> Task:
        """The task, to be fitted."""


class LabelTaskConfig(LabelLossConfig, TaskConfig):
    """Classes or labels."""

    def check(self, column: TargetColumn) -> Checked:
        return check_labels(column)


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
        constant_words: what ``constant`` answers.
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
    def known(self) -> Sequence[str]:
        """What rows to be measured may have as their target: its labels, by default."""
        return self.labels

    @property
    @abstractmethod
    def target(self) -> Modality[Any]:
        """How the values of the target become Arrays.

        It raises a DataError where a value is missing or unknown, which names the positions in what it was given.
        """

    @property
    @abstractmethod
    def answer(self) -> Answer:
        """What the task asks of a head."""

    def probabilities(self, prediction: Prediction) -> Tensor | None:
        """[B, num_labels] after temperature; None where the task has no probabilities."""
        del prediction
        return None

    def graph_output(self, prediction: Prediction) -> tuple[str, Tensor] | None:
        """What an exported graph says beside the outputs, and its name; None where only the task can tell."""
        probabilities = self.probabilities(prediction)
        return None if probabilities is None else ("probabilities", probabilities)

    def answers(self, prediction: Prediction) -> list[dict[str, Any]]:
        """What is told of each row: its ``prediction`` and, where there are some, ``probabilities`` by label."""
        answers: list[dict[str, Any]] = [{"prediction": answer} for answer in self.decode(prediction)]
        probabilities = self.probabilities(prediction)
        if probabilities is not None:
            for answer, row in zip(answers, probabilities.tolist(), strict=True):
                answer["probabilities"] = dict(zip(self.labels, row, strict=True))
        return answers

    @abstractmethod
    def decode(self, prediction: Prediction) -> list[Any]:
        """One plain Python value for each row."""

    def as_cell(self, answer: Any) -> Any:
        """How an answer of ``decode`` stands in a table."""
        return answer

    @abstractmethod
    def measure(self, prediction: Prediction, targets: Mapping[str, Arrays]) -> Measure:
        """What the prediction of these rows is worth; the Measures of all batches make one."""

    @abstractmethod
    def constant(self, num_rows: int) -> Prediction:
        """What a model says that sees no input, learned from the training part."""

    def measure_constant(self, targets: Mapping[str, Arrays]) -> Measure:
        """What the constant answer is worth on the same rows."""
        return self.measure(self.constant(len(targets[TARGET])), targets)

    def calibrate(self, measure: Measure) -> None:
        """Set after training how sure answers are told to be, by what it is worth on the validation part."""
        del measure

    def calibrated(self, measure: Measure) -> Measure:
        """What was measured before the calibration, after it."""
        return measure

    def advice(self) -> Advice | None:
        """What may serve these targets better than the settings of this task."""
        return None

    @abstractmethod
    def describe(self, prediction: Prediction) -> list[str]:
        """How the prediction of each row reads for a person."""

    @abstractmethod
    def describe_targets(self, targets: Mapping[str, Arrays]) -> list[str]:
        """How the target of each row reads."""

    def show(self, prediction: Prediction, batch: Batch) -> list[tuple[Cell, Cell]]:
        """For each row what was predicted, and what is true, as a person sees it."""
        pairs = zip(self.describe(prediction), self.describe_targets(batch.targets), strict=True)
        return [(Cell("predicted", "text", said), Cell("true", "text", truth)) for said, truth in pairs]

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


class CellTarget(Modality[Config]):
    """A target whose cells its task turns into Arrays by itself."""

    kind: ClassVar[str] = "target"

    def __init__(self, config: Config, collate: Callable[[Sequence[Any]], Arrays]) -> None:
        super().__init__(config)
        self._collate = collate

    def collate(self, items: Sequence[Any]) -> Arrays:
        return self._collate(items)


class LabelTask(Task):
    """What the tasks of classes and of labels share: labels of any type, and weights that make rare ones count as much.

    Attributes:
        label_type: what the labels of the target column are; ``decode`` gives them back as such.
        weights: ``[C]``, or None where every row counts alike.
        constant_logits: of the constant answer, before the temperature.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.label_type: LabelType = "text"
        self.weights: Tensor | None = None
        self.constant_logits: list[float] = []

    @property
    def label_values(self) -> list[Any]:
        return read_labels(self.labels, self.label_type)

    def state(self) -> dict[str, Any]:
        weights = None if self.weights is None else self.weights.tolist()
        own = {"label_type": self.label_type, "weights": weights, "constant": self.constant_logits}
        return super().state() | own

    def calibrate(self, measure: Measure) -> None:
        assert isinstance(measure, LabelMeasure), "logits are calibrated by what they are worth"
        self.temperature = measure.best_temperature()

    def calibrated(self, measure: Measure) -> Measure:
        assert isinstance(measure, LabelMeasure), "logits are calibrated by what they are worth"
        return measure.at_temperature(self.temperature)

    def constant(self, num_rows: int) -> Prediction:
        # probabilities() will divide by the temperature.
        logits = (self.temperature * torch.tensor(self.constant_logits, dtype=torch.float64)).float()
        return Prediction({"outputs": logits.repeat(num_rows, 1)})

    @classmethod
    def load(cls, config: Config, state: dict[str, Any]) -> Self:
        task = super().load(config, state)
        label_type = state.get("label_type", "text")
        task.label_type = TypeAdapter(LabelType).validate_python(
            label_type
        )  # before there were types, all labels came back as texts
        task.constant_logits = TypeAdapter(list[FiniteFloat]).validate_python(state["constant"])
        if state["weights"] is not None:
            numbers = TypeAdapter(list[FiniteFloat] | list[list[FiniteFloat]])
            task.weights = torch.tensor(numbers.validate_python(state["weights"]))
        return task
