"""A finished space as something to use: vectors of whatever it reads, what it is worth, and its folder.

======================  =====================================================================
weights.safetensors     the linear maps and towers
report.html             what it is worth, for people
space.json              format, recipe, inputs, frozen encoders, results, SHA-256 of the weights; written last
======================  =====================================================================
"""

from __future__ import annotations

import json
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from tonggan.alignment.distances import Distance
from tonggan.config import read_json
from tonggan.data.fetch import sha256_of
from tonggan.data.places import cache_folder
from tonggan.errors import BundleError, ConfigError, TongganError
from tonggan.files import whole_file
from tonggan.floor.frozen import FrozenEncoder, advised_weights
from tonggan.modalities import Modality, load_modality
from tonggan.modalities.base import InputConfig
from tonggan.models.state import learned_state, load_learned_state
from tonggan.runs.bundle_folder import SPACE as INDEX
from tonggan.runs.loading import FEATURES
from tonggan.space.config import MatchRecipe
from tonggan.space.features import Encoders, FeatureReader, Features, read_as
from tonggan.space.towers import Space
from tonggan.weights import CATALOGUE

WEIGHTS = "weights.safetensors"
FORMAT = 2
STARTER = "starter"
"""The space that comes with Tonggan: pictures, texts, and where their frozen encoder is installed spoken words."""
PICTURE_SIZE = 224
"""Pixels a side of pictures for frozen encoders."""
_DAMAGED = "The folder is damaged: copy it again from where it was made, or fit again"


class _InputEntry(BaseModel):
    config: dict[str, Any]
    state: dict[str, Any] | None


class _Index(BaseModel, extra="forbid"):
    format: int
    recipe: dict[str, Any]
    inputs: dict[str, _InputEntry]
    widths: dict[str, int]
    linear_dim: int
    has_towers: bool
    share: float
    distance: Distance
    token_widths: dict[str, int] = {}
    bases: dict[str, str] = {}
    """By kind, SHA-256 of the pretrained weights of an encoder that was trained."""
    weights: dict[str, str]
    frozen: dict[str, dict[str, str]]
    sha256: str
    results: dict[str, Any]


