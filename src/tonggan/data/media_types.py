"""Which kind of media a file is: by the suffix of its path, or by the first bytes of its content.

It tells kinds apart and nothing more; whether a file can be decoded, its modality finds out.
"""

from __future__ import annotations

import posixpath
from typing import Literal

MediaKind = Literal["image", "audio", "video"]

_SUFFIXES: dict[MediaKind, str] = {
    "image": ".png .jpg .jpeg .jpe .jfif .bmp .gif .webp .tif .tiff .ppm .pgm .pbm .pnm .avif",
    "audio": ".wav .flac .ogg .oga .opus .mp3 .aif .aiff .aifc .au .snd .m4a .aac .wma .w64 .caf",
    "video": ".mp4 .avi .mov .mkv .webm .m4v .mpg .mpeg .wmv .flv",
}
_KIND_OF_SUFFIX = {suffix: kind for kind, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}

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
        (8, b"avif"),
        *((0, b"P%d" % number + blank) for number in range(1, 7) for blank in (b"\n", b" ")),
    ],
    "audio": [
        (8, b"WAVE"),
        (8, b"AIFF"),
        (8, b"AIFC"),
        (8, b"M4A "),
        (0, b"fLaC"),
        (0, b"OggS"),
        (0, b"ID3"),
        (0, b".snd"),
        (0, b"caff"),
        (0, b"riff"),
        *((0, b"\xff" + bytes([second])) for second in (0xFB, 0xFA, 0xF3, 0xF2, 0xE3, 0xE2, 0xF1, 0xF9)),
    ],
    "video": [(4, b"ftyp"), (8, b"AVI "), (0, b"\x1a\x45\xdf\xa3"), (0, b"\x00\x00\x01\xba")],
}


def kind_of_path(path: str) -> MediaKind | None:
    """The kind of media that a path's suffix promises."""
    return _KIND_OF_SUFFIX.get(posixpath.splitext(path.strip())[1].lower())


def kind_of_bytes(head: bytes) -> MediaKind | None:
    """The kind of media that starts with ``head``, of which a dozen bytes are enough."""
    for kind, signatures in _SIGNATURES.items():
        if any(head.startswith(signature, offset) for offset, signature in signatures):
            return kind
    return None
