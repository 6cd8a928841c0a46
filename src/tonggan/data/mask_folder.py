"""Folders of pictures with masks: one mask for each picture in a folder beside them, or one for each of its objects.

``images/a.jpg`` with ``masks/a.png`` (or in ``labels`` or ``annotations``) becomes the columns ``image`` and ``mask``;
``ID/images/a.png`` with any number of ``ID/masks/*.png``, as in the 2018 Data Science Bowl, becomes ``image`` and
``masks``, a list of paths as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from tonggan.data.annotations import Remarks, annotated_source, pictures_in, row_of, subfolder
from tonggan.data.records import Record
from tonggan.data.source import TableSource, reading
from tonggan.progress import Progress

_IMAGES, _MASKS = ("images", "jpegimages"), ("masks", "segmentationclass", "labels", "annotations")


def read_mask_folder(folder: Path, progress: Progress) -> TableSource | None:
    """The table of a folder of masks; None where it is none."""
    pictures, masks = subfolder(folder, _IMAGES), subfolder(folder, _MASKS)
    if pictures is not None and masks is not None and pictures_in(masks, deep=True):
        return _read_pairs(folder, pictures, masks, progress)
    with reading(folder):
        items = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if items and all((items[0] / name).is_dir() for name in ("images", "masks")):
        return _read_objects(folder, items, progress)
    return None


def _read_pairs(folder: Path, pictures: Path, masks: Path, progress: Progress) -> TableSource:
    """One mask for each picture, of the same name but for the suffix, at any depth."""

    def records(remarks: Remarks) -> Iterator[Record]:
        left = {path.with_suffix(""): path for path in pictures_in(masks, deep=True)}
        paths = pictures_in(pictures, deep=True)
        for path in progress.track(paths, label=f"Reading {folder.name}", total=len(paths)):
            mask = left.pop(path.with_suffix(""), None)
            if mask is None:
                remarks.add("no annotation", path)
                continue
            image, cell = (
                (place / each).relative_to(folder).as_posix() for place, each in ((pictures, path), (masks, mask))
            )
            yield row_of(image, "mask", cell, place=image)
        for path in left.values():
            remarks.add("no row", path)

    return annotated_source(folder, records, base=folder, column="mask", kind="masks")


def _read_objects(folder: Path, items: list[Path], progress: Progress) -> TableSource:
    """A folder for each picture, with a mask for each of its objects; an empty folder of masks is an empty picture."""

    def records(remarks: Remarks) -> Iterator[Record]:
        for item in progress.track(items, label=f"Reading {folder.name}", total=len(items)):
            pictures = pictures_in(item / "images") if (item / "images").is_dir() else []
            if not pictures:
                remarks.add("no row", item.name)
            elif not (item / "masks").is_dir():
                remarks.add("no annotation", item.name)
            else:
                masks = [f"{item.name}/masks/{path.as_posix()}" for path in pictures_in(item / "masks")]
                image = f"{item.name}/images/{pictures[0].as_posix()}"
                yield row_of(image, "masks", json.dumps(masks, ensure_ascii=False), place=item.name)

    return annotated_source(folder, records, base=folder, column="masks", kind="object_masks")
