"""The objective of a task: its own loss, and a weighted loss for each auxiliary target that one input shows.

A fused target may say little about each input: that a sound matches a picture is learned far sooner by encoders that
are also told what the picture shows and what the sound says (multitask learning, Caruana 1997). Which weights are kept
is decided by the task's score alone. A student learns from a trained model as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tonggan.data.dataset import Dataset
from tonggan.data.loader import Loader
from tonggan.decoders import LinearHead
from tonggan.decoders.base import Context
from tonggan.layers.precision import in_float32
from tonggan.models import FusedModel, Model
from tonggan.tasks.base import Task
from tonggan.tasks.measure import Measure
from tonggan.tokens import Arrays, Batch, Prediction, Tokens
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
        return losses | self.auxiliary_losses(tokens, batch)

    def auxiliary_losses(self, tokens: Mapping[str, Tokens], batch: Batch) -> dict[str, Tensor]:
        """Of each further target, from the ``tokens`` of all inputs before any is dropped."""
        losses = {}
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


class Distillation(Supervised):
    """``model``, the student, learns ``task`` and what a ``teacher`` says of the same rows (Hinton et al. 2015).

    Both see what the other sees: the same pictures varied in the same way (Beyer et al. 2022), and no input that is
    absent or hidden for one of them, so that a student learns doubt where its teacher has it.

    Args:
        model: predicts a Vector.
        task: fitted, of the teacher too.
        teacher: any trained model of the same inputs and the same Vector; it stays as it is.
        form: what the Vector says, as ``TaskConfig.form``.
        widths: of the student's and of its teacher's fused tokens, where the teacher is a network whose vector of a
            row is learned as well.
        share: of the loss, for what the teacher says; the rest is the task's own.
        temperature: by which logits of classes and labels are divided before they are compared. A high one lets a
            student hear which wrong answers are nearly right.
        features: how much the vector of a row counts beside all that.
        auxiliaries: as for ``Supervised``.
        heads: as for ``Supervised``.
    """

    def __init__(
        self,
        model: FusedModel,
        task: Task,
        *,
        teacher: Model,
        form: Literal["classes", "labels", "numbers"],
        widths: tuple[int, int] | None = None,
        share: float = 0.9,
        temperature: float = 4.0,
        features: float = 0.1,
        auxiliaries: Mapping[str, Auxiliary] | None = None,
        heads: Mapping[str, LinearHead] | None = None,
    ) -> None:
        super().__init__(model, task, auxiliaries=auxiliaries, heads=heads)
        self._teacher = (teacher.eval(),)  # no part of what is trained
        self.form, self.share, self.temperature, self.features = form, share, temperature, features
        # Brings the student's vector of a row to the width of its teacher's.
        self.projection = None if widths is None else nn.Linear(*widths, bias=False)

    def to(self, *args: Any, **options: Any) -> Self:
        """Where the student goes, and into which layout, its teacher goes as well."""
        self._teacher[0].to(*args, **options)
        return super().to(*args, **options)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """``loss`` of the task, ``teacher/outputs``, ``teacher/features`` of a network, and the auxiliaries' own."""
        model, (teacher,) = self.model, self._teacher
        whole = model.encode(batch.inputs)
        tokens = model.dropped(whole)
        context = Context(model.fuse(tokens), tokens, batch.inputs)
        with torch.no_grad():
            encoded = {name: part.keep(tokens[name].present) for name, part in teacher.encode(batch.inputs).items()}
            taught: Tensor = teacher.answer(encoded, batch.inputs)["outputs"]
        losses = {name: (1 - self.share) * loss for name, loss in model.head.losses(context, batch.targets).items()}
        losses["teacher/outputs"] = self.share * self._distance(model.head(context)["outputs"], taught)
        if self.projection is not None and isinstance(teacher, FusedModel):
            with torch.no_grad():
                goal = teacher.fuse(encoded).mean()
            near = F.cosine_similarity(self.projection(context.tokens.mean()).float(), goal.float(), dim=1)
            losses["teacher/features"] = self.features * (1 - near).mean()
        return losses | self.auxiliary_losses(whole, batch)

    def _distance(self, outputs: Tensor, taught: Tensor) -> Tensor:
        """Of the student's ``[B, size]`` from its teacher's, the mean over the rows."""
        with in_float32(outputs.device):
            outputs, taught = outputs.float(), taught.to(outputs.device).float()
            if self.form == "numbers":
                return F.mse_loss(outputs, taught)
            said, told = outputs / self.temperature, taught / self.temperature
            if self.form == "classes" and outputs.shape[1] > 1:
                shares, goal = said.log_softmax(dim=1), told.log_softmax(dim=1)
                distance = F.kl_div(shares, goal, reduction="batchmean", log_target=True)
            else:
                distance = F.binary_cross_entropy_with_logits(said, told.sigmoid())
            return distance * self.temperature**2


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
