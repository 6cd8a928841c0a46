"""Any number of labels for each row: one logit for each label.

A value is a text with separators ("red|round") or a list of names. An empty list, or a separator alone, is a row
without labels; None or a blank text is a missing target.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from tonggan.cells import cell_text, places_of
from tonggan.config import Config
from tonggan.errors import DataError
from tonggan.modalities.multilabel import MultilabelConfig
from tonggan.tasks import losses
from tonggan.tasks.base import LabelTask
from tonggan.tasks.labels import LabelCounter
from tonggan.tasks.metrics import tag_metrics


class TagConfig(losses.LabelLossConfig):
    """Any of several labels."""

    kind: Literal["multilabel"] = "multilabel"
    separator: str = Field(default="|", min_length=1)
    """What stands between the labels of a text."""

    def build(self) -> Tag:
        return Tag(self)


class Tag(LabelTask):
    """Any of several labels. Targets are float32 [B, num_labels] of zeros and ones."""

    kind: str = "multilabel"
    score_name = "average_precision_micro"
    config: TagConfig

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.column = MultilabelConfig(separator=self.config.separator)

    @property
    def num_outputs(self) -> int:
        return len(self.labels)

    def fit(self, values: Iterable[Any]) -> None:
        counter = LabelCounter()
        missing = []
        num_rows = 0
        for row, value in enumerate(values):
            names = self.column.split(value)
            num_rows += 1
            if names is None:
                missing.append(row)
            else:
                for name in names:
                    counter.add(name)
        self._reject_missing(missing)
        counts = counter.named()
        if all(count == num_rows for count in counts.values()):
            raise DataError(
                "multilabel target",
                got="the same labels in every row" if counts else "no labels",
                expected="at least one label that some rows have and some do not",
                remedy="Choose another target column, or check the separator",
            )
        self.labels, self.label_type = list(counts), counter.type
        if self.config.class_weights == "balanced":
            positive = torch.tensor([counts[name] for name in self.labels])
            self.weights = losses.balanced_weights(torch.stack([num_rows - positive, positive], dim=1))

    def _reject_missing(self, rows: Sequence[int]) -> None:
        self._reject_rows(
            rows,
            problem="no value",
            expected="labels in every row",
            remedy=f"Remove these rows or fill them in, with '{self.config.separator}' alone where no label holds",
        )

    def encode(self, values: Sequence[Any]) -> Tensor:
        """[B, num_labels] float32 of zeros and ones."""
        numbers = places_of(self.labels)
        split = [self.column.split(value) for value in values]
        rows = [None if parts is None else [str(cell_text(part)) for part in parts] for parts in split]
        self._reject_missing([row for row, names in enumerate(rows) if names is None])
        unknown = [row for row, names in enumerate(rows) if not numbers.keys() >= set(names or ())]
        self._reject_rows(
            unknown,
            problem="labels that the training part does not have",
            expected="labels of the training part only",
            remedy="Correct or remove these rows, or add such rows to the training part",
        )
        target = torch.zeros(len(rows), len(self.labels))
        for row, names in enumerate(rows):
            target[row, [numbers[name] for name in names or ()]] = 1
        return target

    def outputs_loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        """[B]: the mean over the labels."""
        return losses.binary_cross_entropy(outputs, target, config=self.config, weights=self.weights).mean(dim=1)

    def probabilities(self, outputs: Tensor) -> Tensor:
        """[B, num_labels] after temperature; they do not add up to one."""
        return torch.sigmoid(outputs / self.temperature)

    def decode(self, outputs: Tensor) -> list[Any]:
        """Each row's labels, in the type that they have in the target column."""
        values = self.label_values
        return [[value for value, logit in zip(values, row, strict=True) if logit > 0] for row in outputs.tolist()]

    def metrics(self, outputs: Tensor, target: Tensor) -> dict[str, float]:
        probabilities = self.probabilities(outputs.detach().cpu().double())
        return tag_metrics(probabilities.numpy(), target.cpu().long().numpy())

    def score(self, outputs: Tensor, target: Tensor) -> float:
        """Average precision over all pairs of row and label; 0 where no row has a label."""
        from sklearn.metrics import average_precision_score

        if not bool(target.any()):
            return 0.0
        return float(
            average_precision_score(target.cpu().numpy(), outputs.detach().float().cpu().numpy(), average="micro")
        )

    def baseline(self, target: Tensor, num_rows: int) -> Tensor:
        frequency = (target.cpu().double().sum(dim=0) + 1) / (len(target) + 2)
        return (self.temperature * frequency.logit()).float().repeat(num_rows, 1)

    def describe(self, outputs_row: Tensor) -> str:
        probabilities = self.probabilities(outputs_row).tolist()
        shown = sorted(zip(probabilities, self.labels, strict=True), reverse=True)
        return ", ".join(f"{name} ({share:.0%})" for share, name in shown if share > 0.5) or "no label"
