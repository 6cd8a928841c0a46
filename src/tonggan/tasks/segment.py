"""The class of each pixel of a picture.

What is measured are the pixels of the square that the model sees, its borders left out; what is told is brought back to
the size of the original upright picture.
"""

from __future__ import annotations

import base64
import io
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import NonNegativeInt, TypeAdapter
from torch import Tensor

from tonggan.data.pictured_checks import check_regions
from tonggan.data.target_checks import Checked, TargetColumn
from tonggan.decoders.answers import TARGET, Answer
from tonggan.decoders.answers import Regions as RegionsAnswer
from tonggan.modalities.base import Cell, ColumnConfig
from tonggan.modalities.image import image_address
from tonggan.modalities.image_augment import ImageAugment
from tonggan.modalities.regions import (
    UNLABELED,
    RawMask,
    RegionClasses,
    Regions,
    RegionsConfig,
    class_map,
    learn_classes,
    raw_of,
)
from tonggan.models import ModelConfig
from tonggan.tasks.drawing import draw_regions
from tonggan.tasks.pictured import PicturedConfig, PicturedTask
from tonggan.tasks.region_measure import RegionMeasure, measure_regions
from tonggan.tokens import Arrays, Batch, Prediction
from tonggan.wording import Words


class SegmentConfig(PicturedConfig):
    """The class of each pixel."""

    asks: ClassVar[type[Answer]] = RegionsAnswer
    default_size: ClassVar[int] = 256
    kind: Literal["segment"] = "segment"
    classes: dict[str, str | None] | None = None
    """As in the column of masks, which takes precedence."""

    def complete(
        self, model: ModelConfig, columns: Mapping[str, ColumnConfig], *, target: Sequence[str]
    ) -> tuple[ModelConfig, Self, dict[str, ColumnConfig]]:
        model, task, complete = super().complete(model, columns, target=target)
        (name,) = target
        column = columns[name]
        if not isinstance(column, RegionsConfig) or column.classes is None:
            column = RegionsConfig(classes=self.classes)
        return model, task.model_copy(update={"classes": column.classes}), complete | {name: column}

    def default_augment(self) -> ImageAugment:
        return ImageAugment(shift=0.1, scale=0.25, brightness=0.2, contrast=0.2)

    def check(self, column: TargetColumn) -> Checked:
        return check_regions(column, classes=self.classes)

    def build(self) -> Segment:
        return Segment(self)


