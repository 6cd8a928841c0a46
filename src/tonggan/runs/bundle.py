"""The bundle: a run's folder as something that loads anywhere, offline, without pickle and without training data.

======================  =====================================================================
recipe.yaml             the recipe with every choice filled in
weights.safetensors     what the model has learned; a pretrained part that stayed as it was is not copied
inputs.json             what was fitted: tokenizers, means, category names
bundle.json             format, versions, task state, results, data fingerprint, SHA-256 of the rest and of
                        what is not copied
======================  =====================================================================
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from safetensors.torch import load_file, save
from torch import Tensor

from tonggan.compression.int8 import with_int8
from tonggan.compression.pruning import shrink
from tonggan.config import Config, read_json, read_yaml
from tonggan.data.fetch import sha256_of
from tonggan.data.profiles import ColumnProfile
from tonggan.decoders import LanguageHeadConfig
from tonggan.errors import BundleError, MissingExtraError
from tonggan.files import whole_file
from tonggan.floor.ensemble import Ensemble, load_members, store_members
from tonggan.language.pretrained import load_pretrained
from tonggan.modalities import ColumnConfig, InputConfig, load_modality
from tonggan.modalities.base import MediaModality, Modality
from tonggan.models import FusedModel, Model
from tonggan.models.state import check_learned_state, learned_state, load_learned_state
from tonggan.runs.bundle_folder import (
    DAMAGED,
    FILES,
    FORMAT,
    IDENTITY,
    INDEX,
    INPUTS,
    MEMBERS_FORMAT,
    NETWORK_FORMAT,
    NEXT,
    RECIPE,
    WEIGHTS,
    located,
    place_next,
    read_index,
)
from tonggan.runs.loading import readers_of
from tonggan.runs.one_file import unpacked
from tonggan.runs.recipe import Recipe
from tonggan.stored import named
from tonggan.tasks import Task, load_task
from tonggan.tokens import Arrays

_MEMBERS, _NETWORKS = "members", "networks"  # before the names of their tensors


class InputEntry(Config):
    """One input as it is saved."""

    config: InputConfig
    """Its modality's config."""
    state: dict[str, Any]
    """The fitted state of the modality."""
    profiles: dict[str, ColumnProfile] = Field(default_factory=dict)
    """Profiles of its columns in the training part, by column; bundles of older versions have none."""


class InputsFile(Config):
    """The content of ``inputs.json``."""

    inputs: dict[str, InputEntry]
    """By input name, in the model's order."""


