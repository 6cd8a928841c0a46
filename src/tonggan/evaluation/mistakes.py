"""The rows that a model got most wrong, with their inputs as a person sees or hears them.

Pictures and sounds are shown as the model got them, from the decode cache.
"""

from __future__ import annotations

import base64
import io
import wave
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import nn

from tonggan.data.dataset import Dataset, Source
from tonggan.evaluation.predict import Measured, evaluating, target_of
from tonggan.tasks.base import Task

_MAX_CHARACTERS = 600
_MAX_SECONDS = 10


@dataclass(frozen=True)
class Cell:
    """One input of one row as a person sees or hears it.

    ``content`` is a ``data:`` address for ``image`` and ``audio``, else the text; None where the input is absent.
    """

    name: str
    kind: Literal["image", "audio", "text"]
    content: str | None


@dataclass(frozen=True)
class Mistake:
    """One row that the model got wrong.

    Attributes:
        row: its number in the user's own table, counted from 1.
        predicted: how the prediction reads.
        truth: how the target reads.
        cells: its inputs.
    """

    row: int
    predicted: str
    truth: str
    cells: Sequence[Cell]


def find_mistakes(
    model: nn.Module, task: Task, dataset: Dataset, measured: Measured, *, limit: int = 10
) -> list[Mistake]:
    """The ``limit`` rows that ``measured`` calls the worst; they are predicted again, for no outputs are kept.

    Args:
        model: that was measured.
        task: that it was trained for.
        dataset: has these rows, in any order.
        measured: what the model is worth on them.
        limit: how many.
    """
    rows = measured.rows[measured.measure.worst(limit)]
    if not len(rows):
        return []
    order = np.argsort(dataset.rows)
    places = order[np.searchsorted(dataset.rows, rows, sorter=order)]
    batch = dataset.batch(places)
    with evaluating(model) as device:
        outputs = task.predict(model, batch.to(device)).float().cpu()
    target = target_of(batch)
    cells = [_cells(name, source, rows) for name, source in dataset.inputs.items()]
    return [
        Mistake(
            row=number,
            predicted=task.describe(outputs[place]),
            truth=task.describe_target(target[place]),
            cells=[cell for column in cells for cell in column[place]],
        )
        for place, number in enumerate(dataset.numbers_of(rows))
    ]


def _cells(name: str, source: Source, rows: NDArray[np.int64]) -> list[list[Cell]]:
    """Of each row the cells of one input: one, or one for each column of a table row."""
    items = source.items(rows)
    kind = source.modality.kind
    if kind == "image":
        return [[Cell(name, "image", None if item is None else image_address(item))] for item in items]
    if kind == "audio":
        rate = int(source.modality.config.sample_rate)
        return [
            [Cell(name, "audio", None if item is None else audio_address(item, sample_rate=rate))] for item in items
        ]
    return [
        [Cell(key, "text", _shorten(value)) for key, value in item.items()]
        if isinstance(item, Mapping)
        else [Cell(name, "text", _shorten(item))]
        for item in items
    ]


def _shorten(value: Any) -> str | None:
    if value is None or value == "":
        return None
    text = str(value)
    return text if len(text) <= _MAX_CHARACTERS else text[: _MAX_CHARACTERS - 1] + "…"


def image_address(pixels: NDArray[np.uint8]) -> str:
    """The picture uint8 ``[3, H, W]`` as a ``data:`` address of a PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0))).save(buffer, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def audio_address(samples: NDArray[np.int16], *, sample_rate: int) -> str:
    """The mono recording int16 ``[T]``, its first ten seconds, as a ``data:`` address of a WAV."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(samples[: _MAX_SECONDS * sample_rate].astype("<i2").tobytes())
    return f"data:audio/wav;base64,{base64.b64encode(buffer.getvalue()).decode()}"
