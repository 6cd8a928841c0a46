"""What of a model is worth saving: all it has learned, and nothing that is only borrowed."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def learned_state(model: nn.Module) -> dict[str, Tensor]:
    """Parameters that learn and buffers by name, each shared one once.

    A frozen parameter is that of a pretrained model, which the config names and builds again.
    """
    seen: set[int] = set()
    state = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        is_borrowed = isinstance(tensor, nn.Parameter) and not tensor.requires_grad
        if id(tensor) not in seen and not is_borrowed:
            seen.add(id(tensor))
            state[name] = tensor.detach()
    return state


def load_learned_state(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """The inverse of ``learned_state``, in place.

    Raises:
        KeyError: ``state`` lacks something that the model learns.
        RuntimeError: a tensor has another shape.
    """
    check_learned_state(model, state)
    with torch.no_grad():
        for name, tensor in learned_state(model).items():
            tensor.copy_(state[name])


def check_learned_state(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Raise as ``load_learned_state`` would."""
    for name, tensor in learned_state(model).items():
        if tensor.shape != state[name].shape:
            raise RuntimeError(f"{name} is {tuple(state[name].shape)}, not {tuple(tensor.shape)}")
