"""A model in a folder of Hugging Face's layout: its config and its weights as plain tensors.

It builds no network. Weights that must be unpickled are read only as PyTorch's ``weights_only`` allows.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tonggan.errors import ConfigError, DataError
from tonggan.stored import DOWNLOAD, named, read_object

_SAFE, _INDEX, _PICKLED = "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"
_PREFIXES = ("bert.", "roberta.")  # where a checkpoint holds more than the encoder


class WeightsFolder:
    """The model in the folder ``path``; weights are read when they are asked for.

    Args:
        path: the folder.
        name: what it is called, by default as the folder.
        names: of the catalogue, which could stand in the folder's place.

    Attributes:
        config: the content of ``config.json``.

    Raises:
        ConfigError: there is no such folder.
        DataError: it holds no model.
    """

    def __init__(self, path: Path, *, name: str | None = None, names: Sequence[str] = ()) -> None:
        if not os.path.isdir(path):  # noqa: PTH112 - Path's raises for a name that no folder can have
            raise ConfigError(
                "pretrained weights",
                got=f"'{path}', which is no folder",
                expected=", ".join([*(f"'{one}'" for one in names), "or a folder in Hugging Face's layout"]),
                remedy="Check the path; nothing is downloaded",
            )
        self.name = name or path.resolve().name
        self.path = path
        if not (path / "config.json").is_file():
            raise DataError(
                f"folder {path}",
                got="no config.json",
                expected="a model in Hugging Face's layout, with config.json and model.safetensors",
                remedy="Name a folder that save_pretrained has written",
            )
        self.config: dict[str, Any] = read_object(path / "config.json", remedy=DOWNLOAD)

    @property
    def files(self) -> tuple[Path, ...]:
        """What holds the weights.

        Raises:
            DataError: there is none.
        """
        parts = tuple(sorted(self.path.glob("model-*.safetensors"))) if (self.path / _INDEX).is_file() else ()
        for files in ((self.path / _SAFE,), parts, (self.path / _PICKLED,)):
            if files and all(file.is_file() for file in files):
                return files
        raise DataError(
            f"folder {self.path}",
            got="no weights",
            expected=f"{_SAFE}, parts of it with {_INDEX}, or {_PICKLED}",
            remedy="Save the model with transformers: model.save_pretrained(folder)",
        )

    def tensors(self) -> dict[str, Tensor]:
        """The weights by the names of an encoder alone, as they are stored.

        Raises:
            DataError: there are none, they are damaged, or opening them would run a program.
        """
        found: dict[str, Tensor] = {}
        for file in self.files:
            found.update(_read(file))
        return {_without_prefix(name): weight for name, weight in found.items()}

    @cached_property
    def sha256(self) -> str:
        """Of the bytes of its config and weights, one after the other."""
        digest = hashlib.sha256()
        for path in (self.path / "config.json", *self.files):
            with path.open("rb") as file:
                while chunk := file.read(1 << 22):
                    digest.update(chunk)
        return digest.hexdigest()


def _read(file: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    if file.name != _PICKLED:
        with named(
            f"file {file}",
            expected="the weights that config.json describes, in safetensors",
            remedy=f"{DOWNLOAD}, or save it with safetensors",
        ):
            return load_file(file)
    with named(
        f"file {file}",
        expected="tensors alone, since anything else can run any program when it is unpickled",
        remedy="Save the model with transformers: model.save_pretrained(folder, safe_serialization=True)",
    ):
        content: Any = torch.load(file, map_location="cpu", weights_only=True)
        if not isinstance(content, dict) or not all(isinstance(weight, Tensor) for weight in content.values()):
            raise TypeError("no tensors by name")
        return content


def _without_prefix(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name
