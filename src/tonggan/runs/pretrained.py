"""The folder of a pretrained encoder: its weights, and a manifest that says what they are and what they have seen.

====================  =======================================================================
encoder.json          the manifest: encoder, input, what it was trained on, license, SHA-256 of the weights
weights.safetensors   the encoder's weights alone
recipe.yaml           how they were made
report.html           how the training went
====================  =======================================================================
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, PositiveInt
from safetensors.torch import load_file, save
from torch import Tensor

from tonggan.config import Config, read_json
from tonggan.data.fetch import sha256_of
from tonggan.data.places import WEIGHTS_VARIABLE, weights_folder
from tonggan.encoders import EncoderConfig
from tonggan.errors import BundleError, ConfigError
from tonggan.files import whole_file, whole_folder
from tonggan.runs.bundle import InputEntry
from tonggan.runs.bundle_folder import ENCODER, WEIGHTS
from tonggan.stored import named
from tonggan.weights import CATALOGUE

FORMAT = 1
_MADE_AGAIN = "Copy it again from where it was made, or pretrain again"


class Manifest(Config):
    """The content of ``encoder.json``."""

    format: PositiveInt = FORMAT
    """Version of the folder's format."""
    objective: str
    """Kind of the objective."""
    column: str
    """The column it was trained on."""
    dim: int = Field(ge=1)
    """Width of its Tokens."""
    encoder: EncoderConfig
    """The encoder's config."""
    input: InputEntry
    """The input it reads, as fitted."""
    trained_on: str
    """The data, as the user named them, and how many rows."""
    rows: int = Field(ge=0)
    """Number of items it was trained on."""
    fingerprint: str
    """Fingerprint of the data."""
    license: str | None = None
    """License of the weights, as stated by the user."""
    parameters: int = Field(ge=0)
    """Number of trained parameters."""
    sha256: str
    """SHA-256 of the weights."""
    size: int = Field(ge=0)
    """Bytes of the weights."""
    results: dict[str, Any]
    """Held-out loss and the like."""
    versions: dict[str, str]
    """Versions of the libraries it was made with."""
    created: str
    """Time of creation."""


def is_pretrained(folder: Path) -> bool:
    """Whether ``folder`` holds a pretrained encoder."""
    return (folder / ENCODER).is_file()


def write_pretrained(folder: Path, weights: Mapping[str, Tensor], **fields: Any) -> Manifest:
    """Write weights and manifest into ``folder``, the manifest last; ``fields`` are the manifest's other ones.

    Raises:
        OSError: the folder cannot be written.
    """
    (folder / ENCODER).unlink(missing_ok=True)
    with whole_file(folder / WEIGHTS) as partial:
        partial.write_bytes(save({name: tensor.contiguous() for name, tensor in weights.items()}))
    path = folder / WEIGHTS
    manifest = Manifest(sha256=sha256_of(path), size=path.stat().st_size, **fields)
    with whole_file(folder / ENCODER) as partial:
        partial.write_text(manifest.model_dump_json(serialize_as_any=True, indent=1), encoding="utf-8")
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the pretrained encoder in ``folder``.

    Raises:
        BundleError: it is damaged, or of a newer format.
    """
    who = f"pretrained encoder {folder}"
    try:
        found = read_json(folder / ENCODER)
        if isinstance(found.get("format"), int) and found["format"] > FORMAT:
            raise BundleError(
                who,
                got=f"format {found['format']} in {ENCODER}",
                expected=f"format {FORMAT} or older",
                remedy="Update Tonggan: pip install --upgrade tonggan",
            )
        return Manifest.parse(found, who=who)
    except ConfigError as error:
        raise BundleError(
            who,
            got=f"an unreadable {ENCODER} ({error.got})",
            expected=error.expected,
            remedy=_MADE_AGAIN,
        ) from error


def read_pretrained(folder: Path) -> tuple[Manifest, dict[str, Tensor]]:
    """The manifest in ``folder`` and the weights, whose SHA-256 is verified.

    Raises:
        BundleError: a file is missing, damaged or another one.
    """
    manifest = read_manifest(folder)
    state = weights_state(folder)
    if state != "ok":
        raise BundleError(
            f"pretrained encoder {folder}",
            got=f"{state} {WEIGHTS}",
            expected=f"SHA-256 {manifest.sha256[:16]}…, which {ENCODER} says",
            remedy=_MADE_AGAIN,
        )
    with named(f"pretrained encoder {folder}", expected=f"tensors in {WEIGHTS}", remedy=_MADE_AGAIN, kind=BundleError):
        return manifest, load_file(folder / WEIGHTS)


def weights_state(folder: Path) -> str:
    """Of the weights in ``folder``, by the manifest beside them: ``"ok"``, ``"missing"`` or ``"damaged"``."""
    path = folder / WEIGHTS
    if not path.is_file():
        return "missing"
    try:
        return "ok" if sha256_of(path) == read_manifest(folder).sha256 else "damaged"
    except BundleError:
        return "damaged"


def own_weights() -> dict[str, Path]:
    """The pretrained encoders that the user has added to the catalogue, by name."""
    folder = weights_folder()
    return {path.name: path for path in sorted(folder.iterdir()) if is_pretrained(path)} if folder.is_dir() else {}


def add_weights(run: Path, *, name: str | None = None, overwrite: bool = False) -> tuple[str, Path]:
    """Copy the pretrained encoder in ``run`` into the catalogue, once its weights are verified.

    Args:
        run: its folder.
        name: what it is called from now on; by default as the folder.
        overwrite: replace one of that name.

    Returns:
        The name, and where the copy is.

    Raises:
        BundleError: ``run`` holds no pretrained encoder, or a damaged one, or the copy cannot be written.
        ConfigError: the name is taken, or cannot be that of a folder.
    """
    if not is_pretrained(run):
        raise BundleError(
            f"pretrained encoder {run}",
            got=f"no file {ENCODER}",
            expected="the folder of a finished 'tonggan pretrain'",
            remedy="Check the path",
        )
    read_pretrained(run)
    name = name or run.resolve().name
    place = weights_folder() / name
    if not re.fullmatch(r"\w[\w.-]*", name) or name in CATALOGUE or (place.exists() and not overwrite):
        raise ConfigError(
            f"weights '{name}'",
            got="a name that is taken" if re.fullmatch(r"\w[\w.-]*", name) else "a name with other characters",
            expected="a new one of letters, digits, '.', '-' and '_'",
            remedy="Choose another with --name, or replace your own with --overwrite",
        )
    try:
        shutil.rmtree(place, ignore_errors=True)
        with whole_folder(place) as partial:
            for file in (WEIGHTS, ENCODER):
                shutil.copyfile(run / file, partial / file)
    except OSError as error:
        raise BundleError(
            f"weights '{name}'",
            got=str(error),
            expected="a folder that can be written",
            remedy=f"Free space, or name another folder in {WEIGHTS_VARIABLE}",
        ) from error
    return name, place
