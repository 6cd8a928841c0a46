"""Raw values to arrays: one file for each kind of column, with its checks and augmentation, and no weights."""

from __future__ import annotations

from typing import Any

from tonggan.modalities.audio import Audio, AudioAugment, AudioConfig
from tonggan.modalities.base import ColumnConfig, InputConfig, MediaModality, Modality
from tonggan.modalities.code import CodeConfig
from tonggan.modalities.date import DateConfig
from tonggan.modalities.duration import DurationConfig
from tonggan.modalities.ignore import IgnoreConfig
from tonggan.modalities.image import Image, ImageConfig
from tonggan.modalities.image_augment import ImageAugment
from tonggan.modalities.multilabel import MultilabelConfig
from tonggan.modalities.number import NumberConfig
from tonggan.modalities.numeric import NumericConfig
from tonggan.modalities.table import CategoryConfig, TableConfig, TableRow
from tonggan.modalities.text import Text, TextConfig
from tonggan.modalities.time_of_day import TimeOfDayConfig
from tonggan.modalities.video import Video, VideoConfig
from tonggan.parts import import_modules


def load_modality(config: InputConfig, state: dict[str, Any]) -> Modality[Any]:
    """The modality that was saved as ``state``."""
    return type(config.build()).load(config, state)


import_modules(__name__)

__all__ = [
    "Audio",
    "AudioAugment",
    "AudioConfig",
    "CategoryConfig",
    "CodeConfig",
    "ColumnConfig",
    "DateConfig",
    "DurationConfig",
    "IgnoreConfig",
    "Image",
    "ImageAugment",
    "ImageConfig",
    "InputConfig",
    "MediaModality",
    "Modality",
    "MultilabelConfig",
    "NumberConfig",
    "NumericConfig",
    "TableConfig",
    "TableRow",
    "Text",
    "TextConfig",
    "TimeOfDayConfig",
    "Video",
    "VideoConfig",
    "load_modality",
]
