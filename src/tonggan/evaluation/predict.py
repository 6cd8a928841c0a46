"""Run a model over a whole data set once, and keep its raw outputs beside the targets.

It computes no metric and never augments; the model is left in the mode (training or evaluation) it was found in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tonggan.data.dataset import Dataset
from tonggan.data.loader import Loader
from tonggan.errors import DataError
from tonggan.progress import Progress
from tonggan.tasks.base import Task
from tonggan.tokens import Batch


@dataclass(frozen=True)
class Outputs:
    """What a model says about each row of a data set, in the data set's order, on the CPU.

    Attributes:
        outputs: float ``[N, num_outputs]``, before any temperature.
        target: the encoded targets ``[N, ...]``, or None where the data has none.
        rows: int64 ``[N]``, the row numbers of the source table.
    """

    outputs: Tensor
    target: Tensor | None
    rows: Tensor

    def __len__(self) -> int:
        return self.outputs.shape[0]

    def take(self, places: Tensor) -> Outputs:
        """Those at ``places``, int64."""
        return Outputs(self.outputs[places], None if self.target is None else self.target[places], self.rows[places])


def collect(
    model: nn.Module,
    task: Task,
    dataset: Dataset,
    *,
    batch_size: int = 256,
    progress: Progress | None = None,
    enough: Callable[[], bool] = lambda: False,
) -> Outputs:
    """The outputs of ``model`` for every row of ``dataset``, or for the first of them.

    Args:
        model: maps ``batch.inputs`` to outputs.
        task: that the model was trained for.
        dataset: the rows, in their order.
        batch_size: rows at a time.
        progress: told of every batch.
        enough: asked after each batch whether to leave it at those so far.

    Raises:
        DataError: the data set has no rows.
    """
    outputs, targets, rows = [], [], []
    with evaluating(model) as device:
        for batch in iterate_batches(dataset, batch_size=batch_size, progress=progress, label="predict"):
            outputs.append(task.predict(model, batch.to(device)).float().cpu())
            rows.append(batch.rows)
            if batch.target is not None:
                targets.append(batch.target)
            if enough():
                break
    return Outputs(torch.cat(outputs), torch.cat(targets) if targets else None, torch.cat(rows))


def iterate_batches(dataset: Dataset, *, batch_size: int, progress: Progress | None, label: str) -> Iterator[Batch]:
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
            yield next(model.parameters()).device
    finally:
        model.train(was_training)
