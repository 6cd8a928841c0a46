"""What training has made, kept in a run's folder: named adapters, which of them is in use, and the way back.

``RUN/adapters/NAME/`` holds ``weights.safetensors`` and ``manifest.json``; ``RUN/adapters/promoted.json`` the names
that were promoted, the last of which is in use. Nothing here trains or measures.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from tonggan.codelm.training.learner import Learner
from tonggan.config import Config, read_json
from tonggan.errors import BundleError, ConfigError, TrainingError
from tonggan.files import whole_file
from tonggan.language.causal_transformer import CausalTransformer, CausalTransformerConfig
from tonggan.language.infill import InfillTokens
from tonggan.language.model import LanguageModel
from tonggan.language.opening import AUTO, engine_for, open_model
from tonggan.language.pretrained import load_pretrained
from tonggan.language.tokenizer import Tokenizer
from tonggan.language.weight_shapes import check_shapes
from tonggan.progress import Progress
from tonggan.stored import named, read_object

_FOLDER, _WEIGHTS, _MANIFEST, _PROMOTED, _TOKENIZER = (
    "adapters", "weights.safetensors", "manifest.json", "promoted.json", "tokenizer.json",
)  # fmt: skip
_AGAIN = "Train the adapter again"
_PUT_BACK = "Delete it to use the base, or train another adapter"


class AdapterManifest(Config):
    """Where an adapter comes from, what it needs, and how it did."""

    name: str
    """The folder's name."""
    method: Literal["lora", "full"]
    """What was trained: low-rank adapters, or all weights."""
    base: str | None
    """Base model, as ``load_pretrained`` takes it; null for a model trained from scratch."""
    base_sha256: str | None
    """SHA-256 of the base model's weights."""
    shape: dict[str, Any] | None = None
    """Shape of a model trained from scratch."""
    rank: int = Field(ge=1)
    """Rank of the low-rank adapters."""
    sentinels: tuple[str, str, str] | None
    """Control tokens for prefix, suffix and middle; null if it was not trained for fill-in-the-middle."""
    sentinel_ids: tuple[int, int, int] | None
    """Ids of the control tokens."""
    corpus_sha256: str
    """SHA-256 of the manifest of the training corpus."""
    training: dict[str, Any] = Field(default_factory=dict)
    """Settings, steps, tokens and seconds of the training."""
    verdict: dict[str, Any] | None = None
    """How it compares with the previous model on the holdout; null if that was not measured."""


