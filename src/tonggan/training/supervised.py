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
from tonggan.decoders import LinearHead
from tonggan.models import FusedModel
from tonggan.tasks.base import Task
from tonggan.tasks.measure import Measure
from tonggan.tokens import Arrays, Batch, Prediction
from tonggan.training.config import TrainingConfig
from tonggan.training.objective import MeasuredObjective


@dataclass(frozen=True)
class Auxiliary:
    """An auxiliary target: ``task`` says what it is, ``input`` which input shows it, ``weight`` how much it counts."""

    task: Task
    input: str
    weight: float


class Supervised(MeasuredObjective):
    """``model`` learns ``task``.

    Args:
        model: predicts and owns the losses.
        task: fitted on the training part's targets.
        auxiliaries: by the name of their target in ``Batch.targets``.
        heads: of each auxiliary target, for training only: each reads the Tokens of its input by itself. Where the
            input is absent it learns nothing.
    """

    def __init__(
        self,
        model: FusedModel,
        task: Task,
        *,
        auxiliaries: Mapping[str, Auxiliary] | None = None,
        heads: Mapping[str, LinearHead] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.task = task
        self.auxiliaries = dict(auxiliaries or {})
        # A list, because a column's name may hold characters that a module's name may not.
        self.heads: Any = nn.ModuleList((heads or {})[name] for name in self.auxiliaries)
        self.score_name = task.score_name
        self.greater_is_better = task.greater_is_better

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Those of the model's head, and ``auxiliary/NAME`` of each further target over the rows that show it."""
        tokens = self.model.encode(batch.inputs)
        losses = self.model.head.losses(self.model.context(tokens, batch.inputs), batch.targets)
        for head, (name, each) in zip(self.heads, self.auxiliaries.items(), strict=True):
            shown = batch.inputs[each.input].expand().present
            loss = head.loss_of(tokens[each.input], batch.targets[name].keep(shown))
            losses[f"auxiliary/{name}"] = each.weight * loss
        return losses

    def weight(self, batch: Batch) -> float:
        return self.model.head.weight(batch.targets)

    def predict(self, batch: Batch) -> Prediction:
        prediction: Prediction = self.model(batch.inputs, batch.targets)
        return prediction

    def measure(self, prediction: Prediction, targets: Mapping[str, Arrays]) -> Measure:
        return self.task.measure(prediction, targets)


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
