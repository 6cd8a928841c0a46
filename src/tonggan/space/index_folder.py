"""The folder of an index, and what stands in its ``index.json``.

======================  =====================================================================
space/                  a copy of the space, where one was fitted
rows/                   the rows, their words and vectors; see ``tonggan.retrieval``
index.json              format, columns, weights
======================  =====================================================================
"""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from tonggan.config import read_json
from tonggan.errors import BundleError, ConfigError
from tonggan.files import whole_file
from tonggan.modalities import Modality, VideoConfig
from tonggan.progress import Progress
from tonggan.retrieval.store import Store
from tonggan.space.matcher import PICTURE_SIZE, Matcher

INDEX = "index.json"
SPACE = "space"
ROWS = "rows"
FORMAT = 1
_DENSE = r"\u3400-\u9fff\uf900-\ufaff\u3040-\u30ff\U00020000-\U0003ffff"
_RUN = re.compile(rf"([{_DENSE}]+)|([^\W_{_DENSE}]+)")
_WORDS_VERSION = "words-1"  # changes with whatever changes the words


DATE = "date"
"""The form of a column of dates, which are stored as ISO 8601 has them."""


class IndexInfo(BaseModel, extra="forbid"):
    """The content of ``index.json``."""

    format: int
    source: str
    """The table's path, or what it was called."""
    base: str
    """The folder that its relative paths refer to."""
    space: str
    """The space before it was adapted to the rows."""
    weights: dict[str, str]
    """By kind, the frozen encoder, where no space was fitted."""
    inputs: dict[str, str]
    """The kind of each input that has vectors."""
    rows: int | None = None
    """Number of rows; None until a first pass is complete."""
    fields: dict[str, str]
    """The columns that are stored and shown: ``file``, ``text``, ``date``, or ``number`` if all values are numbers."""


def read_info(folder: Path) -> IndexInfo:
    """What the index in ``folder`` holds.

    Raises:
        BundleError: there is none, or it cannot be read, or it is of a newer format.
    """
    who = f"index {folder}"
    if not (folder / INDEX).is_file():
        raise BundleError(
            who,
            got=f"no file {INDEX}",
            expected="the folder of an index",
            remedy="Make one: tonggan index RUN DATA --out FOLDER",
        )
    try:
        info = IndexInfo.model_validate(read_json(folder / INDEX))
    except (ConfigError, ValidationError) as error:
        got = error.got if isinstance(error, ConfigError) else str(error).splitlines()[0]
        raise BundleError(
            who,
            got=got,
            expected=f"a whole {INDEX}",
            remedy="Make the index again: tonggan index RUN DATA --out FOLDER",
        ) from error
    if info.format > FORMAT:
        raise BundleError(
            who,
            got=f"format {info.format} in {INDEX}",
            expected=f"format {FORMAT} or older",
            remedy="Update Tonggan: pip install --upgrade tonggan",
        )
    return info


def write_info(folder: Path, info: IndexInfo) -> None:
    """Write ``index.json``."""
    with whole_file(folder / INDEX) as partial:
        partial.write_text(json.dumps(info.model_dump(), ensure_ascii=False, indent=1), encoding="utf-8")


def query_modalities(matcher: Matcher) -> dict[str, Modality[Any]]:
    """By kind, what decodes and reads a query as the space reads its inputs; clips as it reads pictures, if it does."""
    found: dict[str, Modality[Any]] = {}
    for modality in matcher.modalities.values():
        found.setdefault(modality.kind, modality)
    if "image" in found and matcher.frozen_pictures:
        found.setdefault("video", VideoConfig(size=PICTURE_SIZE, draws=1).build())
    return found


def open_store(folder: Path, matcher: Matcher, *, progress: Progress | None = None) -> Store:
    """The store of the index in ``folder``."""
    return Store.open(
        folder / ROWS,
        analyze=words_of,
        dim=matcher.space.width,
        version=_WORDS_VERSION,
        vector_version=matcher.identity(matcher.reader()),
        progress=progress,
    )


def words_of(text: str) -> list[str]:
    """The words of ``text``: in lower case, and of writing without spaces each character and each two."""
    words: list[str] = []
    for dense, word in _RUN.findall(unicodedata.normalize("NFKC", text).casefold()):
        words += [*dense, *(dense[place : place + 2] for place in range(len(dense) - 1))] if dense else [word]
    return words
