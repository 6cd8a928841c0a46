"""Answers drawn into their pictures: boxes with their classes, and regions in colors with their borders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

Color = tuple[int, int, int]

# Distinct to people who do not see all colors as well (Okabe & Ito 2008).
COLORS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167))
_LEAST_SIDE = 256  # of what is drawn into; a smaller picture is enlarged
_OPACITY = 0.45
_LEAST_TEXT = 11  # pixels
_NOT_LATIN = "\u0250"
# Fonts with Chinese in them, as systems call them; Pillow's own has Latin letters alone.
FONTS = ("NotoSansCJK-Regular.ttc", "wqy-zenhei.ttc", "wqy-microhei.ttc", "msyh.ttc", "PingFang.ttc", "simhei.ttf")


def draw_boxes(
    picture: NDArray[np.uint8],
    boxes: NDArray[np.floating],
    names: Sequence[str],
    colors: Sequence[int],
) -> NDArray[np.uint8]:
    """``picture`` ``[H, W, 3]``, enlarged where it is small, with a frame and a name for each box.

    Args:
        picture: RGB.
        boxes: ``[K, 4]`` of x1, y1, x2, y2 in its pixels.
        names: K texts above the frames; "" for none.
        colors: K numbers of colors, of which equal ones are equal.
    """
    import PIL.Image
    import PIL.ImageDraw

    image, factor = _enlarged(picture)
    canvas = PIL.Image.fromarray(image)
    draw = PIL.ImageDraw.Draw(canvas)
    longest = max(image.shape[:2])
    width = max(1, round(longest / 300))
    font = _font_of(names, longest)
    for (x1, y1, x2, y2), name, color in zip((boxes * factor).tolist(), names, colors, strict=True):
        ink = COLORS[color % len(COLORS)]
        # A box ends where its last pixel does.
        draw.rectangle([x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)], outline=ink, width=width)
        if name:
            _write(draw, name, (x1, y1), font, ink=ink, width=image.shape[1])
    return np.asarray(canvas)


def _write(
    draw: ImageDraw, name: str, place: tuple[float, float], font: ImageFont | FreeTypeFont, *, ink: Color, width: int
) -> None:
    """``name`` on a ground of ``ink`` with its lower left corner at ``place``, or as near as it can be read."""
    left, top, right, bottom = draw.textbbox(place, name, font=font, anchor="lb")
    across, down = max(-left, min(0, width - right - 2)), max(0, -top)
    draw.rectangle([left + across, top + down, right + across + 1, bottom + down], fill=ink)
    draw.text((place[0] + across, place[1] + down), name, fill=(0, 0, 0), font=font, anchor="lb")


def _font_of(names: Iterable[str], longest: int) -> ImageFont | FreeTypeFont:
    """One for ``names`` in a picture whose longer side is ``longest``."""
    is_latin = all(letter < _NOT_LATIN for name in names for letter in name)
    return _font(is_latin=is_latin, size=max(_LEAST_TEXT, round(longest / 60)))


@lru_cache(maxsize=8)
def _font(*, is_latin: bool, size: int) -> ImageFont | FreeTypeFont:
    """One with Chinese letters too unless all are Latin, if the system has such a one."""
    import PIL.ImageFont

    if not is_latin:
        for name in FONTS:
            try:
                return PIL.ImageFont.truetype(name, size)
            except OSError:
                continue
    return PIL.ImageFont.load_default(size)


def draw_regions(
    picture: NDArray[np.uint8], regions: NDArray[np.integer], *, background: int, names: Sequence[str] = ()
) -> NDArray[np.uint8]:
    """``picture`` ``[H, W, 3]``, enlarged where it is small, under the colors of its ``regions`` ``[H, W]``.

    The class number ``background`` has no color; each class has a border and, where ``names`` are given, its name.
    """
    import PIL.Image
    import PIL.ImageDraw

    image, factor = _enlarged(picture)
    numbers = regions.repeat(factor, axis=0).repeat(factor, axis=1).astype(np.int64)
    palette = np.array(COLORS)[np.arange(max(2, int(numbers.max()) + 1)) % len(COLORS)]
    shown = numbers != background
    mixed = (1 - _OPACITY) * image + _OPACITY * palette[numbers]
    drawn = np.where(shown[..., None], mixed, image)
    border = np.zeros(shown.shape, dtype=bool)
    border[:, 1:] |= numbers[:, 1:] != numbers[:, :-1]
    border[1:] |= numbers[1:] != numbers[:-1]
    drawn[border] = (255, 255, 255)
    canvas = PIL.Image.fromarray(drawn.round().astype(np.uint8))
    draw = PIL.ImageDraw.Draw(canvas)
    font = _font_of(names, max(image.shape[:2]))
    for number in np.unique(numbers[shown]).tolist() if names else ():
        rows, columns = np.nonzero(numbers == number)  # of these the first one is the highest
        ink = COLORS[number % len(COLORS)]
        _write(draw, names[number], (int(columns[0]), int(rows[0])), font, ink=ink, width=image.shape[1])
    return np.asarray(canvas)


def _enlarged(picture: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int]:
    factor = max(1, -(-_LEAST_SIDE // max(picture.shape[:2])))
    return picture.repeat(factor, axis=0).repeat(factor, axis=1), factor
