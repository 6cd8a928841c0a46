"""Pictures, recordings and clips inside a request: base64 and data URLs to bytes, within the server's limits.

Nothing is ever fetched: an address or a path in a request is refused. Only headers are read here; what a file holds,
its modality finds out.
"""

from __future__ import annotations

import base64
import binascii
import io
import re

from tonggan.data.media_types import HEAD_BYTES, MediaKind, kind_of_bytes
from tonggan.errors import UnreadableError
from tonggan.modalities.clip_frames import MAX_PIXELS, read_header
from tonggan.modalities.image import FORMATS
from tonggan.serving.config import MAX_MEDIA, MAX_SAMPLE_RATE, MEDIA_SHARE, ServerConfig
from tonggan.serving.failures import RefusedError
from tonggan.wording import shortened


def bytes_of_url(url: str, *, param: str) -> bytes:
    """The content of a ``data:`` URL.

    Raises:
        RefusedError: any other URL, or one that is broken.
    """
    match = re.match(r"data:[^,]{0,200};base64,", url)
    if match is None:
        raise RefusedError(
            param,
            got=f"'{shortened(url)}'",
            expected="a data URL that holds the content in base64, e.g. data:image/png;base64,…",
            remedy="Send the content itself; this server fetches no address and opens no path",
            param=param,
            code="invalid_url",
        )
    return bytes_of_base64(url[match.end() :], param=param)


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
            got=f"'{shortened(content)}' ({error})",
            expected="base64, all of it",
            remedy="Encode the file's bytes with the standard base64 alphabet, padding included",
            param=param,
            code="invalid_base64",
        ) from error
    return raw


class MediaLimits:
    """The pictures, recordings and clips of one request, each and all of them within the server's limits.

    Args:
        config: the limits.
    """

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._count = self._pixels = self._samples = 0

    def check(self, raw: bytes, *, param: str) -> MediaKind:
        """Whether ``raw`` is a picture, a recording or a clip, by its first bytes, once its header is in bounds.

        Raises:
            RefusedError: none of these, unreadable, too large, or one too many of them.
            MissingExtraError: it is a clip, and PyAV is not installed.
        """
        kind = kind_of_bytes(raw[:HEAD_BYTES])
        self._count += 1
        if self._count > MAX_MEDIA:
            raise _too_large(f"more than {MAX_MEDIA} files", limit=f"{MAX_MEDIA} of them in a request", param=param)
        if kind == "image":
            self._add_pixels(_num_pixels(raw) or 0, param=param)
        elif kind == "audio":
            self._add_samples(raw, param=param)
        elif kind == "video":
            self._add_clip(raw, param=param)
        else:
            raise RefusedError(
                param,
                got=f"bytes that begin with {raw[:8]!r}",
                expected="a picture (PNG, JPEG, WebP, GIF, BMP, TIFF), a recording (WAV, FLAC, Ogg, MP3, AIFF) or a "
                "clip (MP4, MOV, WebM, Matroska, AVI)",
                remedy="Convert the file to one of these formats",
                param=param,
            )
        return kind

    def _add_pixels(self, pixels: int, *, param: str) -> None:
        most = self._config.max_pixels
        self._pixels += pixels
        if pixels > most:
            raise _too_large(f"{pixels:,} pixels", limit=f"{most:,} pixels", param=param)
        if self._pixels > MEDIA_SHARE * most:
            limit = f"{MEDIA_SHARE * most:,} in all pictures of a request"
            raise _too_large(f"{self._pixels:,} pixels so far", limit=limit, param=param)

    def _add_clip(self, raw: bytes, *, param: str) -> None:
        """A clip counts as one of its frames, and may be as long as a recording."""
        try:
            header = read_header(raw, max_pixels=MAX_PIXELS)
        except UnreadableError:  # which the decoder will say better
            return
        self._add_pixels(header.width * header.height, param=param)
        most = self._config.max_seconds
        if header.end - header.start > most:
            raise _too_large(f"{header.end - header.start:,.1f} s", limit=f"{most:g} s", param=param)

    def _add_samples(self, raw: bytes, *, param: str) -> None:
        most = self._config.max_seconds
        seconds, samples = _length(raw)
        self._samples += samples
        if seconds > most:
            raise _too_large(f"{seconds:,.1f} s", limit=f"{most:g} s", param=param)
        if samples > most * MAX_SAMPLE_RATE:
            limit = f"{round(most * MAX_SAMPLE_RATE):,}, as of {most:g} s in stereo at {MAX_SAMPLE_RATE // 2:,} Hz"
            raise _too_large(f"{samples:,} samples in all channels", limit=limit, param=param)
        if self._samples > MEDIA_SHARE * most * MAX_SAMPLE_RATE:
            limit = f"{round(MEDIA_SHARE * most * MAX_SAMPLE_RATE):,} in all recordings of a request"
            raise _too_large(f"{self._samples:,} samples so far", limit=limit, param=param)


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


def _length(raw: bytes) -> tuple[float, int]:
    """Seconds, and samples in all channels, by the header; 0 where it cannot be read: the decoder will say better."""
    import soundfile

    try:
        header = soundfile.info(io.BytesIO(raw))
    except soundfile.LibsndfileError:
        return 0.0, 0
    return float(header.duration), int(header.frames) * int(header.channels)


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
