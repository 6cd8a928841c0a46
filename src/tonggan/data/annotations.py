"""What readers of annotated pictures share: a stream of rows, and what a person should know of files without a partner.

A picture that no file speaks of is not an empty picture: it is left out, and told. A row keeps what its annotation
says, right or wrong; the doctor looks at the boxes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from tonggan.data.findings import Finding, Severity
from tonggan.data.media_types import kind_of_path
from tonggan.data.records import Record, batches_of
from tonggan.data.source import TableSource, fingerprint_of, reading
from tonggan.errors import DataError


class _Said(NamedTuple):
    severity: Severity
    english: str
    chinese: str
    remedy: str
    remedy_zh: str


# By a short name, what a count of files and an example are told in.
_SAID: Mapping[str, _Said] = {
    "no annotation": _Said(
        "warning",
        "{count} pictures have no annotation, e.g. {example}. They are left out: nothing says that they are empty.",
        "{count} 张图片没有标注，例如 {example}。它们不会被读取：没有任何信息表明它们是空图片。",
        "Annotate them, give an empty picture an annotation without objects, or remove them",
        "请补充标注；空图片请给出不含目标的标注；或删除这些图片",
    ),
    "no picture": _Said(
        "warning",
        "{count} annotations have no picture, e.g. {example}. Their rows stay without one.",
        "{count} 个标注没有对应的图片，例如 {example}。这些行没有图片。",
        "Copy the pictures to where the others are, or remove the annotations",
        "请将图片复制到其他图片所在的位置，或删除这些标注",
    ),
    "no row": _Said(
        "warning",
        "{count} annotations belong to no picture, e.g. {example}. They are left out.",
        "{count} 个标注不属于任何图片，例如 {example}。它们不会被读取。",
        "Add the pictures that they name, or remove the annotations",
        "请补上它们所属的图片，或删除这些标注",
    ),
    "empty by absence": _Said(
        "note",
        "{count} pictures have no label file, e.g. {example}. In YOLO's format that is a picture without objects.",
        "{count} 张图片没有标签文件，例如 {example}。按 YOLO 格式，这表示图片中没有目标。",
        "Where one was forgotten, add its label file",
        "如果是遗漏，请补上标签文件",
    ),
    "unreadable": _Said(
        "warning",
        "{count} annotations cannot be read, e.g. {example}. Their rows have no boxes.",
        "{count} 个标注无法读取，例如 {example}。这些行没有边界框。",
        "Correct these files or export them again, or remove them and their pictures",
        "请更正或重新导出这些文件，或将其连同图片一起删除",
    ),
    "no size": _Said(
        "warning",
        "The boxes of {count} pictures are not read, e.g. those of {example}: their sides are fractions of a picture "
        "that cannot be read.",
        "{count} 张图片的框无法读取，例如 {example}：边是图片尺寸的比例，而图片无法读取。",
        "Restore the pictures",
        "请恢复这些图片",
    ),
    "no names": _Said(
        "note",
        "No classes.txt or data.yaml names the classes of {example}; their numbers stand for them.",
        "没有 classes.txt 或 data.yaml 说明 {example} 的类别名称，因此用编号代替。",
        "Add classes.txt with one name on each line",
        "请添加 classes.txt，每行一个名称",
    ),
}


@dataclass
class Remarks:
    """What is noticed while annotations are read: how often, and the first example."""

    column: str
    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, what: str, example: object) -> None:
        """One more of what ``_SAID`` calls ``what``."""
        self.counts[what] = self.counts.get(what, 0) + 1
        self.examples.setdefault(what, str(example))

    def add_unreadable(self, error: DataError) -> None:
        """One more file of many that is damaged; the others are read all the same."""
        self.add("unreadable", f"{error.who.removeprefix('file ')} ({error.got})")

    def findings(self) -> list[Finding]:
        """One for each thing that was noticed."""
        found = []
        for what, count in self.counts.items():
            said, filled = _SAID[what], {"count": f"{count:,}", "example": self.examples[what]}
            texts = (said.english.format(**filled), said.chinese.format(**filled), said.remedy, said.remedy_zh)
            found.append(Finding(said.severity, self.column, None, count, *texts))
        return found


def annotated_source(
    name: Path, records: Callable[[Remarks], Iterator[Record]], *, base: Path, column: str, kind: str
) -> TableSource:
    """The table of ``records``, with the columns ``image``, a path within ``base``, and ``column``, a text.

    Args:
        name: what the user called it.
        records: starts the stream of rows, which tells what it notices.
        base: the folder that paths start at.
        column: the target.
        kind: of the reader, for the fingerprint.
    """
    schema = pa.schema([("image", pa.string()), (column, pa.string())])
    told = Remarks(column)

    def identity() -> Iterator[bytes]:
        remarks = Remarks(column)
        for record in records(remarks):
            yield f"{record.values}\n".encode(errors="surrogateescape")
        yield repr(remarks).encode(errors="surrogateescape")

    return TableSource(
        name=str(name),
        base=base,
        fingerprint=fingerprint_of(identity(), kind=kind),
        read=lambda: (schema, batches_of(records(told), schema, who=str(name))),
        findings=told.findings,
    )


def row_of(image: str, column: str, cell: str | None, *, place: str) -> Record:
    """The row of one picture."""
    return Record({"image": image, column: cell}, place=place, num_bytes=len(image) + len(cell or ""))


def pictures_in(folder: Path, *, deep: bool = False) -> list[Path]:
    """Paths within ``folder`` of its pictures, in a fixed order; hidden ones are passed over."""
    with reading(folder):
        paths: Iterable[Path] = folder.rglob("*") if deep else folder.iterdir()
        found = [path.relative_to(folder) for path in paths if kind_of_path(path.name) == "image"]
    return sorted(path for path in found if not any(part.startswith(".") for part in path.parts))


def subfolder(folder: Path, names: Sequence[str]) -> Path | None:
    """The first folder in ``folder`` that is called one of ``names``, in letters of any case."""
    with reading(folder):
        there = {path.name.lower(): path for path in sorted(folder.iterdir(), reverse=True) if path.is_dir()}
    return next((there[name] for name in names if name in there), None)


def is_yes(value: object) -> bool:
    """Whether an annotation says that an object need not be found; ``Unspecified`` and the like do not say so."""
    return str(value).strip().casefold() in ("1", "true", "yes")
