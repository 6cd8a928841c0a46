"""Files without a table: in one folder for each class, as ImageFolder users lay out their data, beside masks, or alone.

Pictures, sounds and clips stay where they are and are named by path; text files are short, so their content is stored.
``images/a.jpg`` with ``masks/a.png`` or ``masks/a_mask.png`` (or in ``labels`` or ``annotations``) becomes the columns
``image`` and ``mask``; ``ID/images/a.png`` with any number of ``ID/masks/*.png``, as in the 2018 Data Science Bowl,
becomes ``image`` and ``masks``, a list of paths as JSON.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Literal

import pyarrow as pa

from tonggan.data.annotations import Remarks, annotated_source, pictures_in, row_of, subfolder
from tonggan.data.media_types import kind_of_path
from tonggan.data.records import Record, batches_of
from tonggan.data.source import TableSource, fingerprint_of, reading
from tonggan.errors import DataError
from tonggan.progress import Progress

_FileKind = Literal["image", "audio", "video", "text"]
_TEXT_SUFFIXES = (".txt", ".md")
_IMAGES, _MASKS = ("images", "jpegimages"), ("masks", "segmentationclass", "labels", "annotations")
_LOOKED_FOR, _MOST_TRIED = 20, 8  # pictures by which the names of masks are understood
_SPLIT_NAMES = ("train", "training", "valid", "validation", "val", "dev", "test")


def read_class_folder(folder: Path, *, progress: Progress) -> TableSource:
    """The table of a class folder: a column called after what its files are, and ``label``, the class folder's name.

    Files lie in the class folders at any depth. Where kinds are mixed, the most frequent one is read, and what is
    left out is told.

    Raises:
        DataError: there are no class folders, nothing readable in them, or they are the parts of a split.
    """
    counts: Counter[tuple[str, _FileKind | None]] = Counter(
        (label, _kind(path)) for label, path in _files(folder, progress)
    )
    kinds: Counter[_FileKind] = Counter()
    for (_, found), count in counts.items():
        if found is not None:
            kinds[found] += count
    labels = {label for label, _ in counts}
    _check(folder, labels, has_media=bool(kinds))
    kind, num_files = kinds.most_common(1)[0]
    if counts.total() > num_files:
        progress.say(f"{folder}: {num_files} {kind} files are read, {counts.total() - num_files} others left out")
    schema = pa.schema([(kind, pa.string()), ("label", pa.string())])

    def records() -> Iterator[Record]:
        return _records(folder, kind, progress)

    identity = (f"{record.values}\n".encode(errors="surrogateescape") for record in records())
    return TableSource(
        name=str(folder),
        base=folder,
        fingerprint=fingerprint_of(identity, kind="class_folder"),
        read=lambda: (schema, batches_of(records(), schema, who=f"folder {folder}")),
    )


def read_loose_files(files: Sequence[Path], *, name: str) -> TableSource | None:
    """The table of pictures, sounds or clips that nothing is told of, with a column of their kind; else None.

    Args:
        files: of one kind, to be read in this order; None where one is of another kind.
        name: what the user called them.
    """
    kinds = {kind_of_path(path.name) for path in files}
    kind = next(iter(kinds), None)
    if len(kinds) != 1 or kind is None:
        return None
    base = Path(os.path.commonpath([path.absolute().parent for path in files]))
    paths = [path.absolute().relative_to(base).as_posix() for path in files]
    schema = pa.schema([(kind, pa.string())])
    records = [Record({kind: path}, place=path, num_bytes=len(path)) for path in paths]
    return TableSource(
        name=name,
        base=base,
        fingerprint=fingerprint_of((f"{path}\n".encode(errors="surrogateescape") for path in paths), kind=kind),
        read=lambda: (schema, batches_of(iter(records), schema, who=name)),
    )


def loose_files(folder: Path) -> list[Path]:
    """The files of a folder in a fixed order; none where it has folders. Hidden ones do not count."""
    with reading(folder):
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    return [] if any(entry.is_dir() for entry in entries) else entries


def _check(folder: Path, labels: set[str], *, has_media: bool) -> None:
    splits = [name for name in _SPLIT_NAMES if name in labels]
    if len(splits) > 1 and len(splits) == len(labels):
        raise DataError(
            f"folder {folder}",
            got=f"the parts of a split: {', '.join(splits)}",
            expected="one folder for each class",
            remedy=f"Pass {folder / splits[0]}, and each other part as its own table",
        )
    if not has_media:
        raise DataError(
            f"folder {folder}",
            got="folders without pictures, sounds, clips or texts" if labels else _what_lies_in(folder),
            expected="pictures, sounds or clips, of one of these kinds alone or with a folder for each class, e.g. "
            "cat/1.jpg and dog/2.jpg; or shards named *.tar or *.parquet",
            remedy="Pass a table file, or sort the files into folders",
        )


def _what_lies_in(folder: Path) -> str:
    """The files in a folder without folders, by their endings."""
    endings = Counter(path.suffix.lower() or "no ending" for path in loose_files(folder))
    shown = ", ".join(f"{count:,} {ending}" for ending, count in endings.most_common(5))
    return f"files of other or of mixed kinds: {shown}" if shown else "no files"


def _files(folder: Path, progress: Progress) -> Iterator[tuple[str, str]]:
    """Label and path within ``folder`` of each file, in a fixed order; hidden files are passed over."""
    with reading(folder):
        labels = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    for label in progress.track(labels, label=f"Listing {folder.name}", total=len(labels)):
        for place, folders, names in os.walk(folder / label, followlinks=True):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            relative = Path(place).relative_to(folder)
            for name in sorted(names):
                if not name.startswith("."):
                    yield label, str(relative / name)


def _kind(path: str) -> _FileKind | None:
    if path.lower().endswith(_TEXT_SUFFIXES):
        return "text"
    return kind_of_path(path)


def _records(folder: Path, kind: _FileKind, progress: Progress) -> Iterator[Record]:
    for label, path in _files(folder, progress):
        if _kind(path) == kind:
            value = _text(folder / path) if kind == "text" else path
            yield Record({kind: value, "label": label}, place=path, num_bytes=len(value) + len(label))


def _text(path: Path) -> str:
    try:
        with reading(path):
            return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"file {path}", got=str(error), expected="text in UTF-8", remedy="Save the file as UTF-8"
        ) from error


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
        before, after = _around([path.with_suffix("") for path in paths], left)
        if paths and not any(path.with_name(f"{before}{path.stem}{after}") in left for path in paths):
            raise DataError(
                f"folder {folder}",
                got=f"no mask that is named as its picture, e.g. {paths[0].name} and {next(iter(left.values())).name}",
                expected="one mask for each picture, of its name with or without the same letters around it",
                remedy="Rename the masks, or write a table with a path of a picture and of its mask in each row",
            )
        for path in progress.track(paths, label=f"Reading {folder.name}", total=len(paths)):
            mask = left.pop(path.with_name(f"{before}{path.stem}{after}"), None)
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


def _around(pictures: Sequence[Path], masks: Collection[Path]) -> tuple[str, str]:
    """What the names of most masks have before and after those of their pictures, as in ``a_mask.png`` of ``a.jpg``."""
    found: Counter[tuple[str, str]] = Counter()
    for picture in pictures[:_LOOKED_FOR]:
        for mask in masks:
            before, shared, after = mask.name.partition(picture.name)
            if shared and mask.parent == picture.parent:
                found[before, after] += 1
    both = [("", ""), *(each for each, _ in found.most_common(_MOST_TRIED))]
    return max(
        both, key=lambda each: sum(path.with_name(f"{each[0]}{path.name}{each[1]}") in masks for path in pictures)
    )


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
