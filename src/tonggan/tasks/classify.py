"""One class for each row: binary with one logit, multiclass with one logit for each class.

Rows with several labels are the work of ``tag.py``.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor

from tonggan.cells import cell_text, places_of
from tonggan.config import Config
from tonggan.data.target_checks import IMBALANCED_SHARE
from tonggan.decoders.answers import TARGET, Vector
from tonggan.errors import DataError
from tonggan.tasks import losses
from tonggan.tasks.base import Advice, CellTarget, LabelTask, LabelTaskConfig
from tonggan.tasks.label_measure import ClassMeasure
from tonggan.tasks.labels import LabelCounter
from tonggan.tokens import Arrays, Prediction
from tonggan.wording import Words


class BinaryConfig(LabelTaskConfig):
    """One of two classes, by one logit."""

    form: ClassVar[Literal["classes"]] = "classes"
    kind: Literal["binary"] = "binary"

    def build(self) -> Binary:
        return Binary(self)


class MulticlassConfig(LabelTaskConfig):
    """One of several classes."""

    form: ClassVar[Literal["classes"]] = "classes"
    kind: Literal["multiclass"] = "multiclass"

    def build(self) -> Multiclass:
        return Multiclass(self)


class Classify(LabelTask):
    """What both kinds share. Targets are int64 class numbers [B], positions in ``labels``."""

    config: losses.LabelLossConfig
    constant_words = Words("always the majority class", "总是预测多数类")

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._set_rare(None)

    def _set_rare(self, name: str | None) -> None:
        self.rare = name
        # Where every class shall count the same, the best epoch is chosen by what counts them so.
        every_class_counts = name is not None or self.config.class_weights != "none"
        self.score_name = "balanced_accuracy" if every_class_counts else "accuracy"

    def fit(self, values: Iterable[Any]) -> None:
        counter = LabelCounter()
        self._reject_missing([row for row, value in enumerate(values) if not counter.add(value)])
        counts = counter.named()
        self.labels, self.label_type = list(counts), counter.type
        self._check_labels()
        self.constant_logits = self._constant_logits(list(counts.values()))
        if max(counts.values()) > IMBALANCED_SHARE * sum(counts.values()):
            self._set_rare(min(self.labels, key=counts.__getitem__))
        if self.config.class_weights == "balanced":
            self.weights = losses.balanced_weights(torch.tensor([counts[name] for name in self.labels]))

    def _check_labels(self) -> None:
        if len(self.labels) < 2:
            raise DataError(
                f"{self.kind} target",
                got=f"only the class '{self.labels[0]}'" if self.labels else "no values",
                expected="at least two classes in the training part",
                remedy="Choose another target column, or add rows of another class",
            )

    def _reject_missing(self, rows: Sequence[int]) -> None:
        self._reject_rows(
            rows,
            problem="no value",
            expected="a class in every row",
            remedy="Fill in the target or remove these rows",
        )

    @property
    def target(self) -> CellTarget:
        return CellTarget(self.config, partial(self._class_numbers, places_of(self.labels)))

    def _class_numbers(self, numbers: Mapping[str, int], values: Sequence[Any]) -> Arrays:
        """[B] int64."""
        names = [cell_text(value) for value in values]
        self._reject_missing([row for row, name in enumerate(names) if name is None])
        unknown = [row for row, name in enumerate(names) if name not in numbers]
        self._reject_rows(
            unknown,
            problem=f"classes that the training part does not have, such as '{names[unknown[0]]}'," if unknown else "",
            expected="one of "
            + ", ".join(f"'{name}'" for name in self.labels[:10])
            + ("…" if len(self.labels) > 10 else ""),
            remedy="Correct or remove these rows, or add such rows to the training part",
        )
        return Arrays.whole(torch.tensor([numbers[name] for name in names if name is not None], dtype=torch.int64))

    @staticmethod
    @abstractmethod
    def activation(logits: Tensor) -> Tensor:
        """[B, num_classes]: probabilities of logits, [B, num_classes] or [B, 1]."""

    def probabilities(self, prediction: Prediction) -> Tensor:
        """[B, num_classes] after temperature."""
        return self.activation(prediction["outputs"] / self.temperature)

    def classes(self, prediction: Prediction) -> Tensor:
        """[B] int64: the class predicted for each row."""
        outputs: Tensor = prediction["outputs"]
        return outputs.argmax(dim=1) if outputs.shape[1] > 1 else (outputs.squeeze(1) > 0).long()

    def decode(self, prediction: Prediction) -> list[Any]:
        """Each row's class, in the type of the target column."""
        values = self.label_values
        return [values[number] for number in self.classes(prediction).tolist()]

    def measure(self, prediction: Prediction, targets: Mapping[str, Arrays]) -> ClassMeasure:
        return ClassMeasure(
            {"outputs": prediction["outputs"].numpy(), "target": targets[TARGET].values.numpy()},
            self.score_name,
            self.greater_is_better,
            labels=self.labels,
            activation=self.activation,
            temperature=self.temperature,
            rare=None if self.rare is None else self.labels.index(self.rare),
        )

    def describe(self, prediction: Prediction) -> list[str]:
        rows = zip(self.classes(prediction).tolist(), self.probabilities(prediction).tolist(), strict=True)
        return [f"{self.labels[number]} ({probabilities[number]:.0%})" for number, probabilities in rows]

    def describe_targets(self, targets: Mapping[str, Arrays]) -> list[str]:
        return [self.labels[number] for number in targets[TARGET].values.tolist()]

    def advice(self) -> Advice | None:
        """Weights where one class is rare and counts for little."""
        if self.rare is None or self.weights is not None:
            return None
        reason = Words(
            "One class is rare, and counts for little in training. To let every class count the same, fit again with:",
            "其中一个类别很少，在训练中几乎不起作用。要使各类别同等重要，请加上以下选项重新训练：",
        )
        return Advice(reason, ["task.class_weights=balanced"])

    def state(self) -> dict[str, Any]:
        return super().state() | {"rare": self.rare}

    @classmethod
    def load(cls, config: Config, state: dict[str, Any]) -> Self:
        task = super().load(config, state)
        task._set_rare(state.get("rare"))  # Bundles from before it was looked for have none.
        return task

    @abstractmethod
    def _constant_logits(self, counts: Sequence[int]) -> list[float]:
        """From how many rows each class has; one is added to each so that none is impossible."""


