"""Muon: the steps of matrices and filters go equally far in all directions (Jordan 2024); the rest learns by AdamW."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW

_MOMENTUM = 0.95
_ITERATIONS = 5
_QUINTIC = (3.4445, -4.7750, 2.0315)
# A step is then about as long as one of AdamW, and one learning rate serves both (Liu et al. 2025, arXiv:2502.16982).
_LENGTH = 0.2
_LEAST_SIDE = 32


def is_orthogonalized(parameter: nn.Parameter) -> bool:
    """Whether there is something to gain: small matrices, as of a head with few classes, have few directions."""
    return parameter.dim() >= 2 and min(len(parameter), parameter[0].numel()) >= _LEAST_SIDE


class Muon(AdamW):
    """AdamW, but that of groups with ``orthogonalized`` the momentum is orthogonalized before it is a step."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step; none where ``found_inf``, as GradScaler sets it, is not zero."""
        groups = self.param_groups
        self.param_groups = [group for group in groups if not group["orthogonalized"]]
        try:
            super().step(closure)
        finally:
            self.param_groups = groups
        for group in groups:
            for parameter in group["params"] if group["orthogonalized"] else ():
                if parameter.grad is not None:
                    self._orthogonal_step(parameter, parameter.grad, group)

    def _orthogonal_step(self, parameter: nn.Parameter, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum = state["momentum"].lerp(gradient, 1 - _MOMENTUM)
        step = orthogonalize(gradient.lerp(momentum, _MOMENTUM).flatten(1))  # Nesterov's look ahead
        length = _LENGTH * math.sqrt(max(step.shape))
        kept = parameter * (1 - group["lr"] * group["weight_decay"])
        changed = kept.sub_(step.view(parameter.shape).to(parameter.dtype), alpha=group["lr"] * length)
        # Chosen on the device, without waiting for what it has found.
        is_whole = getattr(self, "found_inf", torch.zeros((), device=parameter.device)) == 0
        state["momentum"].copy_(torch.where(is_whole, momentum, state["momentum"]))
        parameter.copy_(torch.where(is_whole, changed, parameter))


def orthogonalize(matrix: Tensor) -> Tensor:
    """``[M, N]``: nearly ``U V^T`` of ``matrix = U S V^T``, by a quintic Newton-Schulz iteration.

    Its singular values come to lie between about 0.7 and 1.2, which serves as well as 1 and takes five products.
    """
    a, b, c = _QUINTIC
    is_tall = matrix.shape[0] > matrix.shape[1]
    found = (matrix.T if is_tall else matrix).bfloat16()
    found = found / (found.norm() + 1e-7)
    for _ in range(_ITERATIONS):
        gram = found @ found.T
        found = a * found + (b * gram + c * gram @ gram) @ found
    result: Tensor = (found.T if is_tall else found).to(matrix.dtype)
    return result
