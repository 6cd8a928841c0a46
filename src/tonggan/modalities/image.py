"""Pictures: encoded bytes to uint8 RGB squares of one size, and batched random variation of them.

It scales and checks, and does not normalize: encoders read uint8 and own their means. No picture is ever made up:
what cannot be decoded whole is an UnreadableError, and the row stays without its picture.
"""

from __future__ import annotations

import base64
import io
import struct
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from tonggan.errors import UnreadableError
from tonggan.layers.letterbox import to_square
from tonggan.modalities.base import (
    Cell,
    Encoded,
    GraphInput,
    MediaConfig,
    MediaModality,
    Range,
    bytes_of,
    mask_of,
)
from tonggan.modalities.deep_picture import deep_values, is_deep, to_bytes, white_of
from tonggan.modalities.file_formats import HEIF_BRANDS, can_read_heif, is_heif, open_heif, unread_picture
from tonggan.modalities.image_augment import ImageAugment, draw_movement, vary_pictures
from tonggan.modalities.movement import Movement
from tonggan.tokens import Arrays
from tonggan.wording import Words

if TYPE_CHECKING:
    import PIL.Image

# Formats that Pillow reads in its own process; EPS, for one, would start another program.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
# Those that Pillow reads where it is new enough.
_NEWER_FORMATS = ("AVIF",)
# Pillow itself refuses pictures above twice its MAX_IMAGE_PIXELS.
PILLOW_MAX_PIXELS = 178_956_970
_ORIENTATION, _SIDEWAYS = 0x0112, (5, 6, 7, 8)  # of EXIF
_PNG_HEADER = struct.Struct(">8s4x4sIIBB")  # signature, and the first chunk to its kind of colors
_HEAD_BYTES = 8 + len(HEIF_BRANDS[0])  # that tell HEIF
# What Pillow's readers raise on damaged bytes, depending on format and place of the damage.
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, OverflowError, struct.error, zlib.error)


class ImageConfig(MediaConfig):
    """A column of pictures: paths, or bytes embedded in the table."""

    words: ClassVar[Words] = Words("image", "图片")
    things: ClassVar[Words] = Words("pictures", "张图片")
    range: ClassVar[Range] = Range(
        "white", Words("Pictures of more than 8 bits", "超过 8 位的图片"), Words("white", "白色"), 65_535, white_of
    )
    kind: Literal["image"] = "image"
    size: int = Field(default=64, ge=8, le=2048)
    """Height and width, in pixels, to which every picture is resized."""
    resize: Literal["squash", "crop", "pad"] = "squash"
    """How a picture becomes square: stretch it, crop its center, or pad it with black."""
    max_pixels: int = Field(default=100_000_000, ge=1, le=PILLOW_MAX_PIXELS)
    """A picture whose header gives more pixels is refused before decoding."""
    white: float | None = Field(default=None, gt=0)
    """The value of white in pictures of more than 8 bits, such as 4095 for a 12-bit sensor. Null chooses it from the
    pictures of the training part; for a single picture, 65535 in 16 bits, and in 32-bit integers and floats the
    smallest of 1, 255, 65535, 2^24 - 1 and 2^31 - 1 that covers it."""
    augment: ImageAugment | None = ImageAugment()
    """Random variation in training; null for none."""

    def build(self) -> Image:
        """The modality."""
        return Image(self)


