"""The objective of training with auxiliary targets: the task's own loss plus a weighted loss for each of them.

It measures nothing but the task itself: which weights are kept is decided by the task's score alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tonggan.tasks.base import Task
from tonggan.tasks.measure import Measure
from tonggan.tokens import Batch


@dataclass(frozen=True)
class Auxiliary:
    """An auxiliary target: ``task`` says what it is, ``input`` which input shows it, ``weight`` how much it counts."""

    task: Task
    input: str
    weight: float


class Multitask:
    """``task`` with auxiliary targets (Caruana 1997), for a ``MultitaskModel`` with heads in the same order.

    Args:
        task: what is predicted in the end.
        auxiliaries: by the name of their target in ``Batch.auxiliary``.
    """

    def __init__(self, task: Task, *, auxiliaries: Mapping[str, Auxiliary]) -> None:
        self.task = task
        self.auxiliaries = auxiliaries
        self.score_name = task.score_name
        self.greater_is_better = task.greater_is_better

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The task's mean loss plus the weighted mean loss of each auxiliary target, over the rows that show it."""
        assert batch.target is not None, "a batch without target has no loss"
        outputs: Tensor = model(batch.inputs)
        widths = [self.task.num_outputs, *(each.task.num_outputs for each in self.auxiliaries.values())]
        own, *others = torch.split(outputs, widths, dim=1)
        total = self.task.outputs_loss(own, batch.target).mean()
        for (name, each), part in zip(self.auxiliaries.items(), others, strict=True):
            shown = batch.inputs[each.input].expand().present
            losses = each.task.outputs_loss(part, batch.auxiliary[name])
            total = total + each.weight * (losses * shown).sum() / shown.sum().clamp(min=1)
        return total

    def predict(self, model: nn.Module, batch: Batch) -> Tensor:
        """[B, num_outputs]: the task's own outputs."""
        outputs: Tensor = model(batch.inputs)
        return outputs[:, : self.task.num_outputs]

    def outputs_loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        """[B]: the task's own loss of each row."""
        return self.task.outputs_loss(outputs, target)

    def measure(self, outputs: Tensor, target: Tensor) -> Measure:
        """What the task's own outputs are worth."""
        return self.task.measure(outputs, target)
