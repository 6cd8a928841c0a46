"""One class for each row: binary with one logit, multiclass with one logit for each class.

Rows with several labels are the work of ``tag.py``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, Literal, Self

import torch
from torch import Tensor

from tonggan.cells import cell_text, places_of
from tonggan.config import Config
from tonggan.data.target_checks import IMBALANCED_SHARE
from tonggan.errors import DataError
from tonggan.tasks import losses
from tonggan.tasks.base import Advice, LabelTask, TaskConfig
from tonggan.tasks.label_measure import ClassMeasure
from tonggan.tasks.labels import LabelCounter
from tonggan.wording import Words


class BinaryConfig(losses.LabelLossConfig, TaskConfig):
    """One of two classes, by one logit."""

    kind: Literal["binary"] = "binary"

    def build(self) -> Binary:
        return Binary(self)


class MulticlassConfig(losses.LabelLossConfig, TaskConfig):
    """One of several classes."""

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

    def encode(self, values: Sequence[Any]) -> Tensor:
        """[B] int64 class numbers."""
        numbers = places_of(self.labels)
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
        return torch.tensor([numbers[name] for name in names if name is not None], dtype=torch.int64)

    @staticmethod
    @abstractmethod
    def activation(logits: Tensor) -> Tensor:
        """[B, num_classes]: probabilities of logits [B, num_outputs]."""

    def probabilities(self, outputs: Tensor) -> Tensor:
        """[B, num_classes] after temperature."""
        return self.activation(outputs / self.temperature)

    def classes(self, outputs: Tensor) -> Tensor:
        """[B] int64: the class predicted for each row."""
        return outputs.argmax(dim=1) if outputs.shape[1] > 1 else (outputs.squeeze(1) > 0).long()

    def decode(self, outputs: Tensor) -> list[Any]:
        """Each row's class, in the type of the target column."""
        values = self.label_values
        return [values[number] for number in self.classes(outputs).tolist()]

    def measure(self, outputs: Tensor, target: Tensor) -> ClassMeasure:
        return ClassMeasure(
            {"outputs": outputs.detach().cpu().numpy(), "target": target.cpu().numpy()},
            self.score_name,
            self.greater_is_better,
            labels=self.labels,
            activation=self.activation,
            temperature=self.temperature,
            rare=None if self.rare is None else self.labels.index(self.rare),
        )

    def describe(self, outputs_row: Tensor) -> str:
        probabilities = self.probabilities(outputs_row.unsqueeze(0))[0]
        number = int(self.classes(outputs_row.unsqueeze(0)))
        return f"{self.labels[number]} ({float(probabilities[number]):.0%})"

    def describe_target(self, target_row: Tensor) -> str:
        return self.labels[int(target_row)]

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

    def _log_frequencies(self, target: Tensor) -> Tensor:
        """[C]: logs of the class frequencies; one row is added to each class so that none is impossible."""
        counts = torch.bincount(target.cpu(), minlength=len(self.labels)).double() + 1
        # probabilities() will divide by the temperature.
        return (self.temperature * (counts / counts.sum()).log()).float()


class Multiclass(Classify):
    """One of several classes: a softmax over one logit for each."""

    kind: str = "multiclass"
    words = Words("multiclass", "多分类")

    @property
    def num_outputs(self) -> int:
        return len(self.labels)

    def outputs_loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        return losses.cross_entropy(outputs, target, config=self.config, weights=self.weights)

    @staticmethod
    def activation(logits: Tensor) -> Tensor:
        return logits.softmax(dim=1)

    def baseline(self, target: Tensor, num_rows: int) -> Tensor:
        return self._log_frequencies(target).repeat(num_rows, 1)


class Binary(Classify):
    """One of two classes: the logit of ``labels[1]``."""

    kind: str = "binary"
    words = Words("binary", "二分类")

    @property
    def num_outputs(self) -> int:
        return 1

    def _check_labels(self) -> None:
        super()._check_labels()
        if len(self.labels) > 2:
            raise DataError(
                "binary target",
                got=f"{len(self.labels)} classes, such as " + ", ".join(f"'{name}'" for name in self.labels[:4]),
                expected="two",
                remedy="Use the task kind multiclass",
            )

    def outputs_loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        weights = None if self.weights is None else self.weights.unsqueeze(0)
        return losses.binary_cross_entropy(outputs, target.unsqueeze(1), config=self.config, weights=weights).squeeze(1)

    @staticmethod
    def activation(logits: Tensor) -> Tensor:
        return torch.cat([torch.sigmoid(-logits), torch.sigmoid(logits)], dim=1)

    def baseline(self, target: Tensor, num_rows: int) -> Tensor:
        negative, positive = self._log_frequencies(target)
        logit: Tensor = positive - negative
        return logit.repeat(num_rows, 1)
