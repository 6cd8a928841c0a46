"""The validation part: what the present weights are worth, over all processes, within the time there is.

When to look is the loop's matter. Outputs are measured batch by batch, none is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tonggan.data.dataset import Dataset
from tonggan.data.loader import Loader
from tonggan.tasks.measure import Measure
from tonggan.training.stepper import Stepper

if TYPE_CHECKING:
    from accelerate import Accelerator


class Validator:
    """Runs the stepper's model over this process's share of ``dataset``.

    Rows come in a fixed random order, so that a look that is cut short has seen a fair part.
    """

    def __init__(self, stepper: Stepper, dataset: Dataset, *, batch_size: int) -> None:
        self.stepper = stepper
        order = np.random.default_rng(stepper.seed).permutation(len(dataset))
        share = share_of(dataset, order, accelerator=stepper.accelerator)
        self.loader = Loader(share, batch_size=batch_size)
        self.num_batches = math.ceil(len(share) / batch_size)
        self.num_rows = len(share) * stepper.accelerator.num_processes

    @torch.no_grad()
    def look(self, num_batches: int, *, enough: Callable[[], bool]) -> tuple[Tensor, Measure]:
        """The loss of each row, ``[N]``, and the measure of the first batches.

        Args:
            num_batches: how many batches to look at.
            enough: asked after each batch whether to leave it at those so far.
        """
        parts: list[tuple[Tensor, Measure]] = []
        model, task, accelerator = self.stepper.wrapped, self.stepper.task, self.stepper.accelerator
        model.eval()
        for batch in islice(self.loader.epoch(0), num_batches):
            assert batch.target is not None, "validation wants targets"
            outputs = task.predict(model, self.stepper.place(batch)).float().cpu()
            parts.append((task.outputs_loss(outputs, batch.target), task.measure(outputs, batch.target)))
            if enough():
                break
        model.train()
        if accelerator.num_processes > 1:
            from accelerate.utils import gather_object

            parts = gather_object(parts)
        return torch.cat([losses for losses, _ in parts]), Measure.cat([measure for _, measure in parts])


def share_of(dataset: Dataset, order: NDArray[np.int64], *, accelerator: Accelerator) -> Dataset:
    """The rows of ``dataset`` in ``order`` that fall to this process, as many as to every other."""
    world = accelerator.num_processes
    if len(order) >= world:
        order = order[accelerator.process_index : len(order) // world * world : world]
    return dataset.take(order)
