"""What of a model's outputs is worth showing: the confusion matrix, scatters, and the most confident mistakes.

It makes data, no page; pictures and sounds are shown as the model got them, from the decode cache.
"""

from __future__ import annotations

import base64
import io
import wave
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tonggan.data.dataset import Dataset, Source
from tonggan.evaluation.calibration import reliability
from tonggan.evaluation.content import Calibration, Cell, Confusion, Mistake, Scatter, Thresholds
from tonggan.evaluation.predict import Outputs
from tonggan.tasks.base import Task
from tonggan.tasks.generate import TextTask
from tonggan.tasks.metrics import MIN_RANKED

_MAX_CHARACTERS = 600
_MAX_SECONDS = 10


def confusion(task: Task, outputs: Tensor, target: Tensor, *, max_classes: int = 20) -> Confusion | None:
    """The confusion matrix of the ``max_classes`` largest classes; None for a task that does not choose one class."""
    if task.kind not in ("binary", "multiclass"):
        return None
    numbers = {label: number for number, label in enumerate(task.label_values)}
    predicted = np.array([numbers[label] for label in task.decode(outputs)])
    truth = target.cpu().numpy()
    num_classes = len(task.labels)
    counts = np.bincount(truth * num_classes + predicted, minlength=num_classes**2).reshape(num_classes, num_classes)
    largest = np.argsort(-counts.sum(axis=1), kind="stable")[:max_classes]
    shown = np.sort(largest)
    return Confusion(
        labels=[task.labels[number] for number in shown],
        counts=counts[np.ix_(shown, shown)].tolist(),
        num_hidden=num_classes - len(shown),
    )


def thresholds(task: Task, outputs: Tensor, target: Tensor, *, max_points: int = 200) -> Thresholds | None:
    """Precision and recall of the rarer of two classes by threshold; None for a task without two classes.

    None as well where fewer than five rows have one of the classes: a curve of so few steps shows nothing.
    """
    probabilities = task.probabilities(outputs.double())
    if probabilities is None or target.dim() != 1 or probabilities.shape[1] != 2:
        return None
    counts = np.bincount(target.cpu().numpy(), minlength=2)
    if counts.min() < MIN_RANKED:
        return None
    number = int(counts.argmin()) if counts[0] != counts[1] else 1
    scores, truth = probabilities[:, number].numpy(), target.cpu().numpy() == number
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # equal scores are one threshold
    hits, said = np.cumsum(truth[order])[ends], ends + 1
    precision, recall, at = hits / said, hits / truth.sum(), scores[order][ends]
    f1 = 2 * hits / (said + truth.sum())
    shown = np.unique(np.linspace(0, len(at) - 1, min(max_points, len(at))).astype(int))[::-1]
    curve = [(float(at[place]), float(precision[place]), float(recall[place])) for place in shown]
    best = int(f1.argmax())
    return Thresholds(task.labels[number], 0.5, curve, best=float(at[best]), best_f1=float(f1[best]))


def calibration(task: Task, outputs: Tensor, target: Tensor) -> Calibration | None:
    """Reliability without and with the task's temperature; None for a task without probabilities."""
    after = task.probabilities(outputs)
    before = task.probabilities(outputs * task.temperature)
    if before is None or after is None:
        return None
    return Calibration(task.temperature, before=reliability(before, target), after=reliability(after, target))


def scatters(task: Task, outputs: Tensor, target: Tensor, *, max_points: int = 1000) -> list[Scatter]:
    """True and predicted numbers of each regression target, evenly thinned to ``max_points`` rows; else none."""
    if task.kind != "regression":
        return []
    rows = np.linspace(0, len(outputs) - 1, min(max_points, len(outputs))).astype(int)
    truth, predicted = (_columns(task, values[rows]) for values in (target, outputs))
    return [Scatter(name, truth[name], predicted[name]) for name in truth]


def _columns(task: Task, values: Tensor) -> dict[str, list[float]]:
    rows = task.decode(values)
    if len(task.labels) == 1:
        return {task.labels[0]: rows}
    return {name: [row[name] for row in rows] for name in task.labels}


def find_mistakes(task: Task, outputs: Outputs, dataset: Dataset, *, limit: int = 10) -> list[Mistake]:
    """The ``limit`` wrong rows that the model was surest of; for regression, those with the largest errors.

    Args:
        task: that the outputs belong to.
        outputs: of ``collect`` on ``dataset``.
        dataset: gives the inputs of the rows to show.
        limit: how many.
    """
    assert outputs.target is not None, "without targets there are no mistakes"
    badness = _badness(task, outputs.outputs, outputs.target)
    worst = np.argsort(-badness, kind="stable")[:limit]
    worst = worst[badness[worst] > 0]
    rows = outputs.rows.numpy()[worst]
    cells = [_cells(name, source, rows) for name, source in dataset.inputs.items()]
    return [
        Mistake(
            row=number,
            predicted=task.describe(outputs.outputs[position]),
            truth=_truth(task, outputs.target[position]),
            cells=[cell for column in cells for cell in column[place]],
        )
        for place, (position, number) in enumerate(zip(worst.tolist(), dataset.numbers_of(rows), strict=True))
    ]


def _badness(task: Task, outputs: Tensor, target: Tensor) -> NDArray[np.float64]:
    """[N]: how sure the model was of what is wrong, 0 where all is right; for numbers and texts, the loss."""
    if isinstance(task, TextTask):
        texts = zip(task.decode(outputs), task.references(target), strict=True)
        wrong = np.array([float(written.casefold() != truth.casefold()) for written, truth in texts])
        losses: NDArray[np.float64] = task.outputs_loss(outputs, target).double().numpy()
        return wrong * losses
    probabilities = task.probabilities(outputs.double())
    if probabilities is None:
        return task.outputs_loss(outputs, target).double().numpy()
    if task.kind == "multilabel":
        distance = (probabilities - target).abs()
        return (distance * (distance > 0.5)).max(dim=1).values.numpy()
    confidence, predicted = probabilities.max(dim=1)
    return (confidence * (predicted != target)).numpy()


def _truth(task: Task, target: Tensor) -> str:
    if task.kind == "regression":
        return task.describe(target)
    if isinstance(task, TextTask):
        return task.references(target.unsqueeze(0))[0]
    if task.kind == "multilabel":
        names = [name for name, there in zip(task.labels, target.tolist(), strict=True) if there > 0.5]
        return ", ".join(names) or "no label"
    return task.labels[int(target)]


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
