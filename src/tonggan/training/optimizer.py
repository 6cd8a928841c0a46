"""The optimizer and its learning rate over time. It does not decide how long training lasts."""

from __future__ import annotations

import math

from torch import nn
from torch.optim import AdamW

from tonggan.training.config import TrainingConfig


def build_optimizer(model: nn.Module, config: TrainingConfig) -> AdamW:
    """Fused AdamW (Loshchilov & Hutter 2019) over the parameters of ``model`` that want a gradient.

    Weight decay applies to matrices and filters only: norms, biases and position embeddings have none.
    """
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            (decayed if parameter.dim() >= 2 and "position" not in name else free).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
    return AdamW([group for group in groups if group["params"]], lr=config.learning_rate, fused=True)


def learning_rate_at(progress: float, config: TrainingConfig) -> float:
    """The learning rate when ``progress`` (0 to 1) of the training is done.

    It rises linearly during ``config.warmup`` and then falls along half a cosine to zero
    (Loshchilov & Hutter 2017, without restarts).
    """
    if progress < config.warmup:
        return config.learning_rate * progress / config.warmup
    decay = min(1.0, (progress - config.warmup) / (1 - config.warmup))
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * decay))
