"""All that the training loop knows of what it trains: losses by name, predictions, and the score that chooses weights.

An objective owns the modules that learn, and their optimizers. Supervised tasks, contrastive pairs, code models and
adversarial pairs are objectives; none has a loop of its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn
from torch.optim import Optimizer

from tonggan.tasks.measure import Measure
from tonggan.tokens import Arrays, Batch, Prediction
from tonggan.training.config import TrainingConfig
from tonggan.training.optimizer import build_optimizer


class Objective(nn.Module, ABC):
    """What is trained, and towards what.

    Attributes:
        splits_batches: whether a batch may be cut into parts of which each gives its part of the gradient. False where
            rows are compared with the others of their batch, as contrastive ones are.
        gathers: whether rows are compared with those of all processes, whose vectors it gathers (``world.gathered``),
            so that several may share a batch that may not be cut.
    """

    splits_batches: bool = True
    gathers: bool = False

    @abstractmethod
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The means over ``batch`` of each loss, scalars by name, which are the same at every call; they are added up.

        Called in the arithmetic of the training's precision; see ``layers.precision.in_float32``.
        """

    def weight(self, batch: Batch) -> float:
        """How much ``batch`` counts beside the others of a step: what ``losses`` are means of, rows by default."""
        return len(batch)

    def optimizers(self, config: TrainingConfig) -> dict[str, Optimizer]:
        """The optimizers, each for parameters of its own, by name.

        A single one minimizes the sum of all losses. Of several, as of an adversarial pair (Goodfellow et al. 2014),
        each minimizes those named as it is, or ``its name/…``. They must be fused, so that a step that is not finite
        can be skipped without waiting for the device. A group's ``scale`` multiplies the learning rate.
        """
        return {"": build_optimizer(self, config)}


class MeasuredObjective(Objective):
    """One whose weights a validation part can choose.

    Attributes:
        score_name: the metric that decides which weights are kept.
        greater_is_better: whether a greater score is better.
    """

    score_name: str
    greater_is_better: bool

    @abstractmethod
    def predict(self, batch: Batch) -> Prediction:
        """Outputs, as ``measure`` reads them, with ``loss`` ``[B]`` of each row that has one of its own."""

    @abstractmethod
    def measure(self, prediction: Prediction, targets: Mapping[str, Arrays]) -> Measure:
        """What the outputs of these rows are worth; the Measures of all batches make one."""

    @contextmanager
    def evaluated(self) -> Iterator[None]:
        """The weights to evaluate and to keep, while inside; those of training by default."""
        yield
