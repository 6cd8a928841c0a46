"""Masks: of which class each pixel of a picture is. What a file says, and many of them as Arrays.

A cell is the path of one mask, or several as a list (JSON): one mask for each object, whose pixels are not 0 there. A
mask is as large as its upright picture and is read by its values: the numbers of a grey or a palette picture, or the
colors of a color picture. Which values there are, and so the classes, is learned from the training part or declared.
Unless 0 and 255 are the only ones, 255 is no class: nothing is known of such a pixel (Pascal VOC's borders).
"""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from tonggan.cells import is_missing
from tonggan.errors import DataError, UnreadableError
from tonggan.layers.letterbox import Letterbox, Resize
from tonggan.modalities.base import ColumnConfig, Modality, mask_of
from tonggan.modalities.image import PILLOW_MAX_PIXELS
from tonggan.modalities.movement import Movement
from tonggan.tokens import Arrays
from tonggan.wording import Words

UNLABELED = 255
"""The class number of a pixel of which nothing is known."""

FOREGROUND = ("background", "object")
"""The classes where a mask says no more than that there is something."""

_MAX_CLASSES = 255
_COLORED = 1 << 24  # above all colors
_GREY = 0x010101  # times a number, its grey as a color
_FORMATS = ("PNG", "BMP", "TIFF", "GIF", "PPM")
_NUMBERED = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L")
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, OverflowError, struct.error, zlib.error)


class RegionsConfig(ColumnConfig):
    """A column of masks: paths, or bytes embedded in the table, that say of which class each pixel of a picture is."""

    words: ClassVar[Words] = Words("masks", "掩码")
    kind: Literal["regions"] = "regions"
    classes: dict[str, str | None] | None = None
    """Class name of each mask value, a number or a color such as '#ff0000', starting with class 0; null marks pixels
    whose class is not known. By default, every value of the training part is a class named after it."""

    def task(self) -> Mapping[str, Any]:
        return {"kind": "segment"}


@dataclass(frozen=True)
class RawMask:
    """The values of a mask, int32 ``[H, W]``: numbers, or colors as 0xRRGGBB."""

    values: NDArray[np.int32]
    is_color: bool


@dataclass(frozen=True)
class RegionClasses:
    """Which value of a mask is which class.

    Attributes:
        labels: names of the classes.
        places: the class number of each value, or ``UNLABELED``.
        is_color: whether values are colors.
    """

    labels: Sequence[str]
    places: dict[int, int]
    is_color: bool

    @property
    def stored_values(self) -> list[int]:
        """The values as ``stored`` has them: of colored masks also the greys of one without a color."""
        if not self.is_color:
            return [*self.places, UNLABELED]
        return [value | _COLORED for value in self.places] + [value % 256 for value in self.places]


def read_mask_paths(cell: Any) -> list[str] | None:
    """The paths in one cell, one or a list of them; None where the cell says nothing. An empty list is no object.

    Raises:
        DataError: it is neither.
    """
    if isinstance(cell, str):
        if not cell.strip():
            return None
        if not cell.lstrip().startswith("["):
            return [cell.strip()]
        try:
            cell = json.loads(cell)
        except ValueError as error:
            raise _wrong_cell(f"'{cell[:60]}', which is no JSON ({error})") from error
    if is_missing(cell):
        return None
    if not isinstance(cell, list | tuple) or not all(isinstance(path, str) and path.strip() for path in cell):
        raise _wrong_cell(f"a {type(cell).__name__} that is no list of paths")
    return list(cell)


def read_mask(raw: bytes) -> RawMask:
    """The values of a mask's file.

    Raises:
        UnreadableError: damaged, of a format that changes values (JPEG), or without numbers or colors.
    """
    import PIL.Image

    try:
        picture = PIL.Image.open(io.BytesIO(raw), formats=(*_FORMATS, "JPEG"))
        if picture.format == "JPEG":
            raise _unreadable("a JPEG, whose compression changes the values", remedy="Write masks as PNG")
        if picture.width * picture.height > PILLOW_MAX_PIXELS:
            raise _unreadable(f"{picture.width:,} x {picture.height:,} pixels", remedy="Scale it and its picture down")
        if picture.mode in _NUMBERED:
            return RawMask(np.asarray(picture).astype(np.int32), is_color=False)
        if picture.mode in ("LA", "La"):
            return RawMask(np.asarray(picture.convert("LA"))[:, :, 0].astype(np.int32), is_color=False)
        if picture.mode in ("RGB", "RGBA"):
            red, green, blue = np.asarray(picture.convert("RGB")).astype(np.int32).transpose(2, 0, 1)
            is_grey = bool((red == green).all() and (green == blue).all())
            return RawMask(red if is_grey else red << 16 | green << 8 | blue, is_color=not is_grey)
    except (PIL.UnidentifiedImageError, PIL.Image.DecompressionBombError, *_DAMAGED) as error:
        if isinstance(error, UnreadableError):
            raise
        raise _unreadable(f"a file that cannot be read ({error})", remedy="Write the mask again") from error
    raise _unreadable(f"a picture of mode {picture.mode}", remedy="Write it with numbers (L or P) or colors (RGB)")