class Image(MediaModality[ImageConfig]):
    """Pictures as uint8 ``[B, 3, size, size]`` in RGB order with a mask ``[B]``."""

    kind: ClassVar[str] = "image"
    essential: ClassVar[tuple[str, ...]] = ("size", "resize")
    has_extent: ClassVar[bool] = True

    def decode(self, raw: bytes) -> NDArray[np.uint8]:
        """uint8 ``[3, size, size]`` RGB: what ``upright`` reads, brought to one size.

        Raises:
            UnreadableError: as ``upright``.
        """
        picture = self._read(raw, reduce=True)
        return np.ascontiguousarray(_fit(picture, self.config).transpose(2, 0, 1))

    def upright(self, raw: bytes) -> NDArray[np.uint8]:
        """uint8 ``[H, W, 3]`` RGB of a JPEG, PNG, WebP, GIF, BMP, TIFF, PPM, AVIF or HEIC file, turned upright.

        The first frame of an animation, or page of a document, is taken; transparent parts become white; what has more
        than 8 bits is scaled so that ``white`` becomes 255. HEIC needs pillow-heif.

        Raises:
            UnreadableError: empty, of no known format, truncated or damaged, more than ``max_pixels``, or with values
                below 0 or above ``white``.
        """
        return self._read(raw, reduce=False)

    def _read(self, raw: bytes, *, reduce: bool) -> NDArray[np.uint8]:
        """``upright``, at a fraction of the size where that is enough and sooner done."""
        picture: NDArray[np.uint8] | None = None
        if _is_plain_png(raw, max_pixels=self.config.max_pixels):  # needs no header from Pillow
            _check_png(raw)
            picture = _decode_fast(raw, reduction=1)
        if picture is not None:
            return picture
        header = self._open(raw)
        if header.format in ("JPEG", "MPO") and header.mode in ("L", "RGB") and _jpeg_is_whole(raw):
            picture = _decode_fast(raw, reduction=_jpeg_reduction(header.size, self.config) if reduce else 1)
        elif header.format == "PNG":
            _check_png(raw)
        if is_deep(header, raw):
            picture = _decode_deep(header, raw, white=self.config.white)
        elif picture is None:
            picture = _decode_strictly(header)
        return picture

    def _open(self, raw: bytes) -> PIL.Image.Image:
        """Size and format from the header; no pixel is decoded."""
        import PIL.Image

        if not raw:
            raise _unreadable("a file of 0 bytes", remedy="Restore the file, or leave the cell empty")
        too_large = f"at most {self.config.max_pixels:,} pixels"
        smaller = "Scale the picture down, or raise max_pixels of the column if you trust it"
        unread = None if is_heif(raw) and can_read_heif() else unread_picture(raw)
        if unread is not None:
            raise _unreadable(unread, remedy="Convert the picture")
        try:
            header = open_heif(raw) if is_heif(raw) else PIL.Image.open(io.BytesIO(raw), formats=_formats())
        except PIL.Image.DecompressionBombError as error:
            raise _unreadable("a picture that is far too large", expected=too_large, remedy=smaller) from error
        except PIL.UnidentifiedImageError as error:
            remedy = "Convert it to PNG or JPEG, or declare the column as another kind"
            raise _unreadable(f"no known format (it starts with {raw[:8]!r})", remedy=remedy) from error
        except _DAMAGED as error:
            raise _damaged(error) from error
        if header.width * header.height > self.config.max_pixels:
            raise _unreadable(f"{header.width:,} x {header.height:,} pixels", expected=too_large, remedy=smaller)
        return header

    def extent(self, raw: bytes) -> tuple[int, int]:
        """Height and width of a readable picture, turned upright."""
        return upright_extent(self._open(raw))

    def describe(self, source: Encoded) -> dict[str, str | int]:
        """Whether a picture has colors, the pixels of its shorter side, and whether it is the first of several."""
        raw = bytes_of(source)
        try:
            header = self._open(raw)
        except UnreadableError:
            return {}
        is_grey = header.mode in ("1", "L", "LA", "La", "F") or header.mode.startswith("I")
        return {
            "color": "shades of grey" if is_grey else "color",
            "size": min(header.size),
            "number of frames": "several frames" if _has_frames(header) else "one frame",
        }

    def cache_key(self) -> str:
        """The settings that change what ``decode`` returns, and the version of its method."""
        white = "" if self.config.white is None else f"-white{self.config.white:g}"
        # What cannot be read without pillow-heif must be looked at again once it is there.
        heif = "-heif" if can_read_heif() else ""
        return f"image-{self.config.size}-{self.config.resize}-{self.config.max_pixels}{white}{heif}-2"

    def greatest(self, source: Encoded) -> float | None:
        """The greatest value of a picture of more than 8 bits; None of any other, and of what cannot be read."""
        raw = bytes_of(source)
        try:
            header = self._open(raw)
            return float(deep_values(header, raw).max()) if is_deep(header, raw) else None
        except (UnreadableError, *_DAMAGED):
            return None

    def collate(self, items: Sequence[NDArray[np.uint8] | None]) -> Arrays:
        """uint8 ``[B, 3, size, size]``; an absent picture is zeros under a False mask."""
        values = np.zeros((len(items), 3, self.config.size, self.config.size), dtype=np.uint8)
        for row, item in enumerate(items):
            if item is not None:
                values[row] = item
        return Arrays(torch.from_numpy(values), mask_of(items))

    def movement(self, arrays: Arrays, generator: torch.Generator) -> Movement | None:
        """Each picture mirrored, turned, scaled and shifted, or part of a mosaic, as the config allows."""
        settings = self.config.augment
        if settings is None or not (settings.moves or settings.flip or settings.shift):
            return None
        return draw_movement(arrays.mask, self.config.size, settings, generator=generator)

    def vary(self, arrays: Arrays, generator: torch.Generator, *, movement: Movement | None = None) -> Arrays:
        """Each picture moved, relit and cut out at random, as the config allows; without a given movement no mosaic."""
        settings = self.config.augment
        if settings is None:
            return arrays
        if settings.moves and movement is None:
            alone = settings.model_copy(update={"mosaic": 0.0})
            movement = draw_movement(arrays.mask, self.config.size, alone, generator=generator)
        return replace(arrays, values=vary_pictures(arrays.values, settings, generator, movement=movement))

    def show(self, name: str, item: NDArray[np.uint8] | None) -> list[Cell]:
        """The picture as the model gets it."""
        return [Cell(name, "image", None if item is None else image_address(item))]

    def to_graph(self, arrays: Arrays, items: Sequence[Any]) -> GraphInput:
        """Pixels of pictures of any shape, and which are there."""
        del items
        config = self.config
        note = {"values": "uint8 [rows, height, width, 3] RGB, upright, of any one size", "resize": config.resize}
        pixels = arrays.values.permute(0, 2, 3, 1).contiguous()
        return GraphInput({"": pixels, ".present": arrays.present}, {**note, "size": config.size})

    def from_graph(self, values: Tensor, *others: Tensor) -> Arrays:
        (present,) = others
        return Arrays(to_square(values, size=self.config.size, resize=self.config.resize), present)