class Segment(PicturedTask):
    """Regions, in a Prediction as the answer ``Regions`` says.

    Attributes:
        classes: which value of a mask is which class.
        background: number of the class with the most pixels of the training part, which is the constant answer.
    """

    config: SegmentConfig
    kind = "segment"
    words = Words("segment", "图像分割")
    constant_words = Words("always the most common class", "总是预测最常见的类别")
    max_audited_rows = 1_000

    def __init__(self, config: SegmentConfig) -> None:
        super().__init__(config)
        self.classes: RegionClasses | None = None
        self.background = 0

    @property
    def score_name(self) -> str:  # type: ignore[override]
        """Of two classes the IoU of the second one."""
        return "iou" if len(self.labels) == 2 else "miou"

    def fit(self, values: Iterable[NDArray[np.int32] | None]) -> None:
        counts: Counter[tuple[int, bool]] = Counter()

        def counted() -> Iterable[RawMask]:
            for value in values:
                if value is not None:
                    mask = raw_of(value[value >= 0])
                    found, numbers = np.unique(mask.values, return_counts=True)
                    counts.update(
                        {(each, mask.is_color): n for each, n in zip(found.tolist(), numbers.tolist(), strict=True)}
                    )
                    yield mask

        masks = counted()
        self.classes = learn_classes(masks, declared=self.config.classes)
        deque(masks, maxlen=0)  # what declared classes leave unread is counted all the same
        self.labels = list(self.classes.labels)
        pixels = np.zeros(UNLABELED + 1, dtype=np.int64)
        for (value, is_color), count in counts.items():
            (number,) = class_map(RawMask(np.array([value], dtype=np.int32), is_color), self.classes)
            pixels[number] += count
        self.background = int(pixels[: len(self.labels)].argmax())

    @property
    def known(self) -> Sequence[str]:
        """The values of masks, as ``modalities.regions`` stores them."""
        assert self.classes is not None, "the task is used before fit"
        return [str(value) for value in self.classes.stored_values]

    @property
    def target(self) -> Regions:
        config = self.config
        return Regions(
            RegionsConfig(classes=config.classes),
            picture=config.shown_in,
            size=config.size or config.default_size,
            resize=config.resize or "pad",
            classes=self.classes,
        )

    @property
    def answer(self) -> RegionsAnswer:
        return RegionsAnswer(tuple(self.labels), self.config.shown_in)

    def decode(self, prediction: Prediction) -> list[Any]:
        """For each row uint8 ``[H, W]``, positions in ``labels``, in the size of its picture."""
        places = self.config.places(prediction["extent"])
        found = places.masks_to_pictures(prediction["regions"])
        return [regions.to(torch.uint8).numpy() for regions in found]

    def as_cell(self, answer: NDArray[np.uint8]) -> bytes:
        """A PNG of class numbers."""
        import PIL.Image

        buffer = io.BytesIO()
        PIL.Image.fromarray(answer).save(buffer, format="PNG", optimize=True)
        return buffer.getvalue()

    def answers(self, prediction: Prediction) -> list[dict[str, Any]]:
        """For each row a PNG of class numbers as a ``data:`` address, and each class's share of the pixels."""
        return [
            {
                "prediction": f"data:image/png;base64,{base64.b64encode(self.as_cell(regions)).decode()}",
                "shares": self._shares(regions),
            }
            for regions in self.decode(prediction)
        ]

    def _shares(self, regions: NDArray[np.uint8]) -> dict[str, float]:
        counts = np.bincount(regions.ravel(), minlength=len(self.labels))
        return {
            label: round(count / regions.size, 4) for label, count in zip(self.labels, counts.tolist(), strict=True)
        }

    def draw(self, picture: NDArray[np.uint8], answer: NDArray[np.uint8]) -> NDArray[np.uint8]:
        # Of two classes it is plain which one is colored.
        names = self.labels if len(self.labels) > 2 else ()
        return draw_regions(picture, answer, background=self.background, names=names)

    def measure(self, prediction: Prediction, targets: Mapping[str, Arrays]) -> RegionMeasure:
        truth = targets[TARGET].values
        return measure_regions(prediction["regions"], truth, labels=self.labels)

    def constant(self, num_rows: int) -> Prediction:
        size = self.config.size or self.config.default_size
        regions = torch.full((1, size, size), self.background).expand(num_rows, -1, -1)
        return Prediction({"regions": regions, "extent": torch.full((num_rows, 2), size)})

    def describe(self, prediction: Prediction) -> list[str]:
        return [self._said(regions) for regions in self.decode(prediction)]

    def describe_targets(self, targets: Mapping[str, Arrays]) -> list[str]:
        return [self._said(values[values < len(self.labels)].numpy()) for values in targets[TARGET].values]

    def _said(self, regions: NDArray[np.uint8]) -> str:
        shares = self._shares(regions) if regions.size else {}
        others = (label for number, label in enumerate(self.labels) if number != self.background)
        return ", ".join(f"{label} {shares[label]:.0%}" for label in others if shares.get(label)) or "nothing"

    def show(self, prediction: Prediction, batch: Batch) -> list[tuple[Cell, Cell]]:
        """The picture as the model gets it, under the colors of its classes."""
        pictures = batch.inputs[self.config.shown_in].expand()
        truth = batch.targets[TARGET].values
        return [
            (
                self._drawn("predicted", pictures, row, regions),
                self._drawn("true", pictures, row, truth[row].where(truth[row] < len(self.labels), self.background)),
            )
            for row, regions in enumerate(prediction["regions"])
        ]

    def _drawn(self, name: str, pictures: Arrays, row: int, regions: Tensor) -> Cell:
        pixels, (top, left) = self.config.cropped(pictures, row)
        part = regions[top : top + pixels.shape[0], left : left + pixels.shape[1]]
        drawn = self.draw(pixels, part.to(torch.uint8).numpy())
        return Cell(name, "image", image_address(drawn.transpose(2, 0, 1)))

    def state(self) -> dict[str, Any]:
        assert self.classes is not None, "the task is used before fit"
        values = {str(value): number for value, number in self.classes.places.items()}
        own = {"values": values, "colored": self.classes.is_color, "background": self.background}
        return super().state() | own

    @classmethod
    def load(cls, config: Any, state: dict[str, Any]) -> Self:
        task = super().load(config, state)
        values = TypeAdapter(dict[int, NonNegativeInt]).validate_python(state["values"])
        task.classes = RegionClasses(task.labels, values, is_color=bool(state["colored"]))
        task.background = TypeAdapter(NonNegativeInt).validate_python(state["background"])
        return task
