"""One file that holds tensors and plain data, written so that a kill at any moment leaves the old or the new one.

It uses safetensors with JSON in the header, never pickle, and does not decide when to write.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from tonggan.errors import TrainingError
from tonggan.files import whole_file
from tonggan.models.state import learned_state, load_learned_state


def save_checkpoint(path: Path, *, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Write ``tensors`` and the plain data ``state`` to ``path`` at once or not at all.

    Raises:
        TrainingError: the disk is full or the folder cannot be written; an older file at ``path`` stays whole.
    """
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    try:
        with whole_file(path) as partial:
            save_file(whole, partial, {"state": json.dumps(state)})
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"checkpoint {path}",
            got=" ".join(str(error).split()),
            expected="to write it",
            remedy="Free disk space or choose a folder that can be written, then run the same command to resume",
        ) from error


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors, on the CPU, and the plain data that ``save_checkpoint`` wrote.

    Raises:
        TrainingError: the file is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            state = json.loads(file.metadata()["state"])
            return {name: file.get_tensor(name) for name in file.keys()}, state  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(
            f"checkpoint {path}",
            got=" ".join(str(error).split()),
            expected="a whole checkpoint",
            remedy=f"Delete the folder {path.parent} to train from the start",
        ) from error


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """What the model has learned, by name."""
    return {f"model.{name}": tensor for name, tensor in learned_state(model).items()}


def load_model_tensors(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """The inverse of ``model_tensors``, in place; ``tensors`` may hold more than the model's."""
    load_learned_state(model, {name.removeprefix("model."): tensor for name, tensor in tensors.items()})


def optimizer_tensors(model: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    """What the optimizer remembers of each parameter, by the parameter's name."""
    return {
        f"optimizer.{key}.{name}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def load_optimizer_tensors(model: nn.Module, optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """The inverse of ``optimizer_tensors``; ``tensors`` may hold more than the optimizer's."""
    parameters = dict(model.named_parameters())
    for full_name, tensor in tensors.items():
        if full_name.startswith("optimizer."):
            _, key, name = full_name.split(".", 2)
            parameter = parameters[name]
            # A moment has its parameter's memory layout, so that a resumed run adds in the same order.
            place = torch.empty_like(parameter if tensor.dim() else tensor, device=parameter.device)
            optimizer.state[parameter][key] = place.detach().copy_(tensor)