def _formats() -> list[str]:
    """Of Pillow, all registered: where formats are named, ``open`` registers only the commonest."""
    import PIL.Image

    PIL.Image.init()
    return [*FORMATS, *(name for name in _NEWER_FORMATS if name in PIL.Image.OPEN)]


def upright_extent(header: PIL.Image.Image) -> tuple[int, int]:
    """Height and width of an opened picture once it is turned upright; no pixel is decoded."""
    try:
        is_turned = header.getexif().get(_ORIENTATION) in _SIDEWAYS
    except _DAMAGED:
        is_turned = False
    if is_turned and header.format != "TIFF":  # of which Pillow has turned the size already
        return header.width, header.height
    return header.height, header.width


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
                header = PIL.Image.open(file, formats=_formats())
            return None if header is None else upright_extent(header)
    except (PIL.Image.DecompressionBombError, *_DAMAGED):
        return None


def _has_frames(header: PIL.Image.Image) -> bool:
    """Whether a file is an animation or has several pages; the second picture of a telephone's JPEG is no frame."""
    if header.format == "GIF":
        return bool(getattr(header, "is_animated", False))  # to count them takes long
    try:
        return header.format in ("TIFF", "WEBP", "PNG", "AVIF") and getattr(header, "n_frames", 1) > 1
    except _DAMAGED:
        return False


def _unreadable(got: str, *, expected: str = "a picture", remedy: str) -> UnreadableError:
    return UnreadableError("picture", got=got, expected=expected, remedy=remedy)


def _damaged(error: Exception | str) -> UnreadableError:
    return _unreadable(
        f"damaged or truncated bytes ({error})",
        expected="a complete picture",
        remedy="Copy or download the file again, or leave the cell empty",
    )


def _jpeg_is_whole(raw: bytes) -> bool:
    """True when an end-of-image marker follows the last scan; entropy-coded data cannot hold one by chance.

    OpenCV fills what is missing with grey without a word. False sends the file to Pillow, which is strict.
    """
    return raw.rfind(b"\xff\xd9") > raw.rfind(b"\xff\xda")