class Multiclass(Classify):
    """One of several classes: a softmax over one logit for each."""

    kind: str = "multiclass"
    words = Words("multiclass", "多分类")

    @property
    def answer(self) -> Vector:
        return Vector(len(self.labels), self.row_losses)

    def row_losses(self, outputs: Tensor, target: Tensor) -> Tensor:
        """[B]: of logits [B, C]."""
        return losses.cross_entropy(outputs, target, config=self.config, weights=self.weights)

    @staticmethod
    def activation(logits: Tensor) -> Tensor:
        return logits.softmax(dim=1)

    def _constant_logits(self, counts: Sequence[int]) -> list[float]:
        total = sum(counts) + len(counts)
        return [math.log((count + 1) / total) for count in counts]


class Binary(Classify):
    """One of two classes: the logit of ``labels[1]``."""

    kind: str = "binary"
    words = Words("binary", "二分类")

    @property
    def answer(self) -> Vector:
        return Vector(1, self.row_losses)

    def _check_labels(self) -> None:
        super()._check_labels()
        if len(self.labels) > 2:
            raise DataError(
                "binary target",
                got=f"{len(self.labels)} classes, such as " + ", ".join(f"'{name}'" for name in self.labels[:4]),
                expected="two",
                remedy="Use the task kind multiclass",
            )

    def row_losses(self, outputs: Tensor, target: Tensor) -> Tensor:
        """[B]: of logits [B, 1]."""
        weights = None if self.weights is None else self.weights.unsqueeze(0)
        return losses.binary_cross_entropy(outputs, target.unsqueeze(1), config=self.config, weights=weights).squeeze(1)

    @staticmethod
    def activation(logits: Tensor) -> Tensor:
        return torch.cat([torch.sigmoid(-logits), torch.sigmoid(logits)], dim=1)

    def _constant_logits(self, counts: Sequence[int]) -> list[float]:
        negative, positive = counts
        return [math.log((positive + 1) / (negative + 1))]
