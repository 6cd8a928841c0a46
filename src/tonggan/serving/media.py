"""Pictures and recordings that travel inside a request: base64 and data URLs to bytes, within the server's limits.

Nothing is ever fetched: an address or a path in a request is refused. Only headers are read here; what a file holds,
its modality finds out.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
from urllib.parse import unquote_to_bytes

from tonggan.data.media_types import MediaKind, kind_of_bytes
from tonggan.modalities.image import FORMATS
from tonggan.serving.config import ServerConfig
from tonggan.serving.failures import RefusedError

_SHOWN = 40


def bytes_of_url(url: str, *, param: str) -> bytes:
    """The content of a ``data:`` URL.

    Raises:
        RefusedError: any other URL, or one that is broken.
    """
    match = re.match(r"data:([^,]*),", url)
    if match is None:
        raise RefusedError(
            param,
            got=f"'{_shortened(url)}'",
            expected="a data URL that holds the content, e.g. data:image/png;base64,…",
            remedy="Send the content itself; this server fetches no address and opens no path",
            param=param,
            code="invalid_url",
        )
    content = url[match.end() :]
    return bytes_of_base64(content, param=param) if match[1].endswith(";base64") else unquote_to_bytes(content)


def bytes_of_base64(content: str, *, param: str) -> bytes:
    """The bytes that base64 text stands for.

    Raises:
        RefusedError: it is not base64, or of nothing.
    """
    try:
        raw = base64.b64decode(content, validate=True)
        if not raw:
            raise binascii.Error("no content")
    except (binascii.Error, ValueError) as error:
        raise RefusedError(
            param,
            got=f"'{_shortened(content)}' ({error})",
            expected="base64, all of it",
            remedy="Encode the file's bytes with the standard base64 alphabet, padding included",
            param=param,
            code="invalid_base64",
        ) from error
    return raw


def check_media(raw: bytes, *, config: ServerConfig, param: str) -> MediaKind:
    """Whether ``raw`` is a picture or a recording, by its first bytes, once its header is known to be within limits.

    Raises:
        RefusedError: neither, unreadable, too many pixels, or too long.
    """
    kind = kind_of_bytes(raw[:16])
    if kind == "image":
        pixels = _num_pixels(raw)
        if pixels is not None and pixels > config.max_pixels:
            raise _too_large(f"{pixels:,} pixels", limit=f"{config.max_pixels:,} pixels", param=param)
    elif kind == "audio":
        seconds = _num_seconds(raw)
        if seconds is not None and seconds > config.max_seconds:
            raise _too_large(f"{seconds:,.1f} s", limit=f"{config.max_seconds:g} s", param=param)
    else:
        raise RefusedError(
            param,
            got=f"bytes that begin with {raw[:8]!r}",
            expected="a picture (PNG, JPEG, WebP, GIF, BMP, TIFF) or a recording (WAV, FLAC, Ogg, MP3, AIFF)",
            remedy="Convert the file to one of these formats",
            param=param,
        )
    return kind


def _num_pixels(raw: bytes) -> int | None:
    """By the header; None where it cannot be read, which the decoder will say better."""
    import PIL.Image

    PIL.Image.init()
    try:
        with PIL.Image.open(io.BytesIO(raw), formats=FORMATS) as header:
            return header.width * header.height
    except PIL.Image.DecompressionBombError:
        return PIL.Image.MAX_IMAGE_PIXELS or 0
    except (OSError, SyntaxError, ValueError):
        return None


def _num_seconds(raw: bytes) -> float | None:
    """By the header; None where it cannot be read, which the decoder will say better."""
    import soundfile

    try:
        return float(soundfile.info(io.BytesIO(raw)).duration)
    except soundfile.LibsndfileError:
        return None


def _too_large(got: str, *, limit: str, param: str) -> RefusedError:
    return RefusedError(
        param,
        got=got,
        expected=f"at most {limit}, the limit of this server",
        remedy="Send a smaller file",
        status=413,
        param=param,
        code="too_large",
    )


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