def _is_plain_png(raw: bytes, *, max_pixels: int) -> bool:
    """Whether a file says that it is a PNG of 8 bits, grey or RGB, with nothing that OpenCV would not respect."""
    if len(raw) < _PNG_HEADER.size:
        return False
    start, kind, width, height, depth, color = _PNG_HEADER.unpack_from(raw)
    is_plain = start == b"\x89PNG\r\n\x1a\n" and kind == b"IHDR" and depth == 8 and color in (0, 2)
    # OpenCV knows neither transparent colors nor the orientation in an eXIf chunk.
    return is_plain and 0 < width * height <= max_pixels and b"tRNS" not in raw and b"eXIf" not in raw


def _check_png(raw: bytes) -> None:
    """Every chunk is there with a right checksum; OpenCV would return what it could read of a damaged file.

    Raises:
        UnreadableError: truncated or damaged.
    """
    place, kind = 8, b""
    while kind != b"IEND":
        if place + 12 > len(raw):
            raise _damaged("the PNG ends before its IEND chunk")
        length, kind = struct.unpack_from(">I4s", raw, place)
        end = place + 12 + length
        if end > len(raw):
            raise _damaged(f"the PNG ends within a chunk of {length:,} bytes")
        if zlib.crc32(memoryview(raw)[place + 4 : end - 4]) != struct.unpack_from(">I", raw, end - 4)[0]:
            raise _damaged("a PNG chunk fails its checksum")
        place = end


def _jpeg_reduction(size: tuple[int, int], config: ImageConfig) -> int:
    """The largest of 8, 4, 2, 1 by which a JPEG can shrink while decoding and still be no smaller than asked."""
    side = max(size) if config.resize == "pad" else min(size)
    return next((factor for factor in (8, 4, 2) if side // factor >= config.size), 1)


def _decode_fast(raw: bytes, *, reduction: int) -> NDArray[np.uint8] | None:
    """[H, W, 3] RGB by OpenCV, upright by its EXIF orientation; None when OpenCV cannot read it."""
    import cv2

    flags = {1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4}
    try:
        picture = cv2.imdecode(np.frombuffer(raw, np.uint8), flags.get(reduction, cv2.IMREAD_REDUCED_COLOR_8))
    except cv2.error:
        return None
    # Turned by OpenCV: it would copy a view of the channels reversed, pixel by pixel, before it resizes.
    return None if picture is None else cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def _decode_strictly(header: PIL.Image.Image) -> NDArray[np.uint8]:
    """[H, W, 3] RGB by Pillow, which reads what OpenCV does not and refuses truncated files."""
    import PIL.Image
    import PIL.ImageOps

    try:
        picture = PIL.ImageOps.exif_transpose(header)
        if picture.has_transparency_data:
            picture = picture.convert("RGBA")
            picture = PIL.Image.alpha_composite(PIL.Image.new("RGBA", picture.size, "white"), picture)
        return np.asarray(picture.convert("RGB"))
    except _DAMAGED as error:
        raise _damaged(error) from error


def _decode_deep(header: PIL.Image.Image, raw: bytes, *, white: float | None) -> NDArray[np.uint8]:
    """[H, W, 3] RGB of a picture of more than 8 bits."""
    try:
        return to_bytes(deep_values(header, raw), header, white=white)
    except _DAMAGED as error:
        raise _damaged(error) from error


def _fit(picture: NDArray[np.uint8], config: ImageConfig) -> NDArray[np.uint8]:
    """[size, size, 3]: averaged over areas when it shrinks, interpolated when it grows."""
    import cv2

    height, width = picture.shape[:2]
    if config.resize == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        picture = picture[top : top + side, left : left + side]
        height = width = side
    scale = config.size / max(height, width)
    target = (config.size, config.size)
    if config.resize == "pad":
        target = (max(1, round(width * scale)), max(1, round(height * scale)))
    if (width, height) != target:
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        picture = cv2.resize(picture, target, interpolation=method).astype(np.uint8, copy=False)
    if config.resize == "pad":
        down, right = config.size - target[1], config.size - target[0]
        picture = np.pad(picture, ((down // 2, down - down // 2), (right // 2, right - right // 2), (0, 0)))
    return picture


def image_address(pixels: NDArray[np.uint8]) -> str:
    """The picture uint8 ``[3, H, W]`` as a ``data:`` address of a PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0))).save(buffer, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