def stored(mask: RawMask) -> NDArray[np.int32]:
    """[H, W]: the values of a mask in one array, from which ``raw_of`` makes it again."""
    return mask.values | _COLORED if mask.is_color else mask.values


def stored_name(value: int) -> str:
    """How one of the ``stored`` values is written in ``RegionsConfig.classes``."""
    return _named(value % _COLORED, is_color=value >= _COLORED)


def raw_of(values: NDArray[np.int32]) -> RawMask:
    """The mask of ``stored`` values; -1 stays where nothing is known."""
    is_color = bool((values >= _COLORED).any())
    return RawMask(np.where(values < 0, values, values & (_COLORED - 1)), is_color)


def learn_classes(masks: Iterable[RawMask], *, declared: dict[str, str | None] | None = None) -> RegionClasses:
    """The classes of a training part's masks, or those that are declared.

    Raises:
        DataError: there are fewer than two values or too many.
    """
    if declared is not None:
        return _declared_classes(declared)
    numbers: set[int] = set()
    colors: set[int] = set()
    for mask in masks:
        (colors if mask.is_color else numbers).update(np.unique(mask.values).tolist())
        if max(len(numbers), len(colors)) > _MAX_CLASSES + 1:
            raise _too_many(is_color=mask.is_color)
    is_color = bool(colors)
    # Of colored masks, those without a colored region are grey alone.
    found = colors | {value * _GREY for value in numbers} if is_color else numbers
    for highest in (255, 1):
        if not is_color and found == {0, highest}:
            return RegionClasses(FOREGROUND, {0: 0, highest: 1}, is_color=False)
    values = sorted(value for value in found if is_color or value != UNLABELED)
    if len(values) > _MAX_CLASSES:
        raise _too_many(is_color=is_color)
    if len(values) < 2:
        raise DataError(
            "masks",
            got=f"the value {_named(values[0], is_color=is_color)} alone" if values else "no labeled pixel",
            expected="two classes at least",
            remedy="Check that this is the column with the masks",
        )
    places = {value: number for number, value in enumerate(values)}
    unknown = {} if is_color else {UNLABELED: UNLABELED}
    return RegionClasses([_named(value, is_color=is_color) for value in values], unknown | places, is_color)


def class_map(mask: RawMask, classes: RegionClasses) -> NDArray[np.uint8]:
    """[H, W] of class numbers; ``UNLABELED`` where a value is of no class, which the data doctor names."""
    if mask.is_color and not classes.is_color:
        return np.full(mask.values.shape, UNLABELED, dtype=np.uint8)
    values = mask.values * _GREY if classes.is_color and not mask.is_color else mask.values
    found, inverse = np.unique(values, return_inverse=True)
    numbers = np.array([classes.places.get(value, UNLABELED) for value in found.tolist()], dtype=np.uint8)
    result: NDArray[np.uint8] = numbers[inverse].reshape(values.shape)
    return result


def join_masks(masks: Sequence[RawMask], extent: tuple[int, int]) -> NDArray[np.uint8]:
    """[H, W] of a picture of ``extent``: 1 where one of the objects is, else 0.

    Raises:
        UnreadableError: a mask is of another size.
    """
    joined = np.zeros(extent, dtype=np.uint8)
    for mask in masks:
        check_extent(mask, extent)
        joined[mask.values > 0] = 1
    return joined


def check_extent(mask: RawMask, extent: tuple[int, int]) -> None:
    """Nothing, where a mask is as large as its upright picture, of ``extent`` height and width.

    Raises:
        UnreadableError: it is not.
    """
    height, width = mask.values.shape
    if (height, width) != extent:
        raise _unreadable(
            f"{width} x {height} pixels beside a picture of {extent[1]} x {extent[0]}",
            expected="a mask as large as its picture",
            remedy="Write the mask in the size of the upright picture, or correct which mask the row names",
        )


