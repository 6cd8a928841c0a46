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
from tonggan.stored import named


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
            remedy="Free space or choose a folder that can be written, then run the same command to resume",
        ) from error


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors, on the CPU, and the plain data that ``save_checkpoint`` wrote.

    Raises:
        TrainingError: the file is missing or damaged.
    """
    with (
        named(
            f"checkpoint {path}",
            expected="a whole checkpoint",
            remedy=f"Delete the folder {path.parent} to train from the start",
            kind=TrainingError,
        ),
        safe_open(path, framework="pt") as file,
    ):
        state = dict(json.loads(file.metadata()["state"]))
        return {name: file.get_tensor(name) for name in file.keys()}, state  # noqa: SIM118 (no mapping)


class Checkpoints:
    """The files of one training in ``folder``: the last state, and the best weights so far.

    Best weights carry their step in their name, so that those the last state speaks of are there until it is replaced.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.last = folder / "last.safetensors"

    def best(self, step: int) -> Path:
        """The file of the weights that were best at ``step``."""
        return self.folder / f"best-{step:08d}.safetensors"

    def save_last(self, tensors: Mapping[str, Tensor], *, state: Mapping[str, Any], best_step: int) -> None:
        """Write the last state, and remove best weights other than those of ``best_step``."""
        save_checkpoint(self.last, tensors=tensors, state=state)
        for path in self.folder.glob("best-*.safetensors"):
            if path != self.best(best_step):
                path.unlink()

    def load_last(self, identity: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What ``save_last`` wrote.

        Raises:
            TrainingError: the file is damaged, or of a run of another ``identity``.
        """
        tensors, saved = load_checkpoint(self.last)
        differing = [name for name, value in identity.items() if saved["identity"].get(name) != value]
        if differing:
            raise TrainingError(
                f"checkpoint {self.last}",
                got=f"a run with other {', '.join(differing)}",
                expected="the run that is to be resumed",
                remedy=f"Choose another folder or name for this run, or delete {self.folder}",
            )
        return tensors, saved


def optimizer_tensors(model: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    """What the optimizer remembers of each parameter, by the parameter's name."""
    return {
        f"optimizer.{key}.{name}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def parameter_of(name: str) -> str:
    """The parameter that ``name``, of a checkpoint's tensor, is or says something of."""
    return name.split(".", 2)[2] if name.startswith("optimizer.") else name


def load_optimizer_tensors(model: nn.Module, optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """The inverse of ``optimizer_tensors``; ``tensors`` may hold more than the optimizer's."""
    own = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    parameters = {name: parameter for name, parameter in model.named_parameters() if id(parameter) in own}
    for full_name, tensor in tensors.items():
        if not full_name.startswith("optimizer."):
            continue
        _, key, name = full_name.split(".", 2)
        if name in parameters:
            parameter = parameters[name]
            # A moment has its parameter's memory layout, so that a resumed run adds in the same order.
            place = torch.empty_like(parameter if tensor.dim() else tensor, device=parameter.device)
            optimizer.state[parameter][key] = place.detach().copy_(tensor)