@dataclass(frozen=True)
class Matcher:
    """A space and all that it needs to read raw data.

    Attributes:
        recipe: that it was made by.
        modalities: its inputs by name, fitted.
        weights: by kind, the frozen encoder's name.
        space: linear maps and towers.
        results: what it is worth.
        folder: where it is stored; None of one that is made of frozen encoders alone.
        encoders: those that are open.
    """

    recipe: MatchRecipe
    modalities: Mapping[str, Modality[Any]]
    weights: Mapping[str, str]
    space: Space
    results: Mapping[str, Any]
    folder: Path | None = None
    encoders: Encoders = field(default_factory=Encoders)

    @property
    def kinds(self) -> dict[str, str]:
        """The kind of each input."""
        return {name: modality.kind for name, modality in self.modalities.items()}

    @property
    def sha256(self) -> str:
        """Of its weights; empty of frozen encoders alone."""
        return str(self.results.get("sha256", ""))

    @property
    def frozen_pictures(self) -> bool:
        """Whether pictures are read by a frozen encoder and compared by one vector, as the frames of a clip can be."""
        return "image" in self.weights and "image" not in self.space.encoders and self.space.matching == "pooled"

    @property
    def is_one_space(self) -> bool:
        """Whether vectors of different kinds can be compared."""
        return self.folder is not None

    def could_read(self, kind: str) -> str | None:
        """What to do so that it reads a ``kind`` of inputs that it has learned from and cannot read here; else None."""
        name = advised_weights(kind) if kind in self.space.widths and kind not in self.weights else None
        return None if name is None else f"Install its encoder and index again: tonggan weights get {name}"

    def reader(self, modalities: Mapping[str, Modality[Any]] | None = None) -> FeatureReader:
        """What reads features of ``modalities``, or of the inputs that were learned from."""
        return FeatureReader(
            modalities or self.modalities,
            self.weights,
            cache=cache_folder() / FEATURES,
            encoders=self.encoders,
            reads_sets=self.space.matching != "pooled",
            learned={kind: partial(self.space.encode, kind) for kind in self.space.encoders},
        )

    def frozen(self, name: str) -> FrozenEncoder | None:
        """What gives the tokens of the input ``name``; None where it is no frozen encoder."""
        modality = self.modalities[name]
        if modality.kind in self.space.encoders or modality.kind not in self.weights:
            return None
        return self.encoders.open(modality, self.weights[modality.kind])

    def identity(self, reader: FeatureReader) -> str:
        """What all vectors depend on."""
        frozen = " ".join(f"{kind}:{each['identity']}" for kind, each in sorted(reader.identities.items()))
        return f"{self.sha256[:16] or 'frozen'} {frozen}"

    def embed(self, kind: str, features: Features, *, as_query: bool = False) -> NDArray[np.float32]:
        """``[N, D]`` of features of one kind.

        Raises:
            ConfigError: the space has no such kind.
        """
        kind = read_as(kind, self.space.widths)
        if kind not in self.space.widths:
            raise ConfigError(
                "a vector",
                got=f"an input of kind '{kind}'",
                expected=f"one of {', '.join(self.space.widths)}, which the space was made for",
                remedy="Fit a space with such a column: tonggan fit TABLE --task match",
            )
        return self.space.embed(kind, features, as_query=as_query)

    def save(self, folder: Path, *, in_half: bool = False) -> Matcher:
        """Write it into ``folder``, the index last; ``in_half`` precision in half the space.

        Raises:
            BundleError: the folder cannot be written.
        """
        state = {
            name: each.half() if in_half and each.is_floating_point() else each.contiguous()
            for name, each in learned_state(self.space).items()
        }
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with whole_file(folder / WEIGHTS) as partial:
                partial.write_bytes(save(state))
            digest = sha256_of(folder / WEIGHTS)
            index = _Index(
                format=FORMAT,
                recipe=self.recipe.to_dict(),
                inputs={
                    name: _InputEntry(config=each.config.to_dict(), state=each.state() if self._learns(each) else None)
                    for name, each in self.modalities.items()
                },
                widths=self.space.widths,
                linear_dim=self.space.linear_dim,
                has_towers=self.space.has_networks,
                share=self.space.share,
                distance=self.space.distance,
                token_widths=self.space.token_widths,
                bases={kind: base["sha256"] for kind, base in self._bases().items()},
                weights=dict(self.weights),
                frozen=self.reader().identities,
                sha256=digest,
                results=dict(self.results),
            )
            with whole_file(folder / INDEX) as partial:
                partial.write_text(json.dumps(index.model_dump(), ensure_ascii=False, indent=1), encoding="utf-8")
        except OSError as error:
            raise BundleError(
                f"run folder {folder}",
                got=str(error),
                expected="a folder that can be written",
                remedy="Free space or choose another folder with --out",
            ) from error
        return load_matcher(folder, encoders=self.encoders)

    def _learns(self, modality: Modality[Any]) -> bool:
        """Whether ``modality`` has learned something from data: what a frozen encoder reads has not."""
        return bool(modality.cells) or modality.kind in self.space.encoders

    def _bases(self) -> dict[str, Mapping[str, str]]:
        """By kind, ``name`` and ``sha256`` of the pretrained weights that an encoder which learned builds on."""
        found = {kind: each.base for kind, each in self.recipe.space.encoders.items() if kind in self.space.encoders}
        return {kind: base for kind, base in found.items() if base}


def is_space(folder: Path) -> bool:
    """Whether ``folder`` holds a finished space."""
    return (folder / INDEX).is_file()


def load_matcher(folder: Path, *, encoders: Encoders | None = None, without: Container[str] = ()) -> Matcher:
    """The space in ``folder``.

    Args:
        folder: of a run.
        encoders: that are open already.
        without: kinds of inputs that it is not to read.

    Raises:
        BundleError: there is none, or it is damaged, of a newer format, or made with other frozen encoders.
    """
    index, recipe, modalities, space = _read_space(folder)
    matcher = Matcher(
        recipe,
        {name: each for name, each in modalities.items() if each.kind not in without},
        {kind: name for kind, name in index.weights.items() if kind not in without},
        space,
        {**index.results, "sha256": index.sha256},
        folder,
        encoders or Encoders(),
    )
    who = f"space {folder}"
    _check_frozen(matcher, index.frozen, who=who)
    for kind, base in matcher._bases().items():
        if index.bases.get(kind) != base["sha256"]:
            raise _other_weights(who, base["name"], expected=f"SHA-256 {index.bases.get(kind)}")
    return matcher


def open_space(source: str) -> tuple[Space, dict[str, str]]:
    """The space in a run's folder, or the one that comes along, and the identity of its frozen encoders by kind.

    No frozen encoder need be installed.

    Raises:
        BundleError: it cannot be read.
    """
    index, _, _, space = _read_space(_folder_of(source))
    return space, {kind: each["identity"] for kind, each in index.frozen.items()}


