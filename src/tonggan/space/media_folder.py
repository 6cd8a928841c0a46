"""Folders of pictures, sounds and clips as tables: a row for each file, however deep it lies."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

from tonggan.data.media_types import kind_of_path
from tonggan.errors import DataError
from tonggan.modalities.file_formats import can_read_tracks

_TEXTS = ".txt"  # which a folder for each class may hold as well


def media_below(data: Any) -> Any:
    """A row for each picture, sound and, where PyAV is there, clip below a folder; all else as it is, for a table.

    Raises:
        DataError: the folder holds nothing of these, and is no table either.
    """
    folder = Path(data) if isinstance(data, str | Path) else None
    if folder is None or not folder.is_dir() or any(folder.glob("*.parquet")) or any(folder.glob("*.tar")):
        return data
    files_of: dict[str, str] = {}
    others: Counter[str] = Counter()
    read = ("image", "audio", "video") if can_read_tracks() else ("image", "audio")
    for path in sorted(folder.rglob("*")):
        kind = kind_of_path(path.name)
        if path.name.startswith(".") or not path.is_file():
            continue
        if kind is not None and kind in read:
            files_of[os.path.relpath(path)] = kind
        else:
            others[path.suffix.lower() or "no ending"] += 1
    kinds = sorted(set(files_of.values()))
    if not kinds and not others[_TEXTS]:
        raise _without_media(folder, others)
    return {name: [path if kind == name else None for path, kind in files_of.items()] for name in kinds} or data


def _without_media(folder: Path, others: Counter[str]) -> DataError:
    shown = ", ".join(f"{count:,} {ending}" for ending, count in others.most_common(5))
    has_clips = any(kind_of_path(f"clip{ending}") == "video" for ending in others)
    return DataError(
        f"folder {folder}",
        got=f"none, but other files: {shown}" if shown else "no files",
        expected="pictures, sounds or clips, at any depth, or a table",
        remedy="Clips are read by PyAV: pip install 'tonggan[video]'"
        if has_clips
        else "Check the path; of a table, name the file itself",
    )
