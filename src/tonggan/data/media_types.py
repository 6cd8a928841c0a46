"""Which kind of media a file is: by the suffix of its path, or by the first bytes of its content.

It distinguishes kinds and nothing more; whether a file can be decoded, its modality finds out.
"""

from __future__ import annotations

import posixpath
from typing import Literal

from tonggan.modalities.file_formats import HEIF_BRANDS

MediaKind = Literal["image", "audio", "video"]

# Enough of a file's beginning for ``kind_of_bytes``.
HEAD_BYTES = 4096

# Formats that no decoder here reads are pictures and recordings all the same; their rows say what can be done.
_SUFFIXES: dict[MediaKind, str] = {
    "image": ".png .jpg .jpeg .jpe .jfif .bmp .gif .webp .tif .tiff .ppm .pgm .pbm .pnm .avif .heic .heif .hif "
    ".jxl .jp2 .svg .psd .dcm .dng .cr2 .cr3 .nef .arw .orf .rw2 .raf",
    "audio": ".wav .flac .ogg .oga .opus .mp3 .aif .aiff .aifc .au .snd .m4a .m4b .aac .wma .w64 .caf .amr .weba .mka "
    ".ape .wv",
    "video": ".mp4 .avi .mov .mkv .webm .m4v .mpg .mpeg .wmv .flv .3gp .ogv",
}
_KIND_OF_SUFFIX = {suffix: kind for kind, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}

_MATROSKA = b"\x1a\x45\xdf\xa3"
_WINDOWS_MEDIA = b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"
# What says, in a container that holds both, that there is a track of sound, and one of pictures.
_TRACKS = {
    _MATROSKA: (b"A_", b"V_"),
    _WINDOWS_MEDIA: (b"\x40\x9e\x69\xf8\x4d\x5b\xcf\x11", b"\xc0\xef\x19\xbc\x4d\x5b\xcf\x11"),
    b"ftyp": (b"soun", b"vide"),
}

# (offset, bytes) of formats that a fixed signature tells.
_SIGNATURES: dict[MediaKind, list[tuple[int, bytes]]] = {
    "image": [
        (0, b"\x89PNG\r\n\x1a\n"),
        (0, b"\xff\xd8\xff"),
        (0, b"GIF8"),
        (0, b"BM"),
        (0, b"II*\x00"),
        (0, b"MM\x00*"),
        (8, b"WEBP"),
        *((4, b"ftyp" + brand) for brand in (b"avif", b"avis", b"crx ", *HEIF_BRANDS)),
        (0, b"\xff\x0a"),
        (0, b"\x00\x00\x00\x0cJXL "),
        (0, b"\x00\x00\x00\x0cjP  "),
        (0, b"8BPS"),
        (0, b"FUJIFILMCCD-RAW"),
        (0, b"IIRO"),
        (0, b"IIU\x00"),
        (128, b"DICM"),
        *((0, b"P%d" % number + blank) for number in range(1, 7) for blank in (b"\n", b" ")),
    ],
    "audio": [
        (8, b"WAVE"),
        (8, b"AIFF"),
        (8, b"AIFC"),
        (8, b"M4A "),
        (8, b"M4B "),
        (0, b"#!AMR"),
        (0, b"MAC "),
        (0, b"wvpk"),
        (0, b"fLaC"),
        (0, b"OggS"),
        (0, b"ID3"),
        (0, b".snd"),
        (0, b"caff"),
        (0, b"riff"),
        *((0, b"\xff" + bytes([second])) for second in (0xFB, 0xFA, 0xF3, 0xF2, 0xE3, 0xE2, 0xF1, 0xF9)),
    ],
    "video": [(4, b"ftyp"), (8, b"AVI "), (0, _MATROSKA), (0, b"\x00\x00\x01\xba"), (0, _WINDOWS_MEDIA), (0, b"FLV")],
}

# Files that are neither: what to do about them, by suffix.
_PAGES = "which are not read (export their pages as PNG or put their text into the table)"
_WORDS = "which are not read (put their text into the table)"
_DOCUMENTS = {
    ".pdf .ps .eps .djvu .xps": _PAGES,
    ".doc .docx .odt .rtf .ppt .pptx .odp .xls .xlsx .ods .epub .txt .md .htm .html .xml .json": _WORDS,
    ".py .ipynb .js .ts .java .c .h .cpp .cs .go .rs .php .rb .kt .swift .scala .lua .sql .r .jl .sh": _WORDS,
}
_REMEDIES = {suffix: remedy for suffixes, remedy in _DOCUMENTS.items() for suffix in suffixes.split()}
_SUFFIX_OF_START = {b"%PDF-": ".pdf", b"%!PS": ".ps", b"{\\rtf": ".rtf", b"\xd0\xcf\x11\xe0": ".doc"}


def document_of_path(path: str) -> str | None:
    """What a path's suffix promises where that is a document, e.g. PDF files, and what to do about them."""
    suffix = posixpath.splitext(path.strip())[1].lower()
    return f"{suffix[1:].upper()} files, {_REMEDIES[suffix]}" if suffix in _REMEDIES else None


def document_of_bytes(head: bytes) -> str | None:
    """The same of a file that starts with ``head``."""
    found = (suffix for start, suffix in _SUFFIX_OF_START.items() if head.startswith(start))
    return document_of_path(f"x{next(found, '')}")


def kind_of_path(path: str) -> MediaKind | None:
    """The kind of media that a path's suffix promises."""
    return _KIND_OF_SUFFIX.get(posixpath.splitext(path.strip())[1].lower())


def kind_of_bytes(head: bytes) -> MediaKind | None:
    """The kind of media that starts with ``head``, of which a dozen bytes are enough for most formats.

    Of a container that holds sound and pictures, ``HEAD_BYTES`` may say that there is sound alone; else it is video.
    """
    if head[:256].lstrip().startswith((b"<svg", b"<?xml")) and b"<svg" in head:
        return "image"
    for kind, signatures in _SIGNATURES.items():
        if any(head.startswith(signature, offset) for offset, signature in signatures):
            return "audio" if kind == "video" and _has_sound_alone(head) else kind
    return None


def _has_sound_alone(head: bytes) -> bool:
    return any(
        mark in head[:16] and sound in head and pictures not in head for mark, (sound, pictures) in _TRACKS.items()
    )
