"""Any number of labels for each row: one logit for each label.

A value is a text with separators ("red|round") or a list of names. An empty list, or a separator alone, is a row
without labels; None or a blank text is a missing target.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from tonggan.cells import cell_text, places_of
from tonggan.config import Config
from tonggan.decoders.answers import TARGET, Vector
from tonggan.errors import DataError
from tonggan.modalities.multilabel import MultilabelConfig
from tonggan.tasks import losses
from tonggan.tasks.base import CellTarget, LabelTask, LabelTaskConfig
from tonggan.tasks.label_measure import (
    MIN_RANKED,
    LabelMeasure,
    mean_areas,
    precision_recall_f1,
    ranking_of,
)
from tonggan.tasks.labels import LabelCounter
from tonggan.tasks.measure import Floats, Reducer
from tonggan.tokens import Arrays, Prediction
from tonggan.wording import Words


class TagConfig(LabelTaskConfig):
    """Any of several labels."""

    form: ClassVar[Literal["labels"]] = "labels"
    kind: Literal["multilabel"] = "multilabel"
    separator: str = Field(default="|", min_length=1)
    """Separator between the labels of a text."""

    def build(self) -> Tag:
        return Tag(self)


class Tag(LabelTask):
    """Any of several labels. Targets are float32 [B, num_labels] of zeros and ones."""

    kind: str = "multilabel"
    score_name = "average_precision_micro"
    words = Words("multilabel", "多标签分类")
    constant_words = Words("always the label frequencies", "总是预测标签频率")
    config: TagConfig

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.column = MultilabelConfig(separator=self.config.separator)

    @property
    def answer(self) -> Vector:
        return Vector(len(self.labels), self.row_losses)

    @property
    def target(self) -> CellTarget:
        return CellTarget(self.config, partial(self._label_sets, places_of(self.labels)))

    def fit(self, values: Iterable[Any]) -> None:
        counter = LabelCounter()
        missing = []
        num_rows = 0
        for row, value in enumerate(values):
            names = self.column.labels(value)
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
        self.constant_logits = [math.log((count + 1) / (num_rows - count + 1)) for count in counts.values()]
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

    def _label_sets(self, numbers: Mapping[str, int], values: Sequence[Any]) -> Arrays:
        """[B, num_labels] float32 of zeros and ones."""
        split = [self.column.labels(value) for value in values]
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
        return Arrays.whole(target)

    def row_losses(self, outputs: Tensor, target: Tensor) -> Tensor:
        """[B]: the mean over the labels."""
        return losses.binary_cross_entropy(outputs, target, config=self.config, weights=self.weights).mean(dim=1)

    def probabilities(self, prediction: Prediction) -> Tensor:
        """[B, num_labels] after temperature; they do not add up to one."""
        return torch.sigmoid(prediction["outputs"] / self.temperature)

    def decode(self, prediction: Prediction) -> list[Any]:
        """Each row's labels, in the type that they have in the target column."""
        values, rows = self.label_values, prediction["outputs"].tolist()
        return [[value for value, logit in zip(values, row, strict=True) if logit > 0] for row in rows]

    def measure(self, prediction: Prediction, targets: Mapping[str, Arrays]) -> TagMeasure:
        return TagMeasure(
            {"outputs": prediction["outputs"].numpy(), "target": targets[TARGET].values.numpy()},
            self.score_name,
            self.greater_is_better,
            labels=self.labels,
            activation=torch.sigmoid,
            temperature=self.temperature,
        )

    def describe(self, prediction: Prediction) -> list[str]:
        probabilities = self.probabilities(prediction).tolist()
        rows = [sorted(zip(row, self.labels, strict=True), reverse=True) for row in probabilities]
        return [", ".join(f"{name} ({share:.0%})" for share, name in row if share > 0.5) or "no label" for row in rows]

    def describe_targets(self, targets: Mapping[str, Arrays]) -> list[str]:
        rows = targets[TARGET].values.tolist()
        return [
            ", ".join(name for name, there in zip(self.labels, row, strict=True) if there) or "no label" for row in rows
        ]


@dataclass(frozen=True, eq=False)
class TagMeasure(LabelMeasure):
    """Any of C labels for each row; ``target`` is ``[N, C]`` of zeros and ones.

    ``accuracy`` counts rows of which all labels are right. Rank metrics are means over the labels that five rows have
    and five have not; ``average_precision_micro`` ranks all pairs of row and label together.
    """

    @property
    def predicted(self) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = self.rows["outputs"] > 0
        return found

    def choices(self, probabilities: Floats) -> Floats:
        return np.stack([1 - probabilities, probabilities], axis=2)

    def badness(self) -> Floats:
        """The greatest distance of a probability from the truth on its other side."""
        distance = np.abs(self.probabilities - self.rows["target"])
        greatest: Floats = (distance * (distance > 0.5)).max(axis=1)
        return greatest

    def make_reducers(self) -> Sequence[Reducer]:
        # Logits rank as their probabilities do; torch may round two sigmoids of the same number differently.
        truth, predicted, scores = self.rows["target"] > 0.5, self.predicted, self.rows["outputs"]
        all_right = (predicted == truth).all(axis=1).astype(np.float64)
        both, said_labels, true_labels = (part.astype(np.float64) for part in (predicted & truth, predicted, truth))

        def decisions(counts: Floats) -> list[float]:
            hits, said, there = counts @ both, counts @ said_labels, counts @ true_labels
            means = [part.mean() for part in precision_recall_f1(hits, said, there)]
            micro = 2 * hits.sum() / max(1.0, said.sum() + there.sum())
            return [counts @ all_right / counts.sum(), *means, micro]

        positive = truth.sum(axis=0)
        ranked = np.minimum(positive, len(truth) - positive) >= MIN_RANKED
        pairs = cache(lambda: ranking_of(scores, truth))
        return [
            Reducer(["accuracy", "precision_macro", "recall_macro", "f1_macro", "f1_micro"], decisions),
            Reducer(["roc_auc", "average_precision"], mean_areas(scores[:, ranked], truth[:, ranked]), scores.size),
            Reducer(["average_precision_micro"], lambda counts: [pairs().areas(counts)[1]], scores.size),
            *self.probability_reducers(),
        ]
