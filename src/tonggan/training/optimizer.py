"""The optimizers, AdamW and Muon, and the learning rate over time. They do not decide how long training lasts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from tonggan.training.config import TrainingConfig
from tonggan.training.world import shared_as, whole

_MOMENTUM = 0.95
_ITERATIONS = 5
_QUINTIC = (3.4445, -4.7750, 2.0315)
# A step is then about as long as one of AdamW, and one learning rate serves both (Liu et al. 2025, arXiv:2502.16982).
_LENGTH = 0.2
_LEAST_SIDE = 32


def build_optimizer(model: nn.Module, config: TrainingConfig) -> AdamW:
    """Fused AdamW (Loshchilov & Hutter 2019), or Muon, over the parameters of ``model`` that want a gradient.

    Weight decay applies to matrices and filters, but for those that a module names in its attribute ``undecayed``, as
    position embeddings: norms and biases have none. The learning rate of a parameter is scaled by what a module has for
    it in its attribute ``learning_rate_scales``.
    """
    undecayed = {
        id(parameter)
        for module in model.modules()
        for name in getattr(module, "undecayed", ())
        for parameter in _parameters(getattr(module, name))
    }
    scales = {
        id(module.get_parameter(name)): scale
        for module in model.modules()
        for name, scale in getattr(module, "learning_rate_scales", {}).items()
    }
    groups: dict[tuple[float, bool, bool], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            decays = parameter.dim() >= 2 and id(parameter) not in undecayed
            orthogonalized = config.optimizer == "muon" and decays and is_orthogonalized(parameter)
            key = scales.get(id(parameter), 1.0), decays, orthogonalized
            groups.setdefault(key, []).append(parameter)
    kind = Muon if config.optimizer == "muon" else AdamW
    return kind(
        [
            {
                "params": parameters,
                "weight_decay": config.weight_decay if decays else 0.0,
                "scale": scale,
                "orthogonalized": orthogonalized,
            }
            for (scale, decays, orthogonalized), parameters in sorted(groups.items(), key=itemgetter(0), reverse=True)
        ],
        lr=config.learning_rate,
        fused=True,
    )


def _parameters(part: nn.Parameter | nn.Module) -> Iterable[nn.Parameter]:
    return part.parameters() if isinstance(part, nn.Module) else [part]


def learning_rate_at(progress: float, config: TrainingConfig) -> float:
    """The learning rate when ``progress`` (0 to 1) of the training is done.

    It rises linearly during ``config.warmup`` and then falls along half a cosine to zero
    (Loshchilov & Hutter 2017, without restarts).
    """
    if progress < config.warmup:
        return config.learning_rate * progress / config.warmup
    decay = min(1.0, (progress - config.warmup) / (1 - config.warmup))
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * decay))


def is_orthogonalized(parameter: nn.Parameter) -> bool:
    """Whether there is something to gain: small matrices, as of a head with few classes, have few directions."""
    return parameter.dim() >= 2 and min(len(parameter), parameter[0].numel()) >= _LEAST_SIDE


class Muon(AdamW):
    """The steps of matrices and filters go equally far in all directions (Jordan 2024); the rest learns by AdamW.

    Of groups with ``orthogonalized`` the momentum is orthogonalized before it is a step.
    """

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
        ahead = whole({"step": gradient.lerp(momentum, _MOMENTUM)})["step"].flatten(1)  # as Nesterov looks ahead
        # Put together once: products of shares would be exchanged at each of them.
        step = shared_as(orthogonalize(ahead).view(parameter.shape), parameter)
        length = _LENGTH * math.sqrt(max(ahead.shape))
        kept = parameter * (1 - group["lr"] * group["weight_decay"])
        changed = kept.sub_(step.to(parameter.dtype), alpha=group["lr"] * length)
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
