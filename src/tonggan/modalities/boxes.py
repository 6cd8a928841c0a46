"""Boxes around the objects of a picture: what one cell says of them, and many cells as Arrays.

In its canonical form a cell is a list of ``{"label": "cat", "box": [x1, y1, x2, y2]}``, with ``"ignored": true`` for a
region that is neither right nor wrong to find (COCO's crowds, VOC's difficult objects); coordinates are pixels of the
original upright picture, x to the right and y down. A table holds it as JSON. What other tools write is read as well:

- ``bbox`` instead of ``box`` is COCO's: x, y, width, height;
- ``category``, ``class`` or ``name`` instead of ``label``; ``iscrowd`` instead of ``ignored``;
- one mapping of lists, ``{"bbox": [[…], …], "category": [1, …]}``, as in the ``objects`` column of public sets.

An empty list is a picture without objects; an empty cell says nothing of the picture.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from tonggan.cells import cell_text, is_missing
from tonggan.errors import DataError
from tonggan.layers.letterbox import Letterbox
from tonggan.modalities.base import ColumnConfig, Modality
from tonggan.modalities.movement import Movement
from tonggan.tokens import Arrays
from tonggan.wording import Words

_LABELS = ("label", "category", "class", "name")
_IGNORED = ("ignored", "iscrowd")
_FORM = 'a list such as [{"label": "cat", "box": [x1, y1, x2, y2]}]'


class BoxesConfig(ColumnConfig):
    """A column that says where the objects of a picture are and what each of them is."""

    words: ClassVar[Words] = Words("boxes", "边界框")
    kind: Literal["boxes"] = "boxes"

    def read(self, cell: Any) -> list[Box] | None:
        return read_objects(cell)

    def task(self) -> Mapping[str, Any]:
        return {"kind": "detect"}


class Box(NamedTuple):
    """One object: its class, its sides in pixels, and whether finding it is neither right nor wrong."""

    label: str
    x1: float
    y1: float
    x2: float
    y2: float
    ignored: bool = False

    @property
    def has_area(self) -> bool:
        """False of a point or a line, which a slip of the hand leaves behind; nothing can be learned from it."""
        return self.x1 < self.x2 and self.y1 < self.y2


def read_objects(cell: Any) -> list[Box] | None:
    """The boxes of one cell in any form that this module names; None where the cell says nothing.

    Raises:
        DataError: it is no JSON, has another form, a coordinate that is no finite number, or a box turned inside out.
    """
    if isinstance(cell, str | bytes):
        cell = _parsed(cell)
    if is_missing(cell):
        return None
    if isinstance(cell, Mapping):
        cell = _rows(cell)
    if not isinstance(cell, Sequence | np.ndarray) or isinstance(cell, str):
        raise _refusal(f"a {type(cell).__name__}")
    return [_box(item, number) for number, item in enumerate(cell, start=1)]


def write_objects(boxes: Iterable[Box]) -> str:
    """The canonical JSON of ``boxes``, whatever their sides."""
    return json.dumps(
        [
            {"label": box.label, "box": [_shortest(float(side)) for side in box[1:5]]}
            | ({"ignored": True} if box[5] else {})
            for box in boxes
        ],
        ensure_ascii=False,
    )


def clip_box(box: Box, extent: tuple[int, int]) -> Box | None:
    """``box`` without what lies outside a picture of ``extent``, height and width; None where nothing is left."""
    height, width = extent
    clipped = box._replace(x1=max(box.x1, 0), y1=max(box.y1, 0), x2=min(box.x2, width), y2=min(box.y2, height))
    return clipped if clipped.has_area else None


class Boxes(Modality[BoxesConfig]):
    """Boxes as float32 ``[B, N, 6]`` with a mask ``[B, N]``; N is at least 1.

    A box is x1, y1, x2, y2 in pixels, the number of its class, and 1 where it is ignored.

    Args:
        config: of the column.
        labels: the classes, in the order of their numbers.
        picture: the input that shows the boxes.
        places: where pictures of some extent, int64 ``[B, 2]``, lie in the squares that they become.
    """

    kind: ClassVar[str] = "boxes"

    def __init__(
        self, config: BoxesConfig, *, labels: Sequence[str], picture: str, places: Callable[[Tensor], Letterbox]
    ) -> None:
        super().__init__(config)
        self.numbers = {label: number for number, label in enumerate(labels)}
        self.follows = picture
        self.places = places

    def collate(self, items: Sequence[Sequence[Box] | None]) -> Arrays:
        """The boxes in pixels of the original pictures; None counts as none.

        Raises:
            DataError: a label is none of the classes.
        """
        most = max([1, *(len(boxes) for boxes in items if boxes)])
        values = torch.zeros(len(items), most, 6)
        mask = torch.zeros(len(items), most, dtype=torch.bool)
        for row, boxes in enumerate(items):
            if boxes:
                numbers = [(*box[1:5], self._number(box), box.ignored) for box in boxes]
                values[row, : len(boxes)] = torch.tensor(numbers)
                mask[row, : len(boxes)] = True
        return Arrays(values, mask)

    def _number(self, box: Box) -> int:
        if box.label not in self.numbers:
            raise DataError(
                "box",
                got=f"the label '{box.label}'",
                expected=f"one of {', '.join(self.numbers)}",
                remedy="Correct the label, or train with rows that have it",
            )
        return self.numbers[box.label]

    def fitted(self, arrays: Arrays, extent: Tensor) -> Arrays:
        """The boxes in pixels of the squares, without what lies outside of their pictures.

        There are none in rows whose picture is not there.
        """
        places = self.places(extent)
        boxes = places.to_square(places.clip(arrays.values[..., :4]))
        seen = (boxes[..., 2:] > boxes[..., :2]).all(dim=-1) & (extent > 0).all(dim=1, keepdim=True)
        mask = arrays.mask & seen
        return Arrays(torch.cat([boxes, arrays.values[..., 4:]], dim=-1).masked_fill(~mask.unsqueeze(-1), 0), mask)

    def follow(self, arrays: Arrays, movement: Movement) -> Arrays:
        return Arrays(*movement.boxes(arrays.values, arrays.mask))


def _parsed(cell: str | bytes) -> Any:
    text = cell.decode("utf-8", "replace") if isinstance(cell, bytes) else cell
    if not text.strip():
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        remedy = "Write the cell with json.dumps" if "'" in text else "Correct the cell"
        raise _refusal(f"'{text[:60]}', which is no JSON ({error})", remedy=remedy) from error


def _rows(cell: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of a mapping of lists."""
    columns = {name: cell[name] for name in ("box", "bbox", *_LABELS, *_IGNORED) if not is_missing(cell.get(name))}
    if not columns or not all(isinstance(values, list | tuple | np.ndarray) for values in columns.values()):
        raise _refusal(f"a mapping of {', '.join(map(repr, cell)) or 'nothing'}")
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise _refusal(f"lists of different lengths: {', '.join(f'{n} of {name!r}' for name, n in lengths.items())}")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _box(item: Any, number: int) -> Box:
    if isinstance(item, Box):
        item = {"label": item.label, "box": item[1:5], "ignored": item.ignored}
    if not isinstance(item, Mapping):
        raise _refusal(f"a {type(item).__name__} as box {number}")
    label = next((cell_text(item[name]) for name in _LABELS if not is_missing(item.get(name))), None)
    if label is None:
        raise _refusal(f"box {number} without a label")
    key = "bbox" if is_missing(item.get("box")) else "box"
    sides = item.get(key)
    if not isinstance(sides, list | tuple | np.ndarray) or len(sides) != 4:
        raise _refusal(f"{sides!r} as the sides of box {number}")
    numbers = [_number(side) for side in sides]
    if not all(map(math.isfinite, numbers)):
        raise _refusal(f"{list(sides)!r} as the sides of box {number}", expected="four finite numbers")
    x1, y1, x2, y2 = numbers
    if key == "bbox":
        x2, y2 = x1 + x2, y1 + y2
    if x2 < x1 or y2 < y1:
        raise _refusal(
            f"box {number} ({label}) of x {x1:g} to {x2:g} and y {y1:g} to {y2:g}",
            expected="x1 < x2 and y1 < y2 in 'box' [x1, y1, x2, y2], a width and a height in 'bbox' [x, y, w, h]",
            remedy="Correct the box, or name its sides by the key that says their order",
        )
    return Box(label, x1, y1, x2, y2, any(bool(item.get(name)) for name in _IGNORED))


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float | np.number) and not isinstance(value, bool) else math.nan


def _shortest(number: float) -> int | float:
    return int(number) if number.is_integer() else number


def _refusal(got: str, *, expected: str = _FORM, remedy: str = "Correct the cell") -> DataError:
    return DataError("cell of boxes", got=got, expected=expected, remedy=remedy)