def _read_space(folder: Path) -> tuple[_Index, MatchRecipe, dict[str, Modality[Any]], Space]:
    who = f"space {folder}"
    if not is_space(folder):
        raise BundleError(
            who,
            got=f"no file {INDEX}",
            expected="the folder of a finished space",
            remedy="tonggan fit TABLE --task match",
        )
    try:
        raw = read_json(folder / INDEX)
        if isinstance(raw.get("format"), int) and raw["format"] > FORMAT:
            raise BundleError(
                who,
                got=f"format {raw['format']} in {INDEX}",
                expected=f"format {FORMAT} or older",
                remedy="Update Tonggan: pip install --upgrade tonggan",
            )
        index = _Index.model_validate(raw)
        recipe = MatchRecipe.model_validate(index.recipe)
        modalities = {
            name: _opened(InputConfig.model_validate(each.config), each.state) for name, each in index.inputs.items()
        }
        if sha256_of(folder / WEIGHTS) != index.sha256:
            raise ValueError(f"{WEIGHTS} is another file than the one that was saved")
        space = Space(
            index.widths,
            dim=recipe.space.dim if index.has_towers else 0,
            hidden=recipe.space.hidden,
            linear_dim=index.linear_dim,
            distance=index.distance,
            matching=recipe.space.matching if index.has_towers else "pooled",
            token_widths=index.token_widths,
            encoders=recipe.space.build_encoders(modalities) if index.has_towers else {},
        )
        load_learned_state(space, load_file(folder / WEIGHTS))
    except (ConfigError, ValidationError, ValueError, KeyError, OSError, RuntimeError, SafetensorError) as error:
        got = error.got if isinstance(error, TongganError) else str(error).splitlines()[0]
        raise BundleError(who, got=got, expected=f"a whole {INDEX} and {WEIGHTS}", remedy=_DAMAGED) from error
    space.share = index.share
    return index, recipe, modalities, space.eval()


def _opened(config: InputConfig, state: Mapping[str, Any] | None) -> Modality[Any]:
    """An input; what a frozen encoder reads has learned nothing from data."""
    return config.build() if state is None else load_modality(config, dict(state))


def _check_frozen(matcher: Matcher, saved: Mapping[str, Mapping[str, str]], *, who: str) -> None:
    """Raise BundleError where a frozen encoder is another one than when the space was made."""
    for kind, now in matcher.reader().identities.items():
        if saved.get(kind, {}).get("identity") != now["identity"]:
            raise _other_weights(who, now["name"], expected=f"identity {saved.get(kind, {}).get('identity')}")


def _other_weights(who: str, name: str, *, expected: str) -> BundleError:
    return BundleError(
        who,
        got=f"other weights of '{name}' than those that the space was made with",
        expected=expected,
        remedy=f"Install the same ones: tonggan weights get {name}, or fit again",
    )


def _folder_of(source: str) -> Path:
    return Path(str(files("tonggan.space") / STARTER)) if source == STARTER else Path(source)


def open_matcher(source: str) -> Matcher:
    """The space in a run's folder, the one that comes with Tonggan, or that of frozen encoders joined by ``+``.

    Raises:
        ConfigError: it is neither.
        BundleError: the run cannot be read.
        MissingExtraError: an encoder is not installed.
    """
    folder = _folder_of(source)
    if is_space(folder) or folder.is_dir():
        is_deaf = source == STARTER and advised_weights("audio") is not None
        return load_matcher(folder, without=("audio",) if is_deaf else ())
    names = source.split("+")
    if all(name in CATALOGUE and CATALOGUE[name].reads in ("text", "image", "audio") for name in names):
        return frozen_matcher({CATALOGUE[name].reads: name for name in names})
    raise ConfigError(
        f"space '{source}'",
        got="neither the folder of a run nor names of weights",
        expected="a folder made by 'tonggan fit TABLE --task match', 'starter', or weights joined by +, e.g. "
        "e5+efficientnet_lite0",
        remedy="See tonggan weights list",
    )


def frozen_matcher(weights: Mapping[str, str]) -> Matcher:
    """A space without training: vectors as frozen encoders give them, comparable within a kind alone.

    Args:
        weights: by kind, the encoder's name.
    """
    modalities = {kind: _default_modality(kind) for kind in weights}
    reader = FeatureReader(modalities, weights, cache=cache_folder() / FEATURES)
    widths = {kind: reader.width(kind) for kind in weights}
    space = Space(widths, dim=0, hidden=0, linear_dim=max(widths.values()))
    return Matcher(MatchRecipe(), modalities, dict(weights), space.eval(), {}, encoders=reader.encoders)


def _default_modality(kind: str) -> Modality[Any]:
    """What reads things of a kind for a frozen encoder."""
    size = {"size": PICTURE_SIZE} if kind == "image" else {}
    return InputConfig.model_validate({"kind": kind, **size}).build()


def chance(num_items: Sequence[int]) -> dict[str, float]:
    """What drawing at random reaches where each query has one right answer among so many."""
    harmonic = [sum(1 / rank for rank in range(1, count + 1)) / count for count in num_items]
    recalled = {f"recall@{k}": float(np.mean([min(k / count, 1.0) for count in num_items])) for k in (1, 5, 10)}
    return {
        **recalled,
        "mrr": float(np.mean(harmonic)),
        "median_rank": float(np.mean(num_items) + 1) / 2,
    }
