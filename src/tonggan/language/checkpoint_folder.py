"""A model in a folder of Hugging Face's layout: its config, and its weights in safetensors files, read one by one.

Files that must be unpickled are refused: opening one can run anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor

from tonggan.errors import DataError
from tonggan.language.llama import LlamaConfig
from tonggan.language.weight_shapes import check_shapes
from tonggan.stored import DOWNLOAD, Record, named, read_object, read_record

_ONE_FILE, _INDEX = "model.safetensors", "model.safetensors.index.json"


class _Index(Record):
    """Which file each weight is in; files of this folder alone."""

    weight_map: dict[str, Annotated[str, Field(pattern=r"^[^/\\]+\.safetensors$")]]


class CheckpointFolder:
    """The model in the folder ``path``.

    Attributes:
        path: the folder.
        config: the model's shape.
        files: what holds its weights.

    Raises:
        ConfigError: its ``config.json`` describes another architecture than a Llama.
        DataError: a file is missing or damaged, or weights do not fit the config.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        config = self._config()
        with named(f"file {path / 'config.json'}", expected="the config of a Llama", remedy=DOWNLOAD):
            self.config = LlamaConfig.from_hugging_face(config, who=f"file {path / 'config.json'}")
        self._places = self._find_weights()
        self.files = tuple(sorted(set(self._places.values())))
        check_shapes(self.config, self._shapes(), who=f"folder {path}")

    def read(self, name: str) -> Tensor:
        """The weight ``name``, in the number format that it is stored in."""
        with self._open(self._places[name]) as file:
            weight: Tensor = file.get_tensor(name)
        return weight

    def _config(self) -> dict[str, Any]:
        file = self.path / "config.json"
        if not file.is_file():
            raise DataError(
                f"folder {self.path}",
                got="no config.json",
                expected="a model in Hugging Face's layout: config.json, tokenizer.json, model.safetensors",
                remedy="Name a folder that save_pretrained has written",
            )
        return read_object(file, remedy=DOWNLOAD)

    def _find_weights(self) -> dict[str, Path]:
        """The file of each weight, by name; a second copy of tied embeddings is left out."""
        if (self.path / _INDEX).is_file():
            index = read_record(_Index, self.path / _INDEX, remedy=DOWNLOAD)
            places = {name: self.path / file for name, file in index.weight_map.items()}
        elif (self.path / _ONE_FILE).is_file():
            with self._open(self.path / _ONE_FILE) as file:
                places = dict.fromkeys(file.keys(), self.path / _ONE_FILE)
        else:
            raise self._no_weights()
        for file in sorted(set(places.values())):
            if not file.is_file():
                raise DataError(
                    f"folder {self.path}", got=f"no file {file.name}", expected=f"it, as {_INDEX} says", remedy=DOWNLOAD
                )
        tied = {"lm_head.weight"} if self.config.tie_word_embeddings else set()
        return {name: file for name, file in places.items() if name not in tied and not name.endswith("inv_freq")}

    def _no_weights(self) -> DataError:
        pickled = sorted(file.name for file in self.path.glob("*.bin"))
        return DataError(
            f"folder {self.path}",
            got=f"weights in {pickled[0]}, which can run any program when opened" if pickled else "no weights",
            expected=f"{_ONE_FILE}, or parts and {_INDEX}",
            remedy="Save the model with transformers: model.save_pretrained(folder, safe_serialization=True)",
        )

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        shapes = {}
        for path in self.files:
            with self._open(path) as file:
                for name in file.keys():  # noqa: SIM118 - not a mapping
                    if self._places.get(name) == path:
                        shapes[name] = tuple(file.get_slice(name).get_shape())
        return shapes

    @staticmethod
    @contextmanager
    def _open(path: Path) -> Iterator[Any]:
        from safetensors import safe_open

        with (
            named(f"file {path}", expected="weights in safetensors", remedy=DOWNLOAD),
            safe_open(path, framework="pt") as file,
        ):
            yield file
