"""The objective of a task: its own loss, and a weighted loss for each auxiliary target that one input shows.

A fused target may say little about each input: that a sound matches a picture is learned far sooner by encoders that
are also told what the picture shows and what the sound says (multitask learning, Caruana 1997). Which weights are kept
is decided by the task's score alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from tonggan.data.dataset import Dataset
from tonggan.data.loader import Loader
from tonggan.tasks.base import Task
from tonggan.tasks.measure import Measure
from tonggan.tokens import Batch
from tonggan.training.config import TrainingConfig
from tonggan.training.objective import MeasuredObjective, in_float32


@dataclass(frozen=True)
class Auxiliary:
    """An auxiliary target: ``task`` says what it is, ``input`` which input shows it, ``weight`` how much it counts."""

    task: Task
    input: str
    weight: float


class Supervised(MeasuredObjective):
    """``model`` learns ``task``.

    Args:
        model: maps ``batch.inputs`` to outputs. With auxiliary targets it is a fused one, which can ``encode``.
        task: fitted on the training part's targets.
        auxiliaries: by the name of their target in ``Batch.auxiliary``.
        heads: of each auxiliary target, for training only: each reads the Tokens of its input by itself. Where the
            input is absent it gives its prior.
    """

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        *,
        auxiliaries: Mapping[str, Auxiliary] | None = None,
        heads: Mapping[str, nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.task = task
        self.auxiliaries = dict(auxiliaries or {})
        # A list, because a column's name may hold characters that a module's name may not.
        self.heads = nn.ModuleList((heads or {})[name] for name in self.auxiliaries)
        self.score_name = task.score_name
        self.greater_is_better = task.greater_is_better

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """``loss`` of the task, and ``auxiliary/NAME`` of each further target over the rows that show it."""
        target = _target(batch)
        if not self.auxiliaries:
            outputs: Tensor = self.model(batch.inputs, target) if self.task.text else self.model(batch.inputs)
            with in_float32(outputs.device):
                return {"loss": self.task.loss(outputs.float(), target)}
        model: Any = self.model
        tokens = model.encode(batch.inputs)
        outputs = model.predict(tokens)
        parts = [head(tokens[each.input]) for head, each in zip(self.heads, self.auxiliaries.values(), strict=True)]
        with in_float32(outputs.device):
            losses = {"loss": self.task.loss(outputs.float(), target)}
            for (name, each), part in zip(self.auxiliaries.items(), parts, strict=True):
                shown = batch.inputs[each.input].expand().present
                rows = each.task.outputs_loss(part.float(), batch.auxiliary[name])
                losses[f"auxiliary/{name}"] = each.weight * (rows * shown).sum() / shown.sum().clamp(min=1)
        return losses

    def weight(self, batch: Batch) -> float:
        return self.task.weight(_target(batch))

    def predict(self, batch: Batch) -> Tensor:
        return self.task.predict(self.model, batch)

    def row_losses(self, outputs: Tensor, target: Tensor | None) -> Tensor:
        assert target is not None, "the loss of a row wants its target"
        return self.task.outputs_loss(outputs, target)

    def measure(self, outputs: Tensor, target: Tensor | None) -> Measure:
        assert target is not None, "a measure wants targets"
        return self.task.measure(outputs, target)


def _target(batch: Batch) -> Tensor:
    assert batch.target is not None, "a batch without target has no loss"
    return batch.target


def loaders(train: Dataset, valid: Dataset, *, config: TrainingConfig, seed: int) -> tuple[Loader, Loader]:
    """What a training on tables reads: the training part shuffled and varied, the validation part as it is.

    Validation rows come in a fixed random order, so that a look that is cut short has seen a fair part.
    """
    learned = Loader(
        train,
        batch_size=config.batch_size,
        seed=seed,
        shuffle=True,
        drop_last=len(train) >= config.batch_size,
        hidden_cells=config.hidden_cells,
    )
    mixed = valid.take(np.random.default_rng(seed).permutation(len(valid)))
    return learned, Loader(mixed, batch_size=config.batch_size)