@dataclass(frozen=True)
class Bundle:
    """Everything that a finished run is."""

    recipe: Recipe
    modalities: Mapping[str, Modality[Any]]
    task: Task
    model: Model
    results: Mapping[str, Any]
    info: Mapping[str, Any]
    profiles: Mapping[str, ColumnProfile] = field(default_factory=dict)

    @property
    def networks(self) -> list[FusedModel]:
        """Those that were trained, where they are a part of what is served."""
        if isinstance(self.model, Ensemble):
            return [network for network, _ in self.model.networks]
        assert isinstance(self.model, FusedModel), "a model is an ensemble or a network"
        return [self.model]

    @property
    def network(self) -> FusedModel | None:
        """The first of them; None where there is none."""
        return next(iter(self.networks), None)

    @property
    def columns(self) -> dict[str, ColumnConfig]:
        """The kind of each column that the model reads."""
        parts = [modality.columns(name) for name, modality in self.modalities.items()]
        return {column: config for part in parts for column, config in part.items()}

    def save(self, folder: Path) -> None:
        """Write the bundle into ``folder``, each file atomically, the index last; one that is there stays until then.

        Raises:
            BundleError: the folder cannot be written, or a run that is to replace its bundle is unfinished.
        """
        if (folder / INDEX).exists():
            if (folder / NEXT / IDENTITY).exists():
                raise BundleError(
                    f"run folder {folder}",
                    got="an unfinished run that is to replace its bundle",
                    expected="a folder that no other run needs",
                    remedy="Finish that run, or choose another folder",
                )
            self._write(folder / NEXT)
            place_next(folder)
        else:
            self._write(folder)

    def _write(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _write(folder / RECIPE, self.recipe.to_yaml().encode())
            floor, state = store_members(self.model) if isinstance(self.model, Ensemble) else (None, {})
            state = {f"{_MEMBERS}.{name}": tensor for name, tensor in state.items()}
            networks = self.networks
            for prefix, network in zip(_prefixes(len(networks)), networks, strict=True):
                state |= {f"{prefix}{name}": each.contiguous() for name, each in learned_state(network).items()}
            _write(folder / WEIGHTS, save(state))
            inputs = InputsFile(
                inputs={
                    name: InputEntry(
                        config=modality.config, state=modality.state(), profiles=self._profiles_of(name, modality)
                    )
                    for name, modality in self.modalities.items()
                }
            )
            _write(folder / INPUTS, inputs.model_dump_json(serialize_as_any=True).encode())
            index = {
                "format": self._format,
                **self.info,
                "task": {"state": self.task.state()},
                "floor": floor,
                "results": self.results,
                "files": {name: sha256_of(folder / name) for name in FILES},
            }
            _write(folder / INDEX, json.dumps(index, ensure_ascii=False, indent=1).encode())
        except OSError as error:
            raise BundleError(
                f"run folder {folder}",
                got=str(error),
                expected="a folder that can be written",
                remedy="Free space or choose another folder with --out, and run the same command again",
            ) from error

    @property
    def _format(self) -> int:
        """The oldest that can hold it."""
        if (self.info.get("compression") or {}).get("kind") in ("prune", "int8"):
            return FORMAT
        return MEMBERS_FORMAT if isinstance(self.model, Ensemble) else NETWORK_FORMAT

    def _profiles_of(self, name: str, modality: Modality[Any]) -> dict[str, ColumnProfile]:
        return {column: self.profiles[column] for column in modality.columns(name) if column in self.profiles}

    def collate(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Arrays]:
        """What the model reads of ``rows``, each with its cells by column and its files opened."""

        def read(column: str) -> list[Any]:
            return [row.get(column) for row in rows]

        items = {name: modality.gather(name, read) for name, modality in self.modalities.items()}
        return {
            name: modality.collate_opened(items[name])
            if isinstance(modality, MediaModality)
            else modality.collate(items[name])
            for name, modality in self.modalities.items()
        }

    @classmethod
    def load(cls, folder: Path) -> Bundle:
        """Read a bundle from its folder, or from a file that holds one, with every file's SHA-256 verified.

        Raises:
            BundleError: no bundle, an unfinished run, a damaged file, or a newer format.
        """
        folder = unpacked(folder)
        index = read_index(folder)
        paths = {name: located(folder, name) for name in FILES}
        for name, expected in index["files"].items():
            path = paths[name]
            actual = sha256_of(path) if path.is_file() else "no such file"
            if actual != expected:
                raise BundleError(
                    f"bundle file {path}",
                    got=actual[:16],
                    expected=f"SHA-256 {expected[:16]}…, which {INDEX} says",
                    remedy=DAMAGED,
                )
        made_by = index["versions"].get("tonggan")
        with _reading(folder, RECIPE, made_by=made_by):
            recipe = Recipe.parse(read_yaml(paths[RECIPE]), who=RECIPE)
            if recipe.task is None:
                raise ValueError("no task; a saved recipe has every choice filled in")
        _check_bases(recipe, index, folder=folder)
        with _reading(folder, INPUTS, made_by=made_by):
            inputs = InputsFile.parse(read_json(paths[INPUTS]), who=INPUTS)
            modalities = {name: load_modality(entry.config, entry.state) for name, entry in inputs.inputs.items()}
        with _reading(folder, INDEX, made_by=made_by):
            task = load_task(recipe.task, _task_state(index))
        with _reading(folder, WEIGHTS, made_by=made_by):
            weights = load_file(paths[WEIGHTS])

        model = _load_model(folder, index, recipe, modalities, task, weights)
        elsewhere = ("format", "task", "results", "files", "baseline", "floor")
        info = {key: value for key, value in index.items() if key not in elsewhere}
        profiles = {column: profile for entry in inputs.inputs.values() for column, profile in entry.profiles.items()}
        bundle = cls(recipe, modalities, task, model.eval(), index["results"], info, profiles)
        if isinstance(model, Ensemble):
            with _reading(folder, INDEX, *FILES, made_by=made_by), torch.inference_mode():
                # Whatever of the members does not fit together is told now.
                if not model(bundle.collate([{}]))["outputs"].isfinite().all():
                    raise ValueError("members whose answer is no finite number")
        return bundle


def _load_model(
    folder: Path,
    index: Mapping[str, Any],
    recipe: Recipe,
    modalities: Mapping[str, Modality[Any]],
    task: Task,
    weights: Mapping[str, Tensor],
) -> Model:
    """What is served: the network, or members with or without one."""
    floor, made_by = index["floor"], index["versions"].get("tonggan")

    def build(learned: Mapping[str, Tensor]) -> FusedModel:
        network = recipe.model.build(modalities, answer=task.answer)
        if index["compression"] is not None:
            with_int8(network, learned)
            shrink(network, learned)
        return network

    with _reading(folder, INDEX, *FILES, made_by=made_by), torch.random.fork_rng(devices=[]):
        networks = []
        for prefix in _prefixes(1 if floor is None else len(floor["network_weights"])):
            learned = _below(prefix, weights)
            if not (index["base"] or index["weights"]):
                with torch.device("meta"):  # Without memory at first, which a wrong size would take all of.
                    check_learned_state(build(learned), learned)
            networks.append(build(learned))
            load_learned_state(networks[-1], learned)
        if floor is None:
            (network,) = networks
            return network
        readers = readers_of(modalities, {name: each["name"] for name, each in index["frozen"].items()})
        ensemble = load_members(floor, _below(f"{_MEMBERS}.", weights), readers, networks)
    _check_frozen(ensemble, index["frozen"], folder=folder)
    return ensemble


def _prefixes(num_networks: int) -> list[str]:
    """Of the names of each network's weights."""
    return [""] if num_networks == 1 else [f"{_NETWORKS}.{place}." for place in range(num_networks)]


def _below(prefix: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): each for name, each in weights.items() if name.startswith(prefix)}


