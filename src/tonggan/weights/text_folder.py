"""A text encoder in a folder of Hugging Face's layout, with what sentence-transformers adds to it.

It builds no network. Weights that must be unpickled are read only as PyTorch's ``weights_only`` allows.
"""

from __future__ import annotations

import hashlib
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field
from torch import Tensor

from tonggan.errors import ConfigError, DataError
from tonggan.stored import DOWNLOAD, Record, named, read_object, read_record

if TYPE_CHECKING:
    import tokenizers

_SAFE, _INDEX, _PICKLED = "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"
_PREFIXES = ("bert.", "roberta.")  # where a checkpoint holds more than the encoder


class _Lengths(Record):
    """What of ``sentence_bert_config.json`` is read."""

    max_seq_length: int | None = Field(default=None, ge=3)


class _Prompts(Record):
    """What of ``config_sentence_transformers.json`` is read."""

    prompts: dict[str, str] = Field(default_factory=dict)
    default_prompt_name: str | None = None


class _Pooling(Record, extra="allow"):
    """The content of ``1_Pooling/config.json``."""

    pooling_mode_mean_tokens: bool = False


class TextFolder:
    """The encoder in the folder ``path``; what is large is read when it is asked for.

    Attributes:
        name: what it is called.
        path: the folder.
        config: the content of ``config.json``.
        max_tokens: of a text, if the folder says so.
        prompt: stands before every text, as the encoder was trained to.

    Raises:
        ConfigError: there is no such folder.
        DataError: it holds no model, or a damaged one.
    """

    def __init__(self, path: Path, *, name: str | None = None) -> None:
        if not os.path.isdir(path):  # noqa: PTH112 - Path's raises for a name that no folder can have
            raise ConfigError(
                "text encoder",
                got=f"'{path}', which is no folder",
                expected="'minilm', 'e5', or a folder in Hugging Face's layout",
                remedy="Check the path; nothing is downloaded",
            )
        self.name = name or path.resolve().name
        self.path = path
        if not (path / "config.json").is_file():
            raise DataError(
                f"folder {path}",
                got="no config.json",
                expected="a model in Hugging Face's layout: config.json, tokenizer.json, model.safetensors",
                remedy="Name a folder that save_pretrained has written",
            )
        self.config = read_object(path / "config.json", remedy=DOWNLOAD)
        lengths, told = path / "sentence_bert_config.json", path / "config_sentence_transformers.json"
        self.max_tokens = read_record(_Lengths, lengths, remedy=DOWNLOAD, is_optional=True).max_seq_length
        prompts = read_record(_Prompts, told, remedy=DOWNLOAD, is_optional=True)
        self.prompt = prompts.prompts.get(prompts.default_prompt_name or "", "")

    @cached_property
    def tokenizer(self) -> tokenizers.Tokenizer:
        """The vocabulary, and what opens and closes a text.

        Raises:
            DataError: there is none, or it is damaged.
        """
        import tokenizers

        file = self.path / "tokenizer.json"
        with named(f"file {file}", expected="a tokenizer in JSON", remedy=DOWNLOAD):
            library = tokenizers.Tokenizer.from_str(file.read_text(encoding="utf-8"))
            library.encode("a")  # what opens and closes a text may be wrong, too
            highest = max(library.get_vocab().values(), default=0)
            size = self.config.get("vocab_size", highest + 1)
            if highest >= size:
                raise ValueError(f"token id {highest}, where the model has embeddings of {size:,}")
            return library

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

    def check_mean_pooling(self) -> None:
        """See that a text's vector is the mean of its tokens.

        Raises:
            ConfigError: it is another one.
        """
        file = self.path / "1_Pooling" / "config.json"
        pooling = (
            read_record(_Pooling, file, remedy=DOWNLOAD).model_dump()
            if file.is_file()
            else {"pooling_mode_mean_tokens": True}
        )
        modes = sorted(key for key, value in pooling.items() if key.startswith("pooling_mode") and value is True)
        if modes != ["pooling_mode_mean_tokens"]:
            raise ConfigError(
                f"folder {self.path}",
                got=", ".join(modes) or "no pooling",
                expected="pooling_mode_mean_tokens alone",
                remedy="Choose a model whose vector is the mean of its tokens",
            )


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
