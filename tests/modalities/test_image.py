"""Pictures: every mode and format against Pillow, every kind of damage as an error, augmentation by hand."""

from __future__ import annotations

import io
import math
import struct
import zlib
from typing import Any

import cv2
import numpy as np
import PIL.features
import PIL.Image
import PIL.ImageFile
import PIL.ImageOps
import pytest
import torch

from contracts import check_config, check_modality
from tonggan.errors import UnreadableError
from tonggan.modalities.image import Image, ImageConfig, read_extent


def landscape(width: int = 200, height: int = 120) -> PIL.Image.Image:
    """A smooth picture without any symmetry."""
    row, column = np.mgrid[0:height, 0:width]
    red = 255 * column / width
    green = 255 * row / height
    blue = 127 + 100 * np.sin(column / 23 + row / 41)
    return PIL.Image.fromarray(np.stack([red, green, blue], axis=2).astype(np.uint8))


def encode(picture: PIL.Image.Image, file_format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, file_format, **options)
    return file.getvalue()


def difference(actual: np.ndarray, expected: PIL.Image.Image) -> float:
    return float(np.abs(actual.astype(int) - np.asarray(expected).transpose(2, 0, 1)).mean())


def squashed(picture: PIL.Image.Image, size: int = 64) -> PIL.Image.Image:
    return picture.convert("RGB").resize((size, size), PIL.Image.Resampling.BOX)


@pytest.mark.parametrize(
    ("mode", "file_format"),
    [
        ("RGB", "JPEG"),
        ("L", "JPEG"),
        ("CMYK", "JPEG"),
        ("RGB", "PNG"),
        ("RGBA", "PNG"),
        ("LA", "PNG"),
        ("L", "PNG"),
        ("P", "PNG"),
        ("1", "PNG"),
        ("P", "GIF"),
        ("RGB", "WEBP"),
        ("RGB", "BMP"),
        ("RGB", "TIFF"),
        ("RGB", "PPM"),
    ],
)
def test_every_mode_decodes_to_the_same_rgb_as_pillow(mode: str, file_format: str) -> None:
    picture = landscape(192, 128).convert(mode)  # multiples of the size, where all ways to average agree
    decoded = ImageConfig().build().decode(encode(picture, file_format))
    assert decoded.shape == (3, 64, 64)
    assert decoded.dtype == np.uint8
    assert difference(decoded, squashed(picture)) < 3


def test_a_large_jpeg_is_reduced_while_decoding_and_stays_the_same_picture() -> None:
    picture = landscape(1200, 900)
    decoded = ImageConfig().build().decode(encode(picture, "JPEG"))
    assert difference(decoded, squashed(picture)) < 1.5


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_keep_the_high_byte(file_format: str) -> None:
    levels = np.linspace(0, 65_535, 64 * 64).reshape(64, 64).astype(np.uint16)
    decoded = ImageConfig().build().decode(encode(PIL.Image.fromarray(levels), file_format))
    assert np.abs(decoded[0].astype(int) - (levels >> 8)).max() <= 1


def test_transparency_becomes_white() -> None:
    picture = PIL.Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    picture.paste((0, 0, 255, 255), (0, 0, 32, 64))
    decoded = ImageConfig().build().decode(encode(picture, "PNG"))
    assert decoded[:, 5, 5].tolist() == [0, 0, 255]
    assert decoded[:, 5, 60].tolist() == [255, 255, 255]


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(file_format: str, orientation: int) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    raw = encode(landscape(300, 200), file_format, exif=exif)
    upright = PIL.ImageOps.exif_transpose(PIL.Image.open(io.BytesIO(raw)))
    assert difference(ImageConfig().build().decode(raw), squashed(upright)) < 3


def test_resize_squash_crop_pad() -> None:
    picture = PIL.Image.new("RGB", (128, 64), "red")
    picture.paste("blue", (0, 0, 32, 64))  # the left quarter
    raw = encode(picture, "PNG")
    squash, crop, pad = (ImageConfig(resize=way).build().decode(raw) for way in ("squash", "crop", "pad"))
    assert squash[2, 32].tolist() == [255] * 16 + [0] * 48
    assert (crop[0] == 255).all()
    assert pad[:, :16].max() == 0
    assert pad[:, 48:].max() == 0
    assert pad[2, 32].tolist() == [255] * 16 + [0] * 48


def test_small_pictures_grow() -> None:
    assert ImageConfig(size=32).build().decode(encode(landscape(5, 3), "PNG")).shape == (3, 32, 32)


def test_a_line_of_pixels_decodes_in_each_way() -> None:
    raw = encode(landscape(20_000, 1), "PNG")
    for way in ("squash", "crop", "pad"):
        assert ImageConfig(resize=way).build().decode(raw).shape == (3, 64, 64)