def _check_frozen(ensemble: Ensemble, saved: Mapping[str, Mapping[str, str]], *, folder: Path) -> None:
    """Frozen encoders are no part of the bundle; vectors of another one would mean nothing to its members."""
    for name, found in ensemble.frozen.items():
        if found != saved[name]:
            raise BundleError(
                f"weights '{found['name']}' of the input '{name}' of bundle {folder}",
                got=f"identity {found['identity'][:16]}",
                expected=f"{saved[name]['identity'][:16]}, as when the run was made",
                remedy="Install the version of the weights that 'tonggan weights list' names, or fit again",
            )


def _task_state(index: Mapping[str, Any]) -> dict[str, Any]:
    """What the task was fitted to; the first format has its constant answer beside it, after the calibration."""
    state: dict[str, Any] = index["task"]["state"]
    if "constant" in state or not index["baseline"]:
        return state
    return {**state, "constant": [number / state["temperature"] for number in index["baseline"][0]]}


@contextmanager
def _reading(folder: Path, *names: str, made_by: str | None) -> Iterator[None]:
    """Whatever the content of files does to what reads them, the error names them."""
    with named(
        f"{' with '.join(names)} of bundle {folder}",
        expected=f"what Tonggan {made_by} has written",
        remedy="Load it with the version of Tonggan that wrote it, copy it again, or train again",
        kind=BundleError,
        passing=(MissingExtraError,),
    ):
        yield


def base_of(recipe: Recipe) -> dict[str, str]:
    """Name and SHA-256 of the pretrained model that ``recipe`` builds on; nothing where it has none."""
    head = recipe.model.head
    if not isinstance(head, LanguageHeadConfig) or head.base is None:
        return {}
    return {"name": head.base, "sha256": load_pretrained(head.base).sha256}


def weights_of(recipe: Recipe) -> dict[str, dict[str, str]]:
    """Name and SHA-256 of the pretrained weights that encoders of ``recipe`` build on, by input."""
    bases = {name: dict(encoder.base) for name, encoder in recipe.model.encoders.items()}
    return {name: base for name, base in bases.items() if base}


def _check_bases(recipe: Recipe, index: Mapping[str, Any], *, folder: Path) -> None:
    """Pretrained weights are not part of the bundle; with others, what was learned would mean nothing."""
    saved = {"base model": index["base"], **{f"weights of {name}": base for name, base in index["weights"].items()}}
    found = {"base model": base_of(recipe), **{f"weights of {name}": base for name, base in weights_of(recipe).items()}}
    for what, base in saved.items():
        other = found.get(what, {})
        if base and other != base:
            raise BundleError(
                f"{what} {base['name']} of bundle {folder}",
                got=f"SHA-256 {other.get('sha256', '')[:16]}…",
                expected=f"{base['sha256'][:16]}…, the one that the run was trained on",
                remedy="Put the same files of that model where the recipe names it",
            )


def versions() -> dict[str, str]:
    """What this bundle was made with."""
    packages = {name: version(name) for name in ("tonggan", "torch", "numpy", "tokenizers", "pyarrow")}
    return {**packages, "python": platform.python_version(), "machine": platform.machine()}


def _write(path: Path, content: bytes) -> None:
    with whole_file(path) as partial:
        partial.write_bytes(content)
