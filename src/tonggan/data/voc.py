"""Pascal VOC: an XML file for each picture, in ``Annotations`` beside ``JPEGImages``, or next to the pictures.

Coordinates are taken as they stand. An object that is marked difficult is one that need not be found (``ignored``). An
annotation without objects is an empty picture. A document type or an entity in the XML is refused, so that no file can
make another one be read, or grow in memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, TreeBuilder
from xml.parsers import expat

from tonggan.data.annotations import Remarks, annotated_source, is_yes, pictures_in, row_of, subfolder
from tonggan.data.records import Record
from tonggan.data.source import TableSource, reading
from tonggan.errors import DataError
from tonggan.modalities.boxes import Box, write_objects
from tonggan.progress import Progress

_SIDES = ("xmin", "ymin", "xmax", "ymax")
_HEAD_BYTES = 2048


def read_voc(folder: Path, progress: Progress) -> TableSource | None:
    """The table of a folder of VOC annotations, with ``image`` and ``objects``; None where it is none.

    The row of an annotation that is no XML, or lacks a name or a side of a box, has no boxes, and a finding names it.

    Raises:
        DataError: the folder cannot be read.
    """
    annotations, pictures = subfolder(folder, ["annotations"]) or folder, folder
    if annotations != folder:
        pictures = subfolder(folder, ["jpegimages", "images"]) or folder
    with reading(annotations):
        files = sorted(path for path in annotations.glob("*.xml") if not path.name.startswith("."))
    if not any(map(_is_annotation, files)):
        return None

    def records(remarks: Remarks) -> Iterator[Record]:
        named: set[Path] = set()
        paths = pictures_in(pictures)
        by_name = {path.name: path for path in paths}
        by_stem = {path.stem: path for path in reversed(paths)}
        for file in progress.track(files, label=f"Reading {folder.name}", total=len(files)):
            name, cell = "", None
            try:
                root = parse_xml(file)
                name = Path((root.findtext("filename") or "").strip().replace("\\", "/")).name
                cell = write_objects(_boxes(root, file))
            except DataError as error:
                remarks.add_unreadable(error)
            picture = by_stem.get(file.stem) or by_name.get(name)
            if picture is None:
                remarks.add("no picture", file.name)
                picture = Path(name or f"{file.stem}.jpg")
            named.add(picture)
            image = (pictures / picture).relative_to(folder)
            yield row_of(image.as_posix(), "objects", cell, place=str(file.name))
        for path in paths:
            if path not in named:
                remarks.add("no annotation", path.name)

    return annotated_source(folder, records, base=folder, column="objects", kind="voc")


def parse_xml(path: Path) -> Element:
    """The root of an XML file without a document type.

    Raises:
        DataError: the file cannot be read, is no XML, or has a document type, which could hold entities.
    """
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data

    def refuse(*_: object) -> None:
        raise _refusal(path, parser.CurrentLineNumber, got="a document type, which may hold entities")

    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    try:
        with reading(path):
            parser.Parse(path.read_bytes(), True)
        return builder.close()
    except expat.ExpatError as error:
        raise _refusal(path, error.lineno, got=expat.ErrorString(error.code)) from error
    except (ParseError, ValueError, AssertionError, LookupError) as error:
        raise _refusal(path, parser.CurrentLineNumber, got=str(error)) from error


def _is_annotation(file: Path) -> bool:
    with reading(file), file.open("rb") as opened:
        return b"<annotation" in opened.read(_HEAD_BYTES)


def _boxes(root: Element, file: Path) -> Iterator[Box]:
    for number, item in enumerate(root.iter("object"), start=1):
        label = (item.findtext("name") or "").strip()
        if not label:
            raise _incomplete(file, number, got="no name")
        sides = [_number(item.findtext(f"bndbox/{side}")) for side in _SIDES]
        if None in sides:
            got = ", ".join(f"{side} {item.findtext(f'bndbox/{side}')!r}" for side in _SIDES)
            raise _incomplete(file, number, got=got)
        is_difficult = is_yes(item.findtext("difficult"))
        x1, y1, x2, y2 = (side for side in sides if side is not None)
        yield Box(label, x1, y1, x2, y2, is_difficult)


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return None if math.isinf(number) else number


def _incomplete(file: Path, number: int, *, got: str) -> DataError:
    return DataError(
        f"file {file}, object {number}",
        got=got,
        expected="a <name>, and a <bndbox> with the numbers xmin, ymin, xmax, ymax",
        remedy="Correct the object, or remove it from the file",
    )


def _refusal(path: Path, line: int, *, got: str) -> DataError:
    return DataError(
        f"file {path}, line {line}",
        got=got,
        expected="a whole XML file without a document type",
        remedy="Export the annotation again, or remove the file and its picture",
    )
