"""What the tasks share whose answers lie in a picture: which one it is, and how it is brought to one size."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from tonggan.errors import ConfigError
from tonggan.layers.letterbox import Letterbox, Resize
from tonggan.modalities import ColumnConfig, ImageConfig
from tonggan.modalities.image_augment import ImageAugment
from tonggan.models import ModelConfig
from tonggan.tasks.base import Task, TaskConfig
from tonggan.tokens import Arrays


class PicturedConfig(TaskConfig):
    """What is to be found in a picture."""

    default_size: ClassVar[int]
    """Height and width to which pictures are resized if a recipe does not say."""

    kind: str
    picture: str | None = None
    """The input to look at; may be omitted if there is one column of pictures."""
    size: int | None = Field(default=None, ge=8)
    """Height and width of the pictures as the model sees them; by default the column's."""
    resize: Resize | None = None
    """How they become square; by default as the column says, which keeps their aspect ratio unless set otherwise."""

    def complete(
        self, model: ModelConfig, columns: Mapping[str, ColumnConfig], *, target: Sequence[str]
    ) -> tuple[ModelConfig, Self, dict[str, ColumnConfig]]:
        """Also the picture that is looked at.

        Raises:
            ConfigError: there is no picture, it is not clear which one is meant, it would be cropped, or a mosaic would
                show pictures that other inputs do not tell of.
        """
        model, _, _ = super().complete(model, columns, target=target)
        name = self._only_picture(columns, target=target)
        column = columns[name]
        assert isinstance(column, ImageConfig), "a picture is looked at"
        if column.resize == "crop":
            raise ConfigError(
                f"columns.{name}.resize",
                got="'crop', which cuts off a part of the picture",
                expected="'pad' or 'squash', so that all that is in it can be found",
                remedy=f"Set columns.{name}.resize=pad",
            )
        defaults = {"size": self.default_size, "resize": "pad", "augment": self.default_augment()}
        column = column.model_copy(
            update={key: value for key, value in defaults.items() if key not in column.model_fields_set}
        )
        others = [each for each, config in columns.items() if config.is_used and each not in (name, *target)]
        if column.augment is not None and column.augment.mosaic and others:
            raise ConfigError(
                f"columns.{name}.augment.mosaic",
                got=f"{column.augment.mosaic:g} beside {', '.join(others)}",
                expected="0 beside other columns: what they tell of a picture is not true of the other three",
                remedy=f"Set columns.{name}.augment.mosaic=0, or set the kind of the other columns to ignore",
            )
        task = self.model_copy(update={"picture": name, "size": column.size, "resize": column.resize})
        return model, task, {**columns, name: column}

    @abstractmethod
    def default_augment(self) -> ImageAugment:
        """How pictures are varied where a recipe does not say."""

    def _only_picture(self, columns: Mapping[str, ColumnConfig], *, target: Sequence[str]) -> str:
        pictures = [name for name, each in columns.items() if isinstance(each, ImageConfig) and name not in target]
        if self.picture in pictures:
            return self.picture
        if self.picture is None and len(pictures) == 1:
            return pictures[0]
        raise ConfigError(
            "task.picture",
            got="nothing" if self.picture is None else f"'{self.picture}'",
            expected="one of the columns of pictures " + (", ".join(pictures) or "(there is none)"),
            remedy="Set task.picture to the column whose pictures are looked at, or declare the columns: "
            "columns.NAME.kind=image, and ignore for one that shows the answer",
        )

    def places(self, extent: Tensor) -> Letterbox:
        """Where pictures of ``extent`` [B, 2], height and width, lie in the squares."""
        size, resize = self.size, self.resize
        assert size is not None, "the task is used before its recipe is complete"
        return Letterbox.of(extent.clamp(min=1), size=size, resize=resize or "pad")

    def cropped(self, pictures: Arrays, row: int) -> tuple[NDArray[np.uint8], tuple[int, int]]:
        """The picture of a row ``[H, W, 3]`` without its borders, and the row and column where it begins in its square.

        Args:
            pictures: of the input ``picture``, one for each row.
            row: which one.
        """
        assert pictures.extent is not None, "a picture knows its extent"
        places = self.places(pictures.extent[row : row + 1])
        (height, width), (top, left) = places.inner[0].tolist(), places.corner[0].tolist()
        part = pictures.values[row, :, top : top + height, left : left + width]
        return part.permute(1, 2, 0).numpy(), (top, left)

    @property
    def shown_in(self) -> str:
        """``picture``, which a complete recipe names."""
        assert self.picture is not None, "the task is used before its recipe is complete"
        return self.picture


class PicturedTask(Task):
    """A task whose answers lie in a picture."""

    config: PicturedConfig

    @abstractmethod
    def draw(self, picture: NDArray[np.uint8], answer: Any) -> NDArray[np.uint8]:
        """``picture`` ``[H, W, 3]`` with what ``decode`` says of it drawn in, enlarged where it is small."""
