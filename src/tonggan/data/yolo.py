"""YOLO: a text file for each picture, a line ``class x y width height`` for each object, in fractions of the picture.

Pictures lie in ``images`` and texts of the same names in ``labels``, at any depth; or both lie in one folder with
``classes.txt``. A line with more numbers is the outline of an object, whose box is taken. A picture without a text has
no objects: that is how the format writes it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tonggan.data.annotations import Remarks, annotated_source, pictures_in, row_of
from tonggan.data.records import Record
from tonggan.data.source import TableSource, reading
from tonggan.errors import DataError
from tonggan.modalities.boxes import Box, write_objects
from tonggan.modalities.image import read_extent
from tonggan.progress import Progress

_IMAGES, _LABELS, _CLASSES = "images", "labels", "classes.txt"
_PARTS = ("train", "training", "val", "valid", "validation", "test")
_NAMING = ("data.yaml", "data.yml", "dataset.yaml", _CLASSES, "obj.names", "_darknet.labels")


def read_yolo(folder: Path, progress: Progress) -> TableSource | None:
    """The table of a folder of YOLO labels, with ``image`` and ``objects``; None where it is none.

    The row of a text with a line that is no object has no boxes, and a finding names it.

    Raises:
        DataError: it holds the parts of a split, or the file of the names cannot be read.
    """
    found = _folders(folder)
    if found is None:
        return None
    pictures, labels = found
    _check_parts(folder, pictures)
    names = _names(folder, labels)

    def records(remarks: Remarks) -> Iterator[Record]:
        paths = pictures_in(pictures, deep=pictures != labels)
        if names is None:
            remarks.add("no names", folder.name)
        for path in progress.track(paths, label=f"Reading {folder.name}", total=len(paths)):
            file = labels / path.with_suffix(".txt")
            image = (pictures / path).relative_to(folder).as_posix()
            if not file.is_file():
                remarks.add("empty by absence", path)
            cell = None
            try:
                lines = _lines(file) if file.is_file() else []
                extent = read_extent(pictures / path) if lines else (1, 1)
                if extent is None:
                    remarks.add("no size", path)
                else:
                    cell = write_objects(_box(line, file, number, extent, names) for number, line in lines)
            except DataError as error:
                remarks.add_unreadable(error)
            yield row_of(image, "objects", cell, place=image)
        known = {path.with_suffix("") for path in paths}
        for file in sorted(labels.rglob("*.txt") if pictures != labels else labels.glob("*.txt")):
            inner = file.relative_to(labels)
            if inner.with_suffix("") not in known and file.name not in _NAMING and not inner.name.startswith("."):
                remarks.add("no row", inner)

    return annotated_source(folder, records, base=folder, column="objects", kind="yolo")


def _folders(folder: Path) -> tuple[Path, Path] | None:
    """Where the pictures and where their texts lie."""
    pictures = folder / _IMAGES
    if pictures.is_dir() and (folder / _LABELS).is_dir() and any((folder / _LABELS).rglob("*.txt")):
        return pictures, folder / _LABELS
    if (folder / _CLASSES).is_file() and pictures_in(folder):
        return folder, folder
    parts = folder.absolute().parts
    if _IMAGES in parts[:-1]:  # images/train, whose texts are in labels/train
        place = len(parts) - 1 - parts[::-1].index(_IMAGES)
        labels = Path(*parts[:place], _LABELS, *parts[place + 1 :])
        if labels.is_dir() and any(labels.rglob("*.txt")):
            return folder, labels
    return None


def _check_parts(folder: Path, pictures: Path) -> None:
    parts = [name for name in _PARTS if (pictures / name).is_dir()]
    if len(parts) > 1:
        raise DataError(
            f"folder {folder}",
            got=f"the parts of a split: {', '.join(parts)}",
            expected="the pictures of one part",
            remedy=f"Pass {pictures / parts[0]}, and each other part as its own table",
        )


def _names(folder: Path, labels: Path) -> list[str] | None:
    """The names of the classes by number; from a file in the folder, beside the texts, or up to two folders above."""
    above = folder.absolute().parents
    for place in dict.fromkeys([folder, labels, *above[:2]]):
        for name in _NAMING:
            if (place / name).is_file():
                found = _read_names(place / name)
                if found:
                    return found
    return None


def _read_names(path: Path) -> list[str]:
    with reading(path):
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    if path.suffix not in (".yaml", ".yml"):
        return [line.strip() for line in text.rstrip().splitlines()]  # a blank one in between has its number too
    import yaml

    try:
        content: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        got = " ".join(str(error).split())
        raise DataError(f"file {path}", got=got, expected="YAML with 'names'", remedy="Correct the file") from error
    names = content.get("names", []) if isinstance(content, dict) else []
    if isinstance(names, dict) and sorted(names) == list(range(len(names))):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list):
        raise DataError(
            f"file {path}",
            got=f"'names' that are {names!r}",
            expected="a list of names, or one name for each number from 0 on",
            remedy="Correct the file",
        )
    return [str(name) for name in names]


def _lines(file: Path) -> list[tuple[int, str]]:
    """The lines that say something, and their numbers."""
    with reading(file):
        text = file.read_text(encoding="utf-8-sig", errors="replace")
    return [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]


def _box(line: str, file: Path, number: int, extent: tuple[int, int], names: Sequence[str] | None) -> Box:
    parts = line.split()
    try:
        label, values = int(parts[0]), [float(part) for part in parts[1:]]
    except ValueError:
        raise _refusal(file, number, got=f"'{line.strip()}'") from None
    if not all(map(math.isfinite, values)) or (len(values) != 4 and (len(values) < 6 or len(values) % 2)):
        raise _refusal(file, number, got=f"'{line.strip()}'")
    if label < 0 or (names is not None and label >= len(names)):
        known = "they begin at 0" if names is None else f"0 to {len(names) - 1} are named"
        raise _refusal(file, number, got=f"the class {label}, where {known}")
    if len(values) == 4:
        x, y, wide, high = values
        sides = (x - wide / 2, y - high / 2, x + wide / 2, y + high / 2)
    else:
        sides = (min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2]))
    height, width = extent
    x1, y1, x2, y2 = (round(side * scale, 4) for side, scale in zip(sides, (width, height) * 2, strict=True))
    return Box(str(label) if names is None else names[label], x1, y1, x2, y2)


def _refusal(file: Path, line: int, *, got: str) -> DataError:
    return DataError(
        f"file {file}, line {line}",
        got=got,
        expected="a class number and x, y, width, height in fractions of the picture",
        remedy="Correct the line, or export the labels again",
    )