class AdapterRegistry:
    """The adapters of a run.

    Args:
        run: the run's folder.
    """

    def __init__(self, run: Path) -> None:
        self.run = run
        self.folder = run / _FOLDER

    def names(self) -> list[str]:
        """Of all adapters, in alphabetical order."""
        return sorted(path.parent.name for path in self.folder.glob(f"*/{_MANIFEST}"))

    def save(
        self, manifest: AdapterManifest, tensors: Mapping[str, Tensor], *, tokenizer: Tokenizer | None = None
    ) -> None:
        """Keep an adapter under its name; one that is there is replaced. It is not in use before it is promoted.

        Args:
            manifest: of it.
            tensors: what has learned, by name; floats are kept in 16 bits.
            tokenizer: of a model from scratch.

        Raises:
            ConfigError: the name cannot be a folder's.
            TrainingError: the disk is full, or the folder cannot be written.
        """
        check_name(manifest.name)
        folder = self.folder / manifest.name
        # Small numbers of adapters want float16's precision; whole models may hold what is too great for it.
        dtype = torch.float16 if manifest.method == "lora" else torch.bfloat16
        halved = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in tensors.items()}
        try:
            with whole_file(folder / _WEIGHTS) as partial:
                save_file(halved, partial)
        except (OSError, SafetensorError) as error:
            raise _unwritten(folder / _WEIGHTS, error) from error
        if tokenizer is not None:
            _write_json(folder / _TOKENIZER, tokenizer.state())
        self.describe(manifest)

    def describe(self, manifest: AdapterManifest) -> None:
        """Replace what is said of an adapter."""
        _write_json(self.folder / manifest.name / _MANIFEST, manifest.to_dict())

    def manifest(self, name: str) -> AdapterManifest:
        """Of the adapter ``name``.

        Raises:
            ConfigError: there is none of this name.
            BundleError: its manifest is damaged.
        """
        file = self.folder / name / _MANIFEST
        if not file.is_file():
            raise ConfigError(
                f"run {self.run}",
                got=f"adapter '{name}'",
                expected=f"one of {', '.join(self.names()) or 'none, for there are no adapters yet'}",
                remedy=f"Run: tonggan code adapters {self.run}",
            )
        try:
            return AdapterManifest.parse(read_json(file), who=f"file {file}")
        except ConfigError as error:
            raise BundleError(error.who, got=error.got, expected=error.expected, remedy=_AGAIN) from error

    @property
    def promoted(self) -> str | None:
        """The name of the adapter in use; None where the base is."""
        history = self._history()
        return history[-1] if history else None

    def in_use_before(self, name: str) -> str | None:
        """The adapter that was in use before ``name`` was, or is if ``name`` is not; None for the base."""
        others = [each for each in self._history() if each != name]
        return others[-1] if others else None

    def promote(self, name: str) -> None:
        """Take ``name`` into use.

        Raises:
            ConfigError: there is none of this name.
        """
        self.manifest(name)
        _write_json(self.folder / _PROMOTED, [each for each in self._history() if each != name] + [name])

    def rollback(self) -> str | None:
        """Go back to what was in use before; gives its name, None for the base.

        Raises:
            ConfigError: the base is in use already.
        """
        history = self._history()
        if not history:
            raise ConfigError(
                f"run {self.run}",
                got="no promoted adapter",
                expected="one to roll back from",
                remedy="Nothing to do: the base is in use",
            )
        _write_json(self.folder / _PROMOTED, history[:-1])
        return self.promoted

    def infill(self, name: str) -> InfillTokens | None:
        """The sentinels of the adapter ``name``."""
        ids = self.manifest(name).sentinel_ids
        return None if ids is None else InfillTokens(*ids)

    def load(self, name: str) -> tuple[CausalTransformer, Tokenizer]:
        """The base with the adapter ``name`` merged into it, in float32 on the CPU, and its vocabulary.

        Raises:
            BundleError: files are damaged, or the base is not the one that the adapter was trained on.
            ConfigError: there is no such adapter, or no such base.
        """
        manifest = self.manifest(name)
        tensors = self._tensors(name)
        if manifest.base is None:
            shape = CausalTransformerConfig.parse(manifest.shape or {}, who=f"shape of adapter '{name}'")
            who = f"adapter '{name}' of run {self.run}"
            check_shapes(shape, {key.removeprefix("model."): tuple(t.shape) for key, t in tensors.items()}, who=who)
            file = self.folder / name / _TOKENIZER
            with named(f"file {file}", expected="a tokenizer", remedy=_AGAIN, kind=BundleError):
                tokenizer = Tokenizer.load(read_object(file, remedy=_AGAIN, kind=BundleError))
            model = shape.build()
        else:
            base = load_pretrained(manifest.base)
            if base.sha256 != manifest.base_sha256:
                raise BundleError(
                    f"adapter '{name}' of run {self.run}",
                    got=f"{base.name} with SHA-256 {base.sha256[:12]}…",
                    expected=f"the weights it was trained on, {(manifest.base_sha256 or '')[:12]}…",
                    remedy="Restore those weights, or train the adapter again",
                )
            model, tokenizer = base.build(), base.tokenizer
        learner = Learner(
            model,
            method=manifest.method,
            rank=manifest.rank,
            infill=self.infill(name),
            precision="fp32",
            generator=torch.Generator(),
        )
        try:
            learner.restore(tensors)
        except (KeyError, RuntimeError) as error:
            raise self._damaged(name, error) from error
        return learner.merged(), tokenizer

    def _tensors(self, name: str) -> dict[str, Tensor]:
        try:
            return load_file(self.folder / name / _WEIGHTS)
        except (OSError, SafetensorError) as error:
            raise self._damaged(name, error) from error

    def _damaged(self, name: str, error: Exception) -> BundleError:
        return BundleError(
            f"adapter '{name}' of run {self.run}",
            got=" ".join(str(error).split()),
            expected="its weights, whole",
            remedy="Train it again, or roll back to another",
        )

    def _history(self) -> list[str]:
        file = self.folder / _PROMOTED
        with named(f"file {file}", expected="JSON", remedy=_PUT_BACK, kind=BundleError):
            names = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise BundleError(
                f"file {file}",
                got=json.dumps(names)[:80],
                expected="a list of names of adapters",
                remedy=_PUT_BACK,
            )
        return names


