"""Answers drawn into their pictures: boxes with their classes, and regions in colors with their borders."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Distinct to people who do not see all colors as well (Okabe & Ito 2008).
COLORS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167))
_LEAST_SIDE = 256  # of what is drawn into; a smaller picture is enlarged
_OPACITY = 0.45


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
    width = max(1, round(max(image.shape[:2]) / 300))
    for (x1, y1, x2, y2), name, color in zip((boxes * factor).tolist(), names, colors, strict=True):
        ink = COLORS[color % len(COLORS)]
        draw.rectangle([x1, y1, max(x1, x2), max(y1, y2)], outline=ink, width=width)
        if name:
            left, top, right, bottom = draw.textbbox((x1, y1), name, anchor="lb")
            moved = max(0, -top)
            draw.rectangle([left, top + moved, right + 1, bottom + moved], fill=ink)
            draw.text((x1, y1 + moved), name, fill=(0, 0, 0), anchor="lb")
    return np.asarray(canvas)


def draw_regions(picture: NDArray[np.uint8], regions: NDArray[np.integer], *, background: int) -> NDArray[np.uint8]:
    """``picture`` ``[H, W, 3]``, enlarged where it is small, under the colors of its ``regions`` ``[H, W]``.

    The class number ``background`` has no color; each class has a border.
    """
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
    return drawn.round().astype(np.uint8)


def _enlarged(picture: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int]:
    factor = max(1, -(-_LEAST_SIDE // max(picture.shape[:2])))
    return picture.repeat(factor, axis=0).repeat(factor, axis=1), factor
