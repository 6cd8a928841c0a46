"""Run a model over a whole data set once: what it predicts, or what its predictions are worth.

It never augments; the model is left in the mode (training or evaluation) it was found in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tonggan.data.dataset import Dataset
from tonggan.data.loader import Loader
from tonggan.errors import DataError
from tonggan.models.base import Model, device_of
from tonggan.progress import Progress
from tonggan.tasks.base import Task
from tonggan.tasks.measure import Measure
from tonggan.tokens import Batch, Prediction

_T = TypeVar("_T")
_ModelT = TypeVar("_ModelT", bound=nn.Module)


@dataclass(frozen=True)
class Measured:
    """What a model is worth on rows of a data set, in the data set's order.

    Attributes:
        measure: of the model.
        constant: of the constant answer.
        rows: int64 ``[N]``, the row numbers of the source table.
    """

    measure: Measure
    constant: Measure
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, places: NDArray[np.int64]) -> Measured:
        """Those at ``places``."""
        return Measured(self.measure.take(places), self.constant.take(places), self.rows[places])

    def calibrated(self, task: Task) -> Measured:
        """The same after the calibration of ``task``, which changes no constant answer."""
        return replace(self, measure=task.calibrated(self.measure))


def measure_rows(
    model: nn.Module,
    task: Task,
    dataset: Dataset,
    *,
    progress: Progress | None = None,
    enough: Callable[[], bool] = lambda: False,
) -> Measured:
    """What ``model`` is worth on the rows of ``dataset``, or on the first of them; no outputs are kept.

    Args:
        model: maps inputs and targets to a Prediction.
        task: that the model was trained for.
        dataset: rows with a target.
        progress: told of every batch.
        enough: asked after each batch whether to leave it at those so far.

    Raises:
        DataError: the data set has no rows.
    """
    measures, constants, rows, done = [], [], [], False
    for answering, part in by_fold(model, dataset):
        with evaluating(answering) as device:
            for batch in iterate_batches(part, progress=progress, label="predict"):
                placed = batch.to(device)
                measures.append(task.measure(answering(placed.inputs, placed.targets).cpu(), batch.targets))
                constants.append(task.measure_constant(batch.targets))
                rows.append(batch.rows.numpy())
                if done := enough():
                    break
        if done:
            break
    return Measured(Measure.cat(measures), Measure.cat(constants), np.concatenate(rows))


def measure_constant(task: Task, dataset: Dataset) -> Measure:
    """What the constant answer is worth on the rows of ``dataset``, of which nothing but the target is read."""
    batches = iterate_batches(replace(dataset, inputs={}), progress=None, label="predict")
    return Measure.cat([task.measure_constant(batch.targets) for batch in batches])


def predict_rows(
    model: nn.Module, dataset: Dataset, *, read: Callable[[Prediction], _T], progress: Progress | None = None
) -> list[_T]:
    """What ``read`` makes of the Prediction of each batch of ``dataset``, in its order, but of each fold by itself.

    Raises:
        DataError: the data set has no rows.
    """
    found: list[_T] = []
    for answering, part in by_fold(model, dataset):
        with evaluating(answering) as device:
            batches = iterate_batches(part, progress=progress, label="predict")
            found += [read(answering(batch.to(device).inputs).cpu()) for batch in batches]
    return found


def by_fold(model: _ModelT, dataset: Dataset) -> list[tuple[_ModelT | Model, Dataset]]:
    """Each fold's rows of ``dataset`` with the model that answers them; all with ``model`` where there are no folds."""
    if dataset.folds is None:
        return [(model, dataset)]
    assert isinstance(model, Model), "rows of folds want a model that knows its folds"
    numbers = np.unique(dataset.folds).tolist()
    return [(model.of_fold(fold), dataset.take(np.flatnonzero(dataset.folds == fold))) for fold in numbers]


def iterate_batches(
    dataset: Dataset, *, batch_size: int = 256, progress: Progress | None, label: str
) -> Iterator[Batch]:
    """The batches of ``dataset`` in order, without augmentation.

    Raises:
        DataError: the data set has no rows.
    """
    if len(dataset) == 0:
        raise DataError(label, got="no rows", expected="at least one row", remedy="Check the table and its split")
    loader = Loader(dataset, batch_size=batch_size)
    yield from (progress or Progress()).track(loader.epoch(0), label=label, total=len(loader))


@contextmanager
def evaluating(model: nn.Module) -> Iterator[torch.device]:
    """``model`` in evaluation mode without gradients; gives the device its weights lie on."""
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield device_of(model)
    finally:
        model.train(was_training)
