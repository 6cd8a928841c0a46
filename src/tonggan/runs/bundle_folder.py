"""The files of a bundle in its folder: their names, which of two bundles counts, and what the index says.

``bundle.json`` is written last: a folder without it is an unfinished run. A bundle that is replaced stays until the new
one is whole: that one is written into ``next/``, and from the moment it is whole there, it is what the folder holds.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, PositiveInt, TypeAdapter, ValidationError

from tonggan.config import read_json
from tonggan.errors import BundleError, ConfigError
from tonggan.files import flush
from tonggan.runs.one_file import is_packed, unpacked
from tonggan.validation import place_of, wanted

FORMAT = 4
NETWORK_FORMAT, MEMBERS_FORMAT = 2, 3
"""Of a bundle without members, and of one with them, unless it is compressed: older versions read these too."""
INDEX = "bundle.json"
RECIPE = "recipe.yaml"
WEIGHTS = "weights.safetensors"
INPUTS = "inputs.json"
RECOMMENDER = "recommender.json"
"""In the folder of a recommender, instead of a bundle."""
SPACE = "space.json"
"""In the folder of a space, instead of a bundle."""
ENCODER = "encoder.json"
"""In the folder of a pretrained encoder, instead of a bundle."""
FILES = (RECIPE, WEIGHTS, INPUTS)
CHECKPOINTS = "checkpoints"
OUT_OF_FOLD = "out_of_fold.csv"
"""Each row's prediction by the model that has not learned from it, of a run with folds."""
IDENTITY = f"{CHECKPOINTS}/run.yaml"
"""What an unfinished run is; see ``run_folder``."""
NEXT = "next"
"""In the folder of a finished run, that of the one that replaces it."""
DAMAGED = "The bundle is damaged: copy it again from where it was made, or train again"


class _TaskEntry(BaseModel):
    state: dict[str, Any]


class _ResultsEntry(BaseModel, extra="allow"):
    """What of the results others than their readers for people rely on; some numbers may be NaN."""

    metrics: dict[str, dict[str, Any]]
    intervals: dict[str, dict[str, Any]]
    rows: dict[str, int]
    inputs: dict[str, str]
    task: str
    target: list[str]


class _FloorEntry(BaseModel):
    """The members of an ensemble."""

    goal: dict[str, Any]
    bags: list[dict[str, Any]]
    network_weights: list[float]


_Base = dict[Literal["name", "sha256"], str]


class _CompressionEntry(BaseModel, extra="allow"):
    """How a network differs from the one that its recipe builds; further fields are for people."""

    kind: Literal["distill", "prune", "int8"]


class _IndexFile(BaseModel, extra="allow"):
    """The content of ``bundle.json``; further fields are for people."""

    format: int
    task: _TaskEntry
    results: _ResultsEntry
    files: dict[Literal["recipe.yaml", "weights.safetensors", "inputs.json"], str] = Field(min_length=len(FILES))
    base: _Base = {}
    weights: dict[str, _Base] = {}
    versions: dict[str, str]
    fingerprint: str
    parameters: int
    baseline: list[Any] = []
    compression: _CompressionEntry | None = None
    floor: _FloorEntry | None = None
    frozen: dict[str, dict[Literal["name", "identity"], str]] = {}


def located(folder: Path, name: str) -> Path:
    """Where a file of the bundle in ``folder`` is: that of a new one that is whole and not yet in its place counts."""
    new = folder / NEXT
    return new / name if (new / INDEX).exists() and (new / name).exists() else folder / name


def place_next(folder: Path) -> None:
    """Bring all that is in ``folder/next``, a whole bundle, to its place; stopped anywhere, it goes on when repeated.

    Raises:
        BundleError: the folder cannot be written.
    """
    try:
        new = folder / NEXT
        for path in [*(path for path in new.iterdir() if path.name != INDEX), new / INDEX]:
            if path.name == INDEX:
                flush(folder)  # Until all the rest has reached the disk, the index says where to look.
            place = folder / path.name
            if place.is_dir():
                shutil.rmtree(place)
            path.replace(place)
        new.rmdir()
    except OSError as error:
        raise BundleError(
            f"run folder {folder}",
            got=str(error),
            expected="a folder that can be written",
            remedy="Free space or correct the permissions, and run the same command again to resume",
        ) from error


def is_run(folder: Path) -> bool:
    """Whether ``folder`` is that of a run, finished or not, or a file that holds one."""
    return is_packed(folder) or any((folder / name).exists() for name in (INDEX, RECIPE, IDENTITY))


def _check_kind(folder: Path, path: Path) -> None:
    """Raise BundleError where ``folder`` holds something else than the bundle whose index would be at ``path``."""
    others = {
        SPACE: ("a space", f"Use it with 'tonggan index {folder} DATA --out INDEX', then 'tonggan search INDEX TEXT'"),
        RECOMMENDER: ("a recommender", f"Use it with 'tonggan recommend {folder}', or 'tonggan serve {folder}'"),
        ENCODER: ("a pretrained encoder", f"Start a fit from it with --set start.COLUMN={folder}"),
    }
    for name, (got, remedy) in others.items():
        if not path.is_file() and (folder / name).is_file():
            raise BundleError(f"bundle {folder}", got=got, expected="a run that predicts a column", remedy=remedy)


def read_index(folder: Path) -> dict[str, Any]:
    """The index of the bundle in ``folder``, without loading the model.

    Raises:
        BundleError: there is none, or it cannot be read.
    """
    who, folder = f"bundle {folder}", unpacked(folder)
    path = located(folder, INDEX)
    _check_kind(folder, path)
    if not path.is_file():
        unfinished = is_run(folder)
        raise BundleError(
            who,
            got="an unfinished run" if unfinished else f"no file {INDEX}",
            expected="the folder of a finished run",
            remedy="Run the command that started it again to finish it" if unfinished else "Check the path",
        )
    try:
        index = read_json(path)
        written = TypeAdapter(PositiveInt).validate_python(index.get("format"))
        if written <= FORMAT:
            index = _IndexFile.model_validate(index).model_dump()
    except (ConfigError, ValidationError) as error:
        if isinstance(error, ConfigError):
            got = error.got
        else:
            first = error.errors()[0]
            place, _ = place_of(first["loc"], index)
            got = f"{place or 'format'}: expected {wanted(first)}"
        raise BundleError(
            who,
            got=f"an unreadable {INDEX} ({got})",
            expected="valid JSON with format, task, results and files",
            remedy=DAMAGED,
        ) from error
    if written > FORMAT:
        raise BundleError(
            who,
            got=f"format {written} in {INDEX}",
            expected=f"format {FORMAT} or older",
            remedy="Update Tonggan: pip install --upgrade tonggan",
        )
    return index
