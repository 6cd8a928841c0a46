"""Temperature scaling, and the bins of a reliability plot.

It changes no weight and no decision: dividing the outputs by one number keeps their order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tonggan.tasks.base import Task

_LOWEST, _HIGHEST = 0.05, 20.0


def fit_temperature(task: Task, outputs: Tensor, target: Tensor) -> float:
    """The temperature with the least log loss on held-out rows (Guo et al. 2017, arXiv:1706.04599).

    The log loss is convex in one over the temperature, so a golden-section search over its logarithm finds it, here
    between 0.05 and 20. The result replaces ``task.temperature``, whatever that was before.

    Args:
        task: whose ``probabilities`` are to be calibrated; it is not changed.
        outputs: raw outputs ``[N, num_outputs]`` on rows that the model was not trained on.
        target: encoded targets ``[N]``, or ``[N, num_labels]`` for several labels at once.

    Returns:
        The temperature; 1.0 for a task without probabilities.
    """
    if task.probabilities(outputs[:1]) is None:
        return 1.0
    raw = outputs.double() * task.temperature  # undoes the temperature that the task has now
    # As if two more rows had been wrong (Platt 1999): without mistakes the data alone would ask for certainty.
    doubt = 2 / (len(outputs) + 2)

    def log_loss(log_temperature: float) -> float:
        probabilities = task.probabilities(raw / math.exp(log_temperature))
        assert probabilities is not None
        given = negative_log_likelihood(probabilities, target).mean()
        return float((1 - doubt) * given + doubt * _mean_over_answers(probabilities, target))

    return math.exp(_golden_section(log_loss, math.log(_LOWEST), math.log(_HIGHEST)))


def negative_log_likelihood(probabilities: Tensor, target: Tensor) -> Tensor:
    """[N]: minus the log of the probability given to each row's target; for several labels, their mean.

    Args:
        probabilities: ``[N, num_classes]``.
        target: class indices ``[N]``, or 0 and 1 ``[N, num_labels]``.
    """
    if target.dim() == 2 and target.shape[1] == probabilities.shape[1]:
        given = torch.where(target > 0.5, probabilities, 1 - probabilities)
    else:
        given = probabilities.gather(1, target.long().view(-1, 1))
    return -given.double().clamp(min=torch.finfo(torch.float64).eps).log().mean(dim=1)


def _mean_over_answers(probabilities: Tensor, target: Tensor) -> Tensor:
    """The log loss if every answer were equally right."""
    certain = -probabilities.double().clamp(min=1e-15).log()
    if target.dim() == 2 and target.shape[1] == probabilities.shape[1]:
        return (certain - (1 - probabilities.double()).clamp(min=1e-15).log()).mean() / 2
    return certain.mean()


def _golden_section(function: Callable[[float], float], low: float, high: float, *, tolerance: float = 1e-4) -> float:
    """Where ``function``, which has one minimum between ``low`` and ``high``, is least."""
    ratio = (math.sqrt(5) - 1) / 2
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = function(left), function(right)
    while high - low > tolerance:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = function(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = function(right)
    return (low + high) / 2


@dataclass(frozen=True)
class ReliabilityBin:
    """The predictions whose confidence lies in ``(low, high]``: what was claimed, and what came true."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def reliability(probabilities: Tensor, target: Tensor, *, num_bins: int = 15) -> list[ReliabilityBin]:
    """The bins of a reliability plot, empty ones left out.

    For classes, the confidence is the probability of the predicted class; for several labels at once, each label's
    decision counts by itself.

    Args:
        probabilities: ``[N, num_classes]``.
        target: class indices ``[N]``, or 0 and 1 ``[N, num_labels]``.
        num_bins: how many bins of equal width.
    """
    confidence, right = confidence_and_right(probabilities, target)
    index = np.clip(np.ceil(confidence * num_bins).astype(int) - 1, 0, num_bins - 1)
    counts = np.bincount(index, minlength=num_bins)
    total_confidence = np.bincount(index, weights=confidence, minlength=num_bins)
    total_right = np.bincount(index, weights=right, minlength=num_bins)
    return [
        ReliabilityBin(
            low=place / num_bins,
            high=(place + 1) / num_bins,
            count=int(counts[place]),
            confidence=float(total_confidence[place] / counts[place]),
            accuracy=float(total_right[place] / counts[place]),
        )
        for place in range(num_bins)
        if counts[place]
    ]


def confidence_and_right(probabilities: Tensor, target: Tensor) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Of every decision, flat: its confidence, and 1.0 where it came true."""
    if target.dim() == 2 and target.shape[1] == probabilities.shape[1]:
        said = probabilities > 0.5
        confidence = torch.where(said, probabilities, 1 - probabilities)
        right = said == (target > 0.5)
    else:
        confidence, said_class = probabilities.max(dim=1)
        right = said_class == target.long().view(-1)
    return confidence.flatten().double().numpy(), right.flatten().double().numpy()
