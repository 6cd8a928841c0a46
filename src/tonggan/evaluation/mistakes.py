"""The rows that a model got most wrong, with their inputs as a person sees or hears them.

Pictures and sounds are shown as the model got them, from the decode cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from tonggan.data.dataset import Dataset
from tonggan.evaluation.predict import Measured, by_fold, evaluating
from tonggan.modalities.base import Cell
from tonggan.tasks.base import Task


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
    predicted: Cell
    truth: Cell
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
    told: dict[int, tuple[Cell, Cell]] = {}
    for answering, part in by_fold(model, dataset.take(places)):
        batch = part.batch(np.arange(len(part)))
        with evaluating(answering) as device:
            prediction = answering(batch.to(device).inputs).cpu()
        told |= dict(zip(part.rows.tolist(), task.show(prediction, batch), strict=True))
    shown = zip(dataset.numbers_of(rows), [told[row] for row in rows.tolist()], strict=True)
    columns = [
        [source.modality.show(name, item) for item in source.items(rows)] for name, source in dataset.inputs.items()
    ]
    return [
        Mistake(number, predicted, truth, [cell for column in columns for cell in column[place]])
        for place, (number, (predicted, truth)) in enumerate(shown)
    ]
