"""COCO's JSON: one document with ``images``, ``annotations`` and ``categories``; boxes are x, y, width, height.

The document is held in memory whole. An image without annotations is an empty picture: that is how COCO writes it.
Where the pictures lie is found out: beside the file, in ``images``, or in a folder that the file's name ends with, such
as ``train2017`` for ``instances_train2017.json``, there or one folder above.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tonggan.data.annotations import Remarks, annotated_source, is_yes, pictures_in, row_of, subfolder
from tonggan.data.json_lines import read_json_lines
from tonggan.data.records import Record
from tonggan.data.source import TableSource, reading
from tonggan.errors import DataError
from tonggan.files import path_here
from tonggan.modalities.boxes import Box, write_objects
from tonggan.progress import Progress

# The first key of such a document; one of JSON Lines rarely begins so.
_BEGINS = re.compile(rb'\s*\{\s*"(info|licenses|images|annotations|categories|type)"\s*:\s*[\[{"]')
_HEAD_BYTES = 4096
_LOOKED_FOR = 20
_KEYS = ("images", "annotations", "categories")


def read_json(path: Path, encoding: str | None = None) -> TableSource:
    """The table in a ``.json`` file: COCO's annotations, or JSON Lines.

    Raises:
        DataError: it is neither.
    """
    source = None if encoding else read_coco(path)
    return source or read_json_lines(path, encoding)


def read_coco_folder(folder: Path, progress: Progress) -> TableSource | None:
    """The table of a folder with COCO's annotations in it or in its ``annotations``; None where there are none.

    Raises:
        DataError: there are several files of them, or as for ``read_coco``.
    """
    del progress
    places = [folder, subfolder(folder, ["annotations"])]
    with reading(folder):
        files = [path for place in places if place for path in sorted(place.glob("*.json")) if _may_be_coco(path)]
    if len(files) > 1:
        raise DataError(
            f"folder {folder}",
            got=f"{len(files)} files of annotations, e.g. {files[0].name} and {files[-1].name}",
            expected="one, or the file itself",
            remedy=f"Pass {files[0]}, and each other part as its own table",
        )
    return read_coco(files[0]) if files else None


def read_coco(path: Path) -> TableSource | None:
    """The table of COCO's annotations, with ``image`` and ``objects``; None where the file is something else.

    Raises:
        DataError: the document is damaged, lacks what an object needs, or none of its pictures is found.
    """
    document = _load(path) if _may_be_coco(path) else None
    if document is None:
        return None
    images = _by_id(document["images"], "images", path)
    categories = _by_id(document["categories"], "categories", path)
    names = {number: str(_value(image, "file_name", "images", path)) for number, image in images.items()}
    base = _pictures_folder(path, list(names.values()))
    names = {number: path_here(name, base) for number, name in names.items()}

    def records(remarks: Remarks) -> Iterator[Record]:
        boxes: dict[Any, list[Box]] = {number: [] for number in images}
        for place, item in enumerate(document["annotations"]):
            image = _value(item, "image_id", "annotations", path, place)
            if image not in boxes:
                remarks.add("no row", f"{item.get('id', place)} of image {image}")
            else:
                boxes[image].append(_box(item, place, categories, path))
        if document["annotations"] and not any(boxes.values()):
            named = next(iter(document["annotations"])).get("image_id")
            got = f"no annotation that belongs to one of the images; the first names {named!r}"
            raise _refusal(f"file {path}", got=got)
        for number, name in names.items():
            if not (base / name).is_file():
                remarks.add("no picture", name)
            yield row_of(name, "objects", write_objects(boxes.pop(number)), place=name)
        known = {Path(name) for name in names.values()}
        for folder in {name.parent for name in known}:
            for picture in pictures_in(base / folder) if (base / folder).is_dir() else ():
                if folder / picture not in known:
                    remarks.add("no annotation", folder / picture)

    return annotated_source(path, records, base=base, column="objects", kind="coco")


def _may_be_coco(path: Path) -> bool:
    with reading(path), path.open("rb") as file:
        return bool(_BEGINS.match(file.read(_HEAD_BYTES).removeprefix(b"\xef\xbb\xbf")))


def _load(path: Path) -> Mapping[str, Any] | None:
    with reading(path):
        content = path.read_bytes()
    try:
        document = json.loads(content)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":  # several documents: JSON Lines
            return None
        raise _refusal(f"file {path}, line {error.lineno}", got=error.msg) from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"file {path}", got=str(error), expected="text in UTF-8", remedy="Save the file as UTF-8"
        ) from error
    except (ValueError, RecursionError) as error:
        raise _refusal(f"file {path}", got=str(error)) from error
    if not isinstance(document, dict) or not all(isinstance(document.get(key), list) for key in _KEYS[:2]):
        return None
    if not isinstance(document.get("categories"), list):
        raise _refusal(f"file {path}", got="no list 'categories'")
    return document


def _by_id(items: list[Any], what: str, path: Path) -> dict[Any, Mapping[str, Any]]:
    found: dict[Any, Mapping[str, Any]] = {}
    for place, item in enumerate(items):
        number = _value(item, "id", what, path, place)
        if number in found:
            raise _refusal(f"file {path}, {what}[{place}]", got=f"the id {number} again")
        found[number] = item
    return found


def _value(item: Any, key: str, what: str, path: Path, place: int | None = None) -> Any:
    value = item.get(key) if isinstance(item, Mapping) else None
    if not isinstance(value, int | str):
        shown = "" if place is None else f"[{place}]"
        raise _refusal(f"file {path}, {what}{shown}", got=f"no '{key}' in {str(item)[:80]}")
    return value


def _box(item: Mapping[str, Any], place: int, categories: Mapping[Any, Mapping[str, Any]], path: Path) -> Box:
    who = f"file {path}, annotations[{place}]"
    number = _value(item, "category_id", "annotations", path, place)
    if number not in categories:
        raise _refusal(who, got=f"the category {number}, which 'categories' does not have")
    sides = item.get("bbox")
    if not isinstance(sides, list) or len(sides) != 4 or not all(isinstance(side, int | float) for side in sides):
        raise _refusal(who, got=f"the bbox {sides!r}")
    x, y, width, height = map(float, sides)
    label = str(categories[number].get("name", number))
    return Box(label, x, y, x + width, y + height, is_yes(item.get("iscrowd")))


def _pictures_folder(path: Path, names: list[str]) -> Path:
    """The folder that most of the first pictures are in."""
    part = path.stem.rpartition("_")[2]
    around = [path.parent, path.parent.parent]
    folders = [place / inner for place in around for inner in ("", "images", part, f"images/{part}", path.stem)]
    first = names[:_LOOKED_FOR]
    found = {folder: sum((folder / path_here(name, folder)).is_file() for name in first) for folder in folders}
    best = max(folders, key=lambda folder: found[folder])
    if first and not found[best]:
        shown = ", ".join(str(folder) for folder in folders if folder.is_dir())
        raise DataError(
            f"file {path}",
            got=f"no picture such as {first[0]} in {shown}",
            expected="the pictures beside the file, in 'images' there, or one folder above",
            remedy="Put the file, or a link to it, into the folder of the pictures",
        )
    return best


def _refusal(who: str, *, got: str) -> DataError:
    return DataError(
        who,
        got=got,
        expected="COCO's JSON: images and categories with an id, annotations with image_id, category_id and bbox",
        remedy="Export the annotations again",
    )
