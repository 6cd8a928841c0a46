"""Formats of pictures and recordings that need another package, or none reads: their names, and what to do.

Nothing is decoded here. A file of one of them is a picture or a recording all the same, and its row says why it has
none.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import PIL.Image

HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")

_JPEG = "convert it to JPEG or PNG"
_CLIP = "declare the column as video, with --set columns.NAME.kind=video"
_WAV = "convert it to WAV or FLAC"
# (offset, bytes, name, what to do); the first that fits counts.
_PICTURES = (
    (4, b"ftypcrx ", "a camera raw file (CR3)", _JPEG),
    (8, b"CR\x02\x00", "a camera raw file (CR2)", _JPEG),
    (0, b"FUJIFILMCCD-RAW", "a camera raw file (RAF)", _JPEG),
    (0, b"IIRO", "a camera raw file (ORF)", _JPEG),
    (0, b"IIU\x00", "a camera raw file (RW2)", _JPEG),
    (0, b"\xff\x0a", "JPEG XL", _JPEG),
    (0, b"\x00\x00\x00\x0cJXL ", "JPEG XL", _JPEG),
    (0, b"\x00\x00\x00\x0cjP  ", "JPEG 2000", _JPEG),
    (0, b"8BPS", "a Photoshop document (PSD)", _JPEG),
    (128, b"DICM", "DICOM", "export the picture as PNG, with the window that shows what matters"),
    (0, b"%PDF-", "a PDF document", "export its pages as PNG"),
    (0, b"%!PS", "a PostScript document", "export its pages as PNG"),
    (0, b"\x00\x00\x01\x00", "an icon (ICO)", _JPEG),
    *((4, b"ftyp" + brand, "a clip", _CLIP) for brand in (b"isom", b"iso2", b"mp4", b"avc1", b"M4V", b"qt  ", b"3gp")),
    (0, b"\x1a\x45\xdf\xa3", "a clip", _CLIP),
    (8, b"AVI ", "a clip", _CLIP),
)
_RECORDINGS = (
    (4, b"ftyp", "MPEG-4 audio (AAC or ALAC, as in .m4a)", _WAV),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media (WMA)", _WAV),
    (0, b"#!AMR", "AMR", _WAV),
    (0, b"\x1a\x45\xdf\xa3", "WebM or Matroska", _WAV),
    (0, b"\xff\xf1", "AAC", _WAV),
    (0, b"\xff\xf9", "AAC", _WAV),
    (0, b"MAC ", "Monkey's Audio (APE)", _WAV),
    (0, b"wvpk", "WavPack", _WAV),
    (8, b"AVI ", "AVI", _WAV),
    (0, b"FLV", "Flash video (FLV)", _WAV),
    (0, b"\x00\x00\x01\xba", "MPEG", _WAV),
    *((4, box, "QuickTime", _WAV) for box in (b"moov", b"mdat", b"wide")),
)


def is_heif(raw: bytes) -> bool:
    """Whether ``raw`` begins as HEIC or HEIF, the format of telephones' photographs."""
    return raw[4:8] == b"ftyp" and raw[8:12] in HEIF_BRANDS


def can_read_heif() -> bool:
    """Whether pillow-heif is installed."""
    return find_spec("pillow_heif") is not None


def open_heif(raw: bytes) -> PIL.Image.Image:
    """A HEIC picture; its pixels are decoded when they are needed.

    Raises:
        ValueError: the bytes are damaged.
    """
    import pillow_heif

    picture: PIL.Image.Image = pillow_heif.open_heif(raw, convert_hdr_to_8bit=True).to_pillow()
    return picture


def unread_picture(raw: bytes) -> str | None:
    """Name of a picture's format that is not read, and what to do about it; None of any other bytes."""
    if is_heif(raw):
        return "HEIC: install it with pip install 'tonggan[heif]', or convert it to JPEG"
    if b"<svg" in raw[:4096]:
        return "SVG: convert it to PNG"
    return _named(raw, _PICTURES)


def can_read_tracks() -> bool:
    """Whether PyAV is installed, which reads what ``unread_recording`` names."""
    return find_spec("av") is not None


def unread_recording(raw: bytes) -> str | None:
    """The same of a recording in a file with tracks, which PyAV alone reads."""
    named = _named(raw, _RECORDINGS)
    return None if named is None else named.replace(": ", ": install it with pip install 'tonggan[video]', or ", 1)


def _named(raw: bytes, formats: tuple[tuple[int, bytes, str, str], ...]) -> str | None:
    return next((f"{name}: {todo}" for offset, start, name, todo in formats if raw.startswith(start, offset)), None)
