"""Raw values to arrays: one file for each kind of column, with its checks and augmentation, and no weights."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from tonggan.config import infer_kind
from tonggan.modalities.audio import Audio, AudioAugment, AudioConfig
from tonggan.modalities.base import MediaModality, Modality
from tonggan.modalities.ignore import IgnoreConfig
from tonggan.modalities.image import Image, ImageAugment, ImageConfig
from tonggan.modalities.multilabel import MultilabelConfig
from tonggan.modalities.number import NumberConfig
from tonggan.modalities.table import CategoryConfig, TableConfig, TableRow
from tonggan.modalities.text import Text, TextConfig

ColumnConfig = Annotated[
    ImageConfig | TextConfig | AudioConfig | NumberConfig | CategoryConfig | MultilabelConfig | IgnoreConfig,
    Field(discriminator="kind"),
    BeforeValidator(
        infer_kind(ImageConfig, TextConfig, AudioConfig, NumberConfig, CategoryConfig, MultilabelConfig, IgnoreConfig)
    ),
]
"""What one column of a table is."""

InputConfig = Annotated[ImageConfig | TextConfig | AudioConfig | TableConfig, Field(discriminator="kind")]
"""What one input of a model is: a column with a modality of its own, or the number and category columns together."""


def load_modality(
    config: ImageConfig | TextConfig | AudioConfig | TableConfig, state: dict[str, Any]
) -> Image | Text | Audio | TableRow:
    """The modality that was saved as ``state``."""
    return type(config.build()).load(config, state)  # type: ignore[arg-type]


__all__ = [
    "Audio",
    "AudioAugment",
    "AudioConfig",
    "CategoryConfig",
    "ColumnConfig",
    "IgnoreConfig",
    "Image",
    "ImageAugment",
    "ImageConfig",
    "InputConfig",
    "MediaModality",
    "Modality",
    "MultilabelConfig",
    "NumberConfig",
    "TableConfig",
    "TableRow",
    "Text",
    "TextConfig",
    "load_modality",
]
