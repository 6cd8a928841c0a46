"""Pictures of more than 8 bits: their values as they are, and which of them is white.

A format of 16 bits says what its greatest value is, but 12-bit sensors use a sixteenth of it; 32-bit integers and
floats say nothing. So what is found decides, for a whole column where there is one, so that a dark picture stays dark.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tonggan.errors import UnreadableError

if TYPE_CHECKING:
    import PIL.Image

_PNG_BITS = 24  # place of the bit depth in a PNG
_TIFF_BITS, _TIFF_PHOTOMETRIC = 258, 262


def is_deep(header: PIL.Image.Image, raw: bytes) -> bool:
    """Whether a picture has more than 8 bits for each value. One with an alpha channel is read as one of 8."""
    if header.mode in ("F", "I") or header.mode.startswith("I;16"):
        return True
    if header.format == "PNG":
        return header.mode == "RGB" and raw[_PNG_BITS] == 16
    return header.mode == "RGB" and max(_tags(header).get(_TIFF_BITS, (8,))) > 8


def deep_values(header: PIL.Image.Image, raw: bytes) -> NDArray[np.float64]:
    """``[H, W]``, or of colors ``[H, W, 3]``: the values of a picture that ``is_deep``, upright, 0 black.

    Raises:
        UnreadableError: they cannot be decoded, are not finite, or below 0.
    """
    import cv2
    import PIL.ImageOps

    if header.mode == "RGB":
        colors = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR)
        if colors is None:
            raise _unusable("16 bits for each color that cannot be decoded")
        return colors[:, :, ::-1].astype(np.float64)
    values = np.asarray(PIL.ImageOps.exif_transpose(header), dtype=np.float64)
    if not np.isfinite(values).all():
        raise _unusable("values that are NaN or infinite")
    if values.min() < 0:
        raise _unusable(f"values below 0 ({values.min():g} to {values.max():g}): shift them, so that 0 is black")
    return values


def to_bytes(values: NDArray[np.float64], header: PIL.Image.Image, *, white: float | None) -> NDArray[np.uint8]:
    """uint8 ``[H, W, 3]`` of ``deep_values``, 255 where they are ``white``.

    Raises:
        UnreadableError: a value is above ``white``.
    """
    greatest = float(values.max())
    if white is None:
        # Pillow brings a PGM to 16 bits by the greatest value that it states.
        is_16_bits = header.mode not in ("I", "F") or header.format == "PPM"
        white = 65_535.0 if is_16_bits else white_of(greatest, bits=(8, 16, 24, 31))
    if greatest > white:
        raise _unusable(f"values up to {greatest:g}, above {white:g} as white: set columns.NAME.white={greatest:g}")
    scaled = np.rint(values * (255 / white)).astype(np.uint8)
    if header.mode != "RGB" and _tags(header).get(_TIFF_PHOTOMETRIC) == 0:  # which Pillow turns around up to 8 bits
        scaled = 255 - scaled
    return scaled if scaled.ndim == 3 else np.repeat(scaled[:, :, None], 3, axis=2)


def white_of(greatest: float, *, bits: tuple[int, ...] = (8, 10, 12, 14, 16, 24, 31)) -> float:
    """The white of pictures with values up to ``greatest``: 1, or the greatest value of so many bits."""
    if greatest <= 1:
        return 1.0
    return next((float(2**each - 1) for each in bits if greatest <= 2**each - 1), greatest)


def _tags(header: PIL.Image.Image) -> dict[int, Any]:
    return dict(getattr(header, "tag_v2", {})) if header.format == "TIFF" else {}


def _unusable(got: str) -> UnreadableError:
    return UnreadableError("picture", got=got, expected="values from 0 to white", remedy="Convert it to 8 bits")
