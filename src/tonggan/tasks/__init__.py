"""What is predicted: one file for each kind of task."""

from __future__ import annotations

from typing import Any

from tonggan.parts import import_modules
from tonggan.tasks.base import Advice, LabelTask, Task, TaskConfig
from tonggan.tasks.classify import Binary, BinaryConfig, Multiclass, MulticlassConfig
from tonggan.tasks.detect import Detect, DetectConfig
from tonggan.tasks.generate import (
    AnswerConfig,
    CaptionConfig,
    ChatConfig,
    TextTask,
    TextTaskConfig,
    TranscribeConfig,
    TranslateConfig,
)
from tonggan.tasks.labels import type_of_texts
from tonggan.tasks.regress import Regress, RegressConfig
from tonggan.tasks.segment import Segment, SegmentConfig
from tonggan.tasks.tag import Tag, TagConfig


def load_task(config: TaskConfig, state: dict[str, Any]) -> Task:
    """The fitted task that was saved as ``config`` and ``state``."""
    return type(config.build()).load(config, state)


import_modules(__name__)

__all__ = [
    "Advice",
    "AnswerConfig",
    "Binary",
    "BinaryConfig",
    "CaptionConfig",
    "ChatConfig",
    "Detect",
    "DetectConfig",
    "LabelTask",
    "Multiclass",
    "MulticlassConfig",
    "Regress",
    "RegressConfig",
    "Segment",
    "SegmentConfig",
    "Tag",
    "TagConfig",
    "Task",
    "TaskConfig",
    "TextTask",
    "TextTaskConfig",
    "TranscribeConfig",
    "TranslateConfig",
    "load_task",
    "type_of_texts",
]