def is_code_run(folder: Path) -> bool:
    """Whether ``folder`` holds the adapters of a code model."""
    return (folder / _FOLDER).is_dir()


def open_code_model(
    run_or_name: str,
    *,
    engine: str = AUTO,
    bits: Literal[4, 8] | None = None,
    progress: Progress | None = None,
) -> tuple[LanguageModel, InfillTokens | None]:
    """A model that is ready to complete code, and the control tokens to fill in with where it knows some.

    Args:
        run_or_name: the folder of a run, for its base with the promoted adapter; or a model as ``open_model`` takes it.
        engine: as in ``open_model``.
        bits: of the native engine's weights.
        progress: told what is in use.

    Raises:
        ConfigError: there is no such run or model, or no engine computes it token by token.
        BundleError: an adapter is damaged, or its base is not what it was.
    """
    progress = progress or Progress()
    if is_code_run(Path(run_or_name)):
        registry = AdapterRegistry(Path(run_or_name))
        name = registry.promoted
        if name is not None:
            return open_adapter(registry, name, engine=engine, bits=bits, progress=progress)
        run_or_name = _base_of(registry)
        progress.say(f"No adapter of {registry.run} is promoted: {run_or_name} is used as it is.")
    model = open_model(run_or_name, engine=engine, bits=bits, progress=progress)
    if not isinstance(model, LanguageModel):
        raise ConfigError(
            f"code model '{run_or_name}'",
            got="a model whose engine returns only whole texts",
            expected="one that an engine computes token by token",
            remedy="Serve it with 'tonggan serve' and use an editor's plugin for HTTP",
        )
    return model, InfillTokens.of(model.tokenizer)


def open_adapter(
    registry: AdapterRegistry,
    name: str,
    *,
    engine: str = AUTO,
    bits: Literal[4, 8] | None = None,
    progress: Progress | None = None,
) -> tuple[LanguageModel, InfillTokens | None]:
    """As ``open_code_model``, with the adapter ``name``, promoted or not."""
    merged, tokenizer = registry.load(name)
    chosen = engine_for(merged, engine=engine, bits=bits, progress=progress)
    return LanguageModel(chosen, tokenizer, name=f"{registry.run.resolve().name}/{name}"), registry.infill(name)


def check_name(name: str) -> None:
    """Raises ConfigError where ``name`` cannot be an adapter's."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        raise ConfigError(
            "name of the adapter",
            got=repr(name),
            expected="letters, digits, '_', '-' and '.', the first a letter or digit",
            remedy="Choose another name",
        )


def _base_of(registry: AdapterRegistry) -> str:
    for name in registry.names():
        base = registry.manifest(name).base
        if base is not None:
            return base
    raise ConfigError(
        f"run {registry.run}",
        got="no promoted adapter and no base",
        expected="a model to use",
        remedy="Train one with 'tonggan code train'",
    )


def _write_json(path: Path, value: Any) -> None:
    try:
        with whole_file(path) as partial:
            partial.write_text(json.dumps(value, indent=2, ensure_ascii=False), encoding="utf-8")
    except OSError as error:
        raise _unwritten(path, error) from error


def _unwritten(path: Path, error: Exception) -> TrainingError:
    return TrainingError(
        f"file {path}",
        got=" ".join(str(error).split()),
        expected="a folder that can be written",
        remedy="Free space or correct the permissions, and run the same command again",
    )
