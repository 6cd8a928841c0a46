"""The optimizer and its learning rate over time. It does not decide how long training lasts."""

from __future__ import annotations

import math
from collections.abc import Iterable
from operator import itemgetter

from torch import nn
from torch.optim import AdamW

from tonggan.training.config import TrainingConfig
from tonggan.training.muon import Muon, is_orthogonalized


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
