"""Height and width of a picture as it is seen, from the header of its file."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from tonggan.modalities.file_formats import HEIF_BRANDS, can_read_heif, is_heif, open_heif
from tonggan.modalities.image import FORMATS, upright_extent

_FORMATS = (*FORMATS, "AVIF")
_HEAD_BYTES = 8 + len(HEIF_BRANDS[0])
_UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    OverflowError,
    struct.error,
    zlib.error,
)


def read_extent(path: Path) -> tuple[int, int] | None:
    """Height and width of the upright picture at ``path``, no pixel decoded; None where it cannot be read."""
    import PIL.Image

    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
            file.seek(0)
            if is_heif(head):
                header = open_heif(file.read()) if can_read_heif() else None
            else:
                header = PIL.Image.open(file, formats=_FORMATS)
            return None if header is None else upright_extent(header)
    except (PIL.Image.DecompressionBombError, *_UNREADABLE):
        return None