def png_header(width: int, height: int) -> bytes:
    """The start of a PNG of that size with next to nothing behind it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [11_000, 100_000])
def test_of_a_decompression_bomb_the_header_alone_is_read(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[object] = []
    monkeypatch.setattr(PIL.ImageFile.ImageFile, "load", decoded.append)
    monkeypatch.setattr(cv2, "imdecode", lambda *arguments: decoded.append(arguments))
    with pytest.raises(UnreadableError, match="at most 100,000,000 pixels") as caught:
        ImageConfig().build().decode(png_header(side, side))
    assert not decoded
    assert "max_pixels" in caught.value.remedy


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.95])
def test_a_truncated_file_is_unreadable_and_never_half_grey(file_format: str, kept: float) -> None:
    raw = encode(landscape(), file_format)
    with pytest.raises(UnreadableError):
        ImageConfig().build().decode(raw[: int(kept * len(raw))])


def test_a_truncated_progressive_jpeg_with_a_thumbnail_is_unreadable() -> None:
    exif = PIL.Image.Exif()
    exif[0x010E] = "a thumbnail's end of image: \xff\xd9"
    raw = encode(landscape(), "JPEG", progressive=True, exif=exif)
    with pytest.raises(UnreadableError, match="truncated"):
        ImageConfig().build().decode(raw[: len(raw) * 2 // 3])


def test_a_jpeg_with_bytes_behind_it_is_whole() -> None:
    raw = encode(landscape(), "JPEG")
    image = ImageConfig().build()
    np.testing.assert_array_equal(image.decode(raw + b"\xff\xda a phone's film"), image.decode(raw))


def test_a_png_with_one_wrong_byte_is_unreadable() -> None:
    raw = bytearray(encode(landscape(), "PNG"))
    raw[len(raw) // 2] ^= 1
    with pytest.raises(UnreadableError, match="checksum"):
        ImageConfig().build().decode(bytes(raw))


@pytest.mark.parametrize(
    ("raw", "got"),
    [
        (b"", "a file of 0 bytes"),
        (b"hello, I am a text", "no known format"),
        (b"%PDF-1.7", "a PDF document: export its pages as PNG"),
        (b"\xff\x0a\x00", "JPEG XL: convert it"),
        (b"8BPS\x00\x01", "a Photoshop document"),
        (bytes(128) + b"DICM", "DICOM: export"),
        (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "SVG: convert it to PNG"),
        (b"II*\x00\x10\x00\x00\x00CR\x02\x00", "a camera raw file (CR2)"),
    ],
)
def test_what_is_no_picture_says_so(raw: bytes, got: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        ImageConfig().build().decode(raw)
    assert caught.value.who == "picture"
    assert caught.value.got.startswith(got)
    assert caught.value.remedy


def test_collate_keeps_absence_apart() -> None:
    image = ImageConfig(size=8).build()
    one = np.full((3, 8, 8), 7, dtype=np.uint8)
    arrays = image.collate([None, one])
    assert arrays.values.dtype == torch.uint8
    assert arrays.values.shape == (2, 3, 8, 8)
    assert arrays.mask.tolist() == [False, True]
    assert (arrays.values[1] == 7).all()
    assert image.collate([None]).mask.tolist() == [False]


@pytest.mark.parametrize(
    ("file_format", "options"),
    [("JPEG", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"})],
)
@pytest.mark.parametrize("orientation", range(10))
def test_the_extent_is_that_of_the_upright_picture(file_format: str, options: dict[str, Any], orientation: int) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    how = {"tiffinfo": {0x0112: orientation}} if file_format == "TIFF" else {"exif": exif}
    if options.get("compression") and orientation in (0, 9):
        pytest.skip("libtiff writes no such orientation")
    raw = encode(landscape(200, 120), file_format, **how, **options)
    image = ImageConfig().build()
    assert image.extent(raw) == image.upright(raw).shape[:2]
    assert image.extent(raw) == ((200, 120) if orientation in (5, 6, 7, 8) else (120, 200))


def test_the_extent_of_what_cannot_be_read() -> None:
    image = ImageConfig().build()
    with pytest.raises(UnreadableError):
        image.extent(b"no picture")
    file = io.BytesIO()
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.from_pillow(landscape(64, 48)).save(file, exif=exif.tobytes())
    assert image.extent(file.getvalue()) == image.upright(file.getvalue()).shape[:2] == (64, 48)


def test_config_and_cache_key() -> None:
    check_config(ImageConfig(size=32, augment=None))
    keys = {
        Image(ImageConfig(**settings)).cache_key()
        for settings in ({}, {"size": 32}, {"resize": "pad"}, {"max_pixels": 5})
    }
    assert len(keys) == 4
    assert Image(ImageConfig(augment=None)).cache_key() in keys


def gradient(greatest: float, dtype: Any) -> np.ndarray:
    return np.linspace(0, greatest, 64 * 64).reshape(64, 64).astype(dtype)


@pytest.mark.parametrize(
    ("greatest", "dtype"),
    [(255, np.int32), (65_535, np.int32), (1, np.float32), (255, np.float32), (65_535, np.float32)],
)
def test_integers_and_floats_of_32_bits_are_scaled_by_what_they_hold(greatest: float, dtype: Any) -> None:
    values = gradient(greatest, dtype)
    decoded = ImageConfig().build().decode(encode(PIL.Image.fromarray(values), "TIFF"))
    assert np.abs(decoded[0] - values * (255 / greatest)).max() <= 0.51


@pytest.mark.parametrize("color", [False, True])
def test_white_of_a_sensor_of_12_bits(color: bool) -> None:
    import cv2

    values = gradient(4_095, np.uint16)
    raw = cv2.imencode(".png", np.stack([values, values // 2, values // 4], axis=2)[:, :, ::-1] if color else values)[1]
    image = ImageConfig(white=4_095).build()
    decoded = image.decode(raw.tobytes())
    assert len(np.unique(decoded[0])) == 256
    assert decoded[1].max() == (127 if color else 255)
    assert image.greatest(raw.tobytes()) == 4_095
    assert image.greatest(encode(landscape(), "PNG")) is None
    with pytest.raises(UnreadableError, match="values up to 4095, above 1023 as white"):
        ImageConfig(white=1_023).build().decode(raw.tobytes())


@pytest.mark.parametrize(("values", "got"), [([-5.0, 3.0], "values below 0"), ([math.nan, 1.0], "values that are NaN")])
def test_values_that_are_no_light_are_unreadable(values: list[float], got: str) -> None:
    picture = PIL.Image.fromarray(np.array([values] * 2, dtype=np.float32))
    with pytest.raises(UnreadableError) as caught:
        ImageConfig().build().decode(encode(picture, "TIFF"))
    assert caught.value.got.startswith(got)


def test_white_is_zero() -> None:
    raw = encode(PIL.Image.fromarray(gradient(65_535, np.uint16)), "TIFF", tiffinfo={262: 0})
    decoded = ImageConfig().build().decode(raw)
    assert (decoded[0, 0, 0], decoded[0, -1, -1]) == (255, 0)


def test_heic_is_read_where_its_extra_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    pillow_heif.from_pillow(PIL.Image.new("RGB", (64, 48), (200, 20, 20))).save(file, quality=90)
    decoded = ImageConfig().build().decode(file.getvalue())
    assert np.abs(decoded[:, 32, 32].astype(int) - [200, 20, 20]).max() < 8
    with_extra = ImageConfig().build().cache_key()
    monkeypatch.setattr("tonggan.modalities.image.can_read_heif", lambda: False)
    with pytest.raises(UnreadableError, match=r"HEIC: .*tonggan\[heif\].*convert it to JPEG"):
        ImageConfig().build().decode(file.getvalue())
    assert ImageConfig().build().cache_key() != with_extra
    monkeypatch.undo()
    with pytest.raises(UnreadableError):
        ImageConfig().build().decode(file.getvalue()[: len(file.getvalue()) // 2])


@pytest.mark.skipif(not PIL.features.check("avif"), reason="this Pillow knows no AVIF")
def test_avif() -> None:
    picture = landscape()
    assert difference(ImageConfig().build().decode(encode(picture, "AVIF")), squashed(picture)) < 3


def test_contract() -> None:
    decoded = [np.full((3, 16, 16), value, dtype=np.uint8) for value in (0, 7, 255)]
    check_modality(ImageConfig(size=16, augment=None).build(), "photo", {"photo": [*decoded, None]})


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_upright_size_of_a_photograph(tmp_path, orientation):
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.jpg"
    picture = PIL.Image.new("RGB", (40, 20), "white")
    picture.save(path, exif=exif)
    assert read_extent(path) == ((20, 40) if orientation < 5 else (40, 20))
    # The modality turns it the same way: what is upright and high has its borders left and right.
    square = ImageConfig(size=40, resize="pad").build().decode(path.read_bytes())
    assert (square[0, :, 0] == 0).all() == (orientation >= 5)


@pytest.mark.parametrize("orientation", range(10))
def test_what_pillow_has_turned_is_not_turned_again(tmp_path, orientation):
    PIL.Image.new("RGB", (40, 20)).save(tmp_path / "a.tif", tiffinfo={0x0112: orientation})
    assert read_extent(tmp_path / "a.tif") == ((40, 20) if 5 <= orientation <= 8 else (20, 40))


@pytest.mark.parametrize("name", ["a.png", "a.gif", "a.bmp", "a.tif", "a.webp", "a.ppm"])
def test_formats(tmp_path, name):
    PIL.Image.new("RGB", (7, 3)).save(tmp_path / name)
    assert read_extent(tmp_path / name) == (3, 7)


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0\x00\x10"])
def test_what_is_no_picture_has_no_size(tmp_path, content):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    assert read_extent(path) is None
    assert read_extent(tmp_path / "gone.png") is None
