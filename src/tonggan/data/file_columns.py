"""What a column of files holds: pictures, recordings, or what is not read, which is named with what to do about it.

The suffixes of paths decide, or else the first bytes of some of the files. Whether a file can be decoded, its modality
finds out. What people draw into pictures, boxes and masks, is found here too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tonggan.data.media_types import (
    HEAD_BYTES,
    MediaKind,
    document_of_bytes,
    document_of_path,
    kind_of_bytes,
    kind_of_path,
)
from tonggan.data.table import Table, spread
from tonggan.data.text_sample import TextSample
from tonggan.errors import DataError
from tonggan.files import path_here
from tonggan.modalities import AudioConfig, CodeConfig, ColumnConfig, IgnoreConfig, ImageConfig, TextConfig
from tonggan.modalities.boxes import BoxesConfig, read_objects
from tonggan.modalities.regions import RegionsConfig, read_mask_paths
from tonggan.modalities.video import VideoConfig

Found = tuple[ColumnConfig, str]
"""What a column is taken for, and why in words."""

_NUM_HEADS = 8
_DRAWN_SAMPLE_SIZE = 64
_MOST = 0.8
_HALF = 0.5
_MAX_WORDS = 2  # on average, of what may be a path without a suffix that says anything
_NameT = TypeVar("_NameT", bound=str)


def kind_of_embedded(values: Sequence[Any]) -> Found:
    """Of a column whose cells hold files: bytes, or ``{bytes, path}``."""
    kinds: list[MediaKind | None] = []
    documents: list[str | None] = []
    for value in values:
        content = value.get("bytes") if isinstance(value, Mapping) else value
        path = value.get("path") if isinstance(value, Mapping) else None
        head, path = content if isinstance(content, bytes) else b"", path if isinstance(path, str) else ""
        kinds.append(kind_of_bytes(head) or kind_of_path(path))
        documents.append(document_of_bytes(head) or document_of_path(path))
    return (
        _named(_common(kinds, _HALF), "embedded files")
        or _named(_common(documents, _HALF), "embedded files")
        or (IgnoreConfig(), "holds bytes or structures that are neither pictures, clips nor recordings")
    )


def kind_of_paths(sample: TextSample, base: Path) -> Found | None:
    """Of a column of texts, if most of them name files; paths start at ``base``."""
    values = sample.values
    kind = _common([kind_of_path(value) for value in values], _MOST)
    if kind is not None and sum("://" in value for value in values) > _HALF * len(values):
        return IgnoreConfig(), "addresses of files on the network, which are not fetched"
    if kind == "video":  # a container, such as WebM, may hold sound alone
        heads = _heads_of_files(base, values)
        sound_alone = bool(heads) and _common([kind_of_bytes(head) for head in heads], _HALF) == "audio"
        kind = "audio" if sound_alone else kind
    found = _named(kind, "paths of files") or _named(
        _common([document_of_path(value) for value in values], _MOST), "paths of files"
    )
    if found is not None or sample.mean_words > _MAX_WORDS:
        return found
    heads = _heads_of_files(base, values)
    if 2 * len(heads) <= len(values[:_NUM_HEADS]):
        return None
    return (
        _named(_common([kind_of_bytes(head) for head in heads], _HALF), "paths of files")
        or _named(_common([document_of_bytes(head) for head in heads], _HALF), "paths of files")
        or (IgnoreConfig(), "paths of files of an unknown format")
    )


def kind_of_programs() -> Found:
    """Of a column of texts that are Python programs, as far as a parser of other languages is at hand as well."""
    if find_spec("tree_sitter_language_pack") is None:
        return TextConfig(), "source code (Python), read as text: tree-sitter is not installed (tonggan[code])"
    return CodeConfig(), "source code (Python)"


def _common(names: Sequence[_NameT | None], share: float) -> _NameT | None:
    """The name that at least ``share`` of all have."""
    found = Counter(name for name in names if name is not None).most_common(1)
    return found[0][0] if found and found[0][1] >= share * len(names) else None


def _named(kind: str | None, what: str) -> Found | None:
    """A kind of media, or the name of documents, as a kind of column."""
    if kind is None:
        return None
    if kind == "image":
        return ImageConfig(), f"{what} that are pictures"
    if kind == "audio":
        return AudioConfig(), f"{what} that are recordings"
    if kind == "video":
        return VideoConfig(), f"{what} that are clips"
    return IgnoreConfig(), f"{what} that are {kind}"


def _heads_of_files(base: Path, paths: Sequence[str]) -> list[bytes]:
    """The beginnings of those of the first files that are there."""
    heads = [_head_of_file(base / path_here(path, base)) for path in paths[:_NUM_HEADS]]
    return [head for head in heads if head is not None]


def _head_of_file(path: Path) -> bytes | None:
    try:
        if path.is_file():
            with path.open("rb") as file:
                return file.read(HEAD_BYTES)
    except OSError:  # e.g. a value too long for a file's name
        return None
    return None


def kind_of_drawn(table: Table, name: str, rows: Sequence[int]) -> Found | None:
    """Boxes or lists of masks, where most of some cells, which are read whole, are such, and one holds any."""
    cells = table.values(name, np.array(rows)[spread(len(rows), _DRAWN_SAMPLE_SIZE)])
    cells = [cell for cell in cells if not isinstance(cell, str) or cell.lstrip().startswith(("[", "{"))]
    for config, read, reason in _DRAWN:
        found = []
        for cell in cells:
            with suppress(DataError):
                found.append(read(cell) or [])
        if any(found) and 2 * len(found) > min(len(rows), _DRAWN_SAMPLE_SIZE):
            return config, reason
    return None


def _read_masks(cell: Any) -> list[str] | None:
    paths = read_mask_paths(cell)
    if any(kind_of_path(path) != "image" for path in paths or ()):
        raise DataError(f"column {cell!r}", got="no picture", expected="paths of masks", remedy="Correct the cell")
    return paths


_DRAWN: Sequence[tuple[ColumnConfig, Callable[[Any], Sequence[Any] | None], str]] = (
    (BoxesConfig(), read_objects, "boxes around the objects of a picture"),
    (RegionsConfig(), _read_masks, "lists of masks, one for each object of a picture"),
)
