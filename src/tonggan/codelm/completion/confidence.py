"""How sure a suggestion is, and from where on it is worth showing to this user. It keeps no history itself."""

from __future__ import annotations

import math
from collections.abc import Sequence

_PRIOR = (1.0, 4.0)  # how firmly the default's slope and height are held: the inverse of their variance
_STEPS = 50


def confidence_of(logprobs: Sequence[float]) -> float:
    """The geometric mean of probabilities, from natural logarithms; 0 for none."""
    return math.exp(sum(logprobs) / len(logprobs)) if logprobs else 0.0


def calibrate(history: Sequence[tuple[float, bool]], *, default: float, worth: float = 0.2) -> float:
    """The confidence from which on a suggestion is likely enough to be accepted.

    A logistic curve through the history (Platt 1999), drawn towards one that crosses ``worth`` at ``default``: a
    short history changes little.

    Args:
        history: of suggestions that were shown, their confidence and whether they were accepted.
        default: the threshold without any history, from 0 to 1.
        worth: the share of acceptance from which on a suggestion is worth its interruption.

    Returns:
        From 0 to 1.
    """
    if not history:
        return default
    target = math.log(worth / (1 - worth))
    slope, offset = 6.0, target - 6.0 * default
    prior = (slope, offset)
    for _ in range(_STEPS):  # Newton's method with a Gaussian prior around the default's curve
        gradient = [_PRIOR[0] * (slope - prior[0]), _PRIOR[1] * (offset - prior[1])]
        hessian = [[_PRIOR[0], 0.0], [0.0, _PRIOR[1]]]
        for confidence, accepted in history:
            share = 1 / (1 + math.exp(-max(-30.0, min(30.0, slope * confidence + offset))))
            error, weight = share - accepted, max(share * (1 - share), 1e-6)
            gradient = [gradient[0] + error * confidence, gradient[1] + error]
            hessian[0][0] += weight * confidence * confidence
            hessian[0][1] += weight * confidence
            hessian[1][1] += weight
        determinant = hessian[0][0] * hessian[1][1] - hessian[0][1] ** 2
        step = (
            (hessian[1][1] * gradient[0] - hessian[0][1] * gradient[1]) / determinant,
            (hessian[0][0] * gradient[1] - hessian[0][1] * gradient[0]) / determinant,
        )
        slope, offset = max(0.5, slope - step[0]), offset - step[1]
        if abs(step[0]) + abs(step[1]) < 1e-6:
            break
    return min(1.0, max(0.0, (target - offset) / slope))
