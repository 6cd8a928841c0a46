"""Boxes and masks of the shapes in easy-VQA's pictures, derived from the pixels: one colored shape on a plain ground.

The ground is the most frequent of the light colors, the shape's color the most frequent of the eight that the set
draws with. A pixel on the edge is a blend of both and belongs to the shape where at least half of it is the shape's
color; the box is the smallest one around these pixels. Which shape it is follows from how much of its box it fills: a
rectangle 0.95 and more, a circle 0.74 to 0.91, a triangle 0.50 to 0.66, as whole pixels of small drawings have it. A
test compares color and shape of all 5,000 pictures with the answers to the questions about them, which are not used
here. The split is the official one.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tonggan.data.public.easy_vqa import read_questions
from tonggan.data.public.writing import write_csv, write_file
from tonggan.modalities.boxes import Box, write_objects
from tonggan.progress import Progress

COLORS = {
    "black": (0, 0, 0),
    "blue": (0, 0, 255),
    "brown": (165, 42, 42),
    "gray": (128, 128, 128),
    "green": (0, 255, 0),
    "red": (255, 0, 0),
    "teal": (0, 128, 128),
    "yellow": (255, 255, 0),
}
COLUMNS = ("image", "objects", "mask", "shape", "color")
_CODE = np.array([65536, 256, 1])  # of a color as one number
_LIGHT = 225  # the least that each part of the ground's color is
_FULL, _ROUND = 0.93, 0.7  # of its box: a rectangle fills more than the first, a circle more than the second


@dataclass(frozen=True)
class Shape:
    """What a picture shows.

    Attributes:
        name: circle, rectangle or triangle.
        color: one of ``COLORS``.
        box: around it, in pixels.
        mask: bool [H, W], its pixels.
    """

    name: str
    color: str
    box: Box
    mask: NDArray[np.bool_]


def prepare(files: Mapping[str, Path], folder: Path, progress: Progress) -> dict[str, Path]:  # noqa: ARG001
    """``train.csv`` and ``test.csv``: image, objects (by shape), mask, shape, color.

    A mask holds 0 for the ground and the number of the color, from 1 on in the order of ``COLORS``.

    Raises:
        MissingExtraError: the package is not installed.
    """
    tables = {split: folder / f"{split}.csv" for split in ("train", "test")}
    if all(path.exists() for path in tables.values()):
        return tables
    for split, rows in read_questions().items():
        images = list(dict.fromkeys(row["image"] for row in rows))
        found = [_row(image, split, folder) for image in progress.track(images, label=f"Drawing masks of {split}")]
        write_csv(tables[split], found, columns=COLUMNS)
    return tables


def find_shape(picture: NDArray[np.uint8]) -> Shape:
    """The shape in a picture [H, W, 3]."""
    codes, counts = np.unique(picture.astype(np.int32) @ _CODE, return_counts=True)
    colors = codes[:, None] // _CODE % 256
    ground = colors[np.where((colors >= _LIGHT).all(axis=1), counts, -1).argmax()].astype(float)
    drawn = {name: int(counts[codes == np.dot(value, _CODE)].sum()) for name, value in COLORS.items()}
    color = max(drawn, key=lambda name: drawn[name])
    # How much of each pixel is the shape's color.
    way = np.array(COLORS[color]) - ground
    mask: NDArray[np.bool_] = (picture - ground) @ way / (way @ way) >= 0.5
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    y1, y2, x1, x2 = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    fills = mask.sum() / ((y2 - y1) * (x2 - x1))
    name = "rectangle" if fills > _FULL else "circle" if fills > _ROUND else "triangle"
    return Shape(name, color, Box(name, x1, y1, x2, y2), mask)


def _row(image: str, split: str, folder: Path) -> dict[str, str]:
    import PIL.Image

    with PIL.Image.open(image) as opened:
        shape = find_shape(np.asarray(opened.convert("RGB")))
    buffer = io.BytesIO()
    number = list(COLORS).index(shape.color) + 1
    PIL.Image.fromarray((shape.mask * number).astype(np.uint8)).save(buffer, "PNG")
    mask = f"masks/{split}/{Path(image).stem}.png"
    write_file(folder / mask, buffer.getvalue())
    return {
        "image": image,
        "objects": write_objects([shape.box]),
        "mask": mask,
        "shape": shape.name,
        "color": shape.color,
    }
