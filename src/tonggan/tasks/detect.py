"""Boxes around the objects of a picture, each with its class.

What is found is told, measured and compared in pixels of the original upright picture.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter
from torch import Tensor

from tonggan.data.pictured_checks import check_boxes
from tonggan.data.target_checks import Checked, TargetColumn
from tonggan.decoders.answers import TARGET, Answer, Boxes
from tonggan.errors import DataError
from tonggan.modalities.base import Cell, ColumnConfig
from tonggan.modalities.boxes import Box, BoxesConfig
from tonggan.modalities.boxes import Boxes as BoxesModality
from tonggan.modalities.image import image_address
from tonggan.modalities.image_augment import ImageAugment
from tonggan.models import ModelConfig
from tonggan.tasks.box_measure import BoxMeasure, measure_boxes
from tonggan.tasks.drawing import draw_boxes
from tonggan.tasks.measure import Measure
from tonggan.tasks.pictured import PicturedConfig, PicturedTask
from tonggan.tokens import Arrays, Batch, Prediction
from tonggan.wording import Words


class DetectConfig(PicturedConfig):
    """Boxes around objects."""

    asks: ClassVar[type[Answer]] = Boxes
    default_size: ClassVar[int] = 320
    kind: Literal["detect"] = "detect"
    confidence: float | None = Field(default=None, ge=0, le=1)
    """Minimum score of a box in the answer; null takes the one with the best F1 on the validation part."""

    def complete(
        self, model: ModelConfig, columns: Mapping[str, ColumnConfig], *, target: Sequence[str]
    ) -> tuple[ModelConfig, Self, dict[str, ColumnConfig]]:
        model, task, complete = super().complete(model, columns, target=target)
        return model, task, complete | {name: BoxesConfig() for name in target}

    def default_augment(self) -> ImageAugment:
        return ImageAugment(shift=0.1, scale=0.3, brightness=0.2, contrast=0.2, saturation=0.2)

    def check(self, column: TargetColumn) -> Checked:
        return check_boxes(column)

    def build(self) -> Detect:
        return Detect(self)


class Detect(PicturedTask):
    """Boxes, in a Prediction as the answer ``Boxes`` says.

    Attributes:
        confidence: from which score on a box is an answer.
    """

    config: DetectConfig
    kind = "detect"
    score_name = "map_50"
    words = Words("detect", "目标检测")
    constant_words = Words("never a box", "从不给出检测框")
    max_audited_rows = 2_000

    def __init__(self, config: DetectConfig) -> None:
        super().__init__(config)
        self.confidence = 0.5 if config.confidence is None else config.confidence

    def fit(self, values: Iterable[Sequence[Box] | None]) -> None:
        counts = Counter(box.label for boxes in values for box in boxes or ())
        if not counts:
            raise DataError(
                "detect target",
                got="no box in any row",
                expected="boxes to learn from",
                remedy="Choose another target column, or add rows with boxes",
            )
        self.labels = sorted(counts)

    @property
    def target(self) -> BoxesModality:
        return BoxesModality(BoxesConfig(), labels=self.labels, picture=self.config.shown_in, places=self.config.places)

    @property
    def answer(self) -> Boxes:
        return Boxes(tuple(self.labels), self.config.shown_in)

    def found(self, prediction: Prediction) -> list[Tensor]:
        """Of each row ``[K, 6]``: x1, y1, x2, y2 in pixels of its picture, score and class number."""
        rows = zip(prediction["boxes"], prediction["extent"], strict=True)
        return [torch.cat([self._to_picture(boxes[:, :4], extent), boxes[:, 4:]], dim=1) for boxes, extent in rows]

    def _to_picture(self, boxes: Tensor, extent: Tensor) -> Tensor:
        places = self.config.places(extent.unsqueeze(0))
        return places.clip(places.to_picture(boxes.unsqueeze(0)))[0]

    def decode(self, prediction: Prediction) -> list[Any]:
        """For each row its boxes, the surest first, as a cell of boxes has them, each with its ``score``."""
        return [
            [
                {"label": self.labels[int(number)], "box": [round(side, 2) for side in sides], "score": round(score, 4)}
                for *sides, score, number in boxes[boxes[:, 4] >= self.confidence].tolist()
            ]
            for boxes in self.found(prediction)
        ]

    def as_cell(self, answer: list[dict[str, Any]]) -> str:
        """JSON."""
        return json.dumps(answer, ensure_ascii=False)

    def draw(self, picture: NDArray[np.uint8], answer: list[dict[str, Any]]) -> NDArray[np.uint8]:
        boxes = np.array([each["box"] for each in answer]).reshape(-1, 4)
        names = [f"{each['label']} {each['score']:.2f}" for each in answer]
        return draw_boxes(picture, boxes, names, [self.labels.index(each["label"]) for each in answer])

    def measure(self, prediction: Prediction, targets: Mapping[str, Arrays]) -> BoxMeasure:
        truth, extent = targets[TARGET], prediction["extent"]
        places = self.config.places(extent)
        values = torch.cat([places.to_picture(truth.values[..., :4]), truth.values[..., 4:]], dim=-1)
        return measure_boxes(
            self.found(prediction), Arrays(values, truth.mask), labels=self.labels, confidence=self.confidence
        )

    def constant(self, num_rows: int) -> Prediction:
        """No box at all."""
        return Prediction({"boxes": [torch.zeros(0, 6)] * num_rows, "extent": torch.ones(num_rows, 2).long()})

    def measure_constant(self, targets: Mapping[str, Arrays]) -> BoxMeasure:
        nothing = self.constant(len(targets[TARGET]))["boxes"]
        return measure_boxes(nothing, targets[TARGET], labels=self.labels, confidence=self.confidence)

    def calibrate(self, measure: Measure) -> None:
        assert isinstance(measure, BoxMeasure), "a confidence is chosen by what boxes are worth"
        if self.config.confidence is None:
            self.confidence = measure.best_confidence()

    def calibrated(self, measure: Measure) -> Measure:
        assert isinstance(measure, BoxMeasure), "a confidence is chosen by what boxes are worth"
        return measure.at_confidence(self.confidence)

    def describe(self, prediction: Prediction) -> list[str]:
        return [_counted(box["label"] for box in boxes) for boxes in self.decode(prediction)]

    def describe_targets(self, targets: Mapping[str, Arrays]) -> list[str]:
        truth = targets[TARGET]
        rows = zip(truth.values[..., 4].long(), truth.mask, strict=True)
        return [_counted(self.labels[number] for number in numbers[mask].tolist()) for numbers, mask in rows]

    def show(self, prediction: Prediction, batch: Batch) -> list[tuple[Cell, Cell]]:
        """The picture as the model gets it, with the boxes drawn."""
        pictures, truth = batch.inputs[self.config.shown_in].expand(), batch.targets[TARGET]
        shown = []
        for row, boxes in enumerate(prediction["boxes"]):
            said = boxes[boxes[:, 4] >= self.confidence]
            there = truth.values[row][truth.mask[row]]
            pixels, (top, left) = self.config.cropped(pictures, row)
            corner = torch.tensor([left, top, left, top])
            names = [f"{self.labels[int(number)]} {score:.2f}" for score, number in said[:, 4:].tolist()]
            shown.append(
                (
                    _drawn("predicted", pixels, said[:, :4] - corner, said[:, 5], names=names),
                    _drawn("true", pixels, there[:, :4] - corner, there[:, 4], names=[""] * len(there)),
                )
            )
        return shown

    def state(self) -> dict[str, Any]:
        return super().state() | {"confidence": self.confidence}

    @classmethod
    def load(cls, config: Any, state: dict[str, Any]) -> Self:
        task = super().load(config, state)
        task.confidence = TypeAdapter(float).validate_python(state["confidence"])
        return task


def _drawn(name: str, pixels: NDArray[np.uint8], boxes: Tensor, numbers: Tensor, *, names: Sequence[str]) -> Cell:
    drawn = draw_boxes(pixels, boxes.numpy(), names, numbers.int().tolist())
    return Cell(name, "image", image_address(drawn.transpose(2, 0, 1)))


def _counted(labels: Iterable[str]) -> str:
    return ", ".join(f"{count} {label}" for label, count in sorted(Counter(labels).items())) or "nothing"