class Regions(Modality[RegionsConfig]):
    """Masks as uint8 ``[B, size, size]`` of class numbers with a mask ``[B]``, ``UNLABELED`` where nothing is known.

    Args:
        config: of the column.
        picture: the input whose pixels the masks tell of.
        size: height and width of the square that a picture becomes.
        resize: how it becomes it.
        classes: which value is which class; None before the training part was looked at.
    """

    kind: ClassVar[str] = "regions"

    def __init__(
        self, config: RegionsConfig, *, picture: str, size: int, resize: Resize, classes: RegionClasses | None = None
    ) -> None:
        super().__init__(config)
        self.follows = picture
        self.size, self.resize, self.classes = size, resize, classes

    def cache_key(self) -> str:
        """The settings that change what ``decode`` returns, and the version of its method."""
        return f"regions-{self.size}-{self.resize}-1"

    def decode(self, masks: Sequence[bytes], extent: tuple[int, int], *, by_object: bool) -> NDArray[np.int32]:
        """[size, size]: the ``stored`` values of a row where its picture's pixels go, -1 on the borders.

        Args:
            masks: the files of the row.
            extent: height and width of the upright picture.
            by_object: whether each mask is one object of its own.

        Raises:
            UnreadableError: a mask is damaged or of another size.
        """
        raws = [read_mask(mask) for mask in masks]
        if by_object:
            values = join_masks(raws, extent).astype(np.int32)
        else:
            check_extent(raws[0], extent)
            values = stored(raws[0])
        places = Letterbox.of(torch.tensor([values.shape]), size=self.size, resize=self.resize)
        fitted: NDArray[np.int32] = places.mask_to_square(torch.from_numpy(values), outside=-1).numpy()
        return fitted

    def collate(self, items: Sequence[NDArray[np.int32] | None]) -> Arrays:
        assert self.classes is not None, "the masks are used before their classes are known"
        values = np.full((len(items), self.size, self.size), UNLABELED, dtype=np.uint8)
        for row, item in enumerate(items):
            if item is not None:
                values[row] = class_map(raw_of(item), self.classes)
        return Arrays(torch.from_numpy(values), mask_of(items))

    def follow(self, arrays: Arrays, movement: Movement) -> Arrays:
        moved = movement.pictures(arrays.values.unsqueeze(1), nearest=True, fill=UNLABELED)
        return Arrays(moved.squeeze(1), arrays.mask)


def _declared_classes(declared: dict[str, str | None]) -> RegionClasses:
    names = list(dict.fromkeys(name for name in declared.values() if name is not None))
    is_color = any(value.startswith("#") for value in declared)
    try:
        values = {int(value[1:], 16) if value.startswith("#") else int(value): name for value, name in declared.items()}
    except ValueError as error:
        raise DataError(
            "classes of masks",
            got=", ".join(map(repr, declared)),
            expected="numbers such as '1', or colors such as '#ff0000'",
            remedy="Correct the keys of classes",
        ) from error
    if len(names) < 2 or (is_color and not all(value.startswith("#") for value in declared)):
        raise DataError(
            "classes of masks",
            got=", ".join(map(repr, declared)),
            expected="two classes at least, all by number or all by color",
            remedy="Correct classes",
        )
    return RegionClasses(
        names, {value: UNLABELED if name is None else names.index(name) for value, name in values.items()}, is_color
    )


def _named(value: int, *, is_color: bool) -> str:
    return f"#{value:06x}" if is_color else str(value)


def _too_many(*, is_color: bool) -> DataError:
    what = "colors" if is_color else "numbers"
    return DataError(
        "masks",
        got=f"more than {_MAX_CLASSES} different {what}",
        expected=f"at most {_MAX_CLASSES} classes, each of one value",
        remedy="Write them as PNG without smoothing; where each object has its own number, write one number a class",
    )


def _unreadable(got: str, *, expected: str = "a mask as PNG", remedy: str) -> UnreadableError:
    return UnreadableError("mask", got=got, expected=expected, remedy=remedy)


def _wrong_cell(got: str) -> DataError:
    return DataError(
        "cell of masks",
        got=got,
        expected='a path, or a list such as ["1.png", "2.png"]',
        remedy="Correct the cell",
    )
