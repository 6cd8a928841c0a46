"""Files with tracks of pictures and sound (MP4, WebM, AVI and the like) through PyAV: opened, checked, errors named.

A file is opened by its path, so that one of hours is never in memory. What it holds cannot make another file or address
be opened: playlists and the like are no formats of this list.
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from tonggan.errors import MissingExtraError, UnreadableError
from tonggan.modalities.base import Encoded

_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,mpeg,mpegts,mpegvideo,flv,asf,ogg,aac,amr,caf,wv,ape"
_INDEXED = ("mov", "matroska", "avi")  # in which a seek finds the key frame before a time
_MATROSKA, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_STREAMED = (0, 0xFFFFFFFF)  # the length that programs write into a header when they cannot know it
NO_TRACK = "a clip without a sound track"
_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")


def unreadable(thing: str, got: str, *, expected: str, remedy: str) -> UnreadableError:
    """The error of a ``thing``, a clip or a recording, that cannot be used."""
    return UnreadableError(thing, got=got, expected=expected, remedy=remedy)


def truncated(thing: str, got: str) -> UnreadableError:
    """The error of a file that is not all there."""
    remedy = "Copy or download the file again, or leave the cell empty"
    return unreadable(thing, got, expected=f"a complete {thing}", remedy=remedy)


@contextmanager
def opened(source: Encoded, *, thing: str) -> Iterator[Any]:
    """The container of ``source``, its header read.

    Args:
        source: the file.
        thing: what it is wanted for, a ``clip`` or a ``recording``; for errors.

    Raises:
        MissingExtraError: PyAV is not installed.
        UnreadableError: empty, truncated or of no known format; within the block, whatever FFmpeg cannot decode.
    """
    try:
        import av
    except ImportError as error:
        missing = MissingExtraError.of("av", extra="video", purpose=f"a {thing} in a file with tracks")
        raise missing from error
    try:
        with _binary(source) as file:
            check_length(file, thing=thing)
    except OSError as error:
        got, remedy = error.strerror or str(error), "Make the file readable, or leave the cell empty"
        raise unreadable(thing, got, expected=f"a {thing}", remedy=remedy) from error
    place: Any = io.BytesIO(source) if isinstance(source, bytes) else f"file:{source.absolute()}"
    options = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
    try:
        with av.open(place, container_options=options, metadata_errors="replace") as container:
            yield container
    except av.EOFError as error:
        got, remedy = "a file that ends before any content", "Record it again, or leave the cell empty"
        raise unreadable(thing, got, expected=f"a complete {thing}", remedy=remedy) from error
    except (av.FFmpegError, MemoryError, OverflowError) as error:
        got = f"damaged bytes, or a format that is not read ({getattr(error, 'strerror', None) or error})"
        known = "WAV or FLAC" if thing == "recording" else "MP4 with H.264"
        remedy = f"Convert the {thing} to {known}, copy it again, or leave the cell empty"
        raise unreadable(thing, got, expected=f"a complete {thing}", remedy=remedy) from error


@dataclass(frozen=True)
class Sound:
    """An opened sound track.

    Attributes:
        rate: samples a second.
        seconds: its length, by its header.
        parts: float32 ``[T, C]``, samples of its channels, a few at a time.
    """

    rate: int
    seconds: float
    parts: Iterator[NDArray[np.float32]]


@contextmanager
def opened_sound(source: Encoded) -> Iterator[Sound]:
    """The first sound track of ``source``.

    Raises:
        MissingExtraError: PyAV is not installed.
        UnreadableError: as ``opened``; there is no sound track (``NO_TRACK``), or its codec is not decoded here.
    """
    with opened(source, thing="recording") as container:
        if not container.streams.audio:
            expected, remedy = "a clip with a sound track", "Leave the cell empty, or name a recording"
            raise unreadable("recording", NO_TRACK, expected=expected, remedy=remedy)
        track = container.streams.audio[0]
        if track.codec_context is None or not track.codec_context.sample_rate:
            got, remedy = "sound in a codec that is not decoded here", "Convert the recording to WAV or FLAC"
            raise unreadable("recording", got, expected="a codec such as AAC, Opus or MP3", remedy=remedy)
        told = track.duration * track.time_base if track.duration else (container.duration or 0) / 1e6
        yield Sound(track.codec_context.sample_rate, float(told), _samples(container, track))


def _samples(container: Any, track: Any) -> Iterator[NDArray[np.float32]]:
    import av

    resampler = av.AudioResampler(
        format="fltp", layout=track.codec_context.layout, rate=track.codec_context.sample_rate
    )
    for frame in container.decode(track):
        for part in resampler.resample(frame):
            yield part.to_ndarray().astype(np.float32, copy=False).T


def first_samples(sound: Sound, *, seconds: float) -> NDArray[np.float32]:
    """``[T, C]`` of the first ``seconds`` of a track."""
    wanted, count = math.ceil(seconds * sound.rate), 0
    parts: list[NDArray[np.float32]] = []
    for part in sound.parts:
        parts.append(part)
        count += len(part)
        if count >= wanted:
            break
    return np.concatenate(parts)[:wanted] if parts else np.zeros((0, 1), dtype=np.float32)


def is_indexed(container: Any) -> bool:
    """Whether a seek in an opened container finds the key frame before a time."""
    return any(name in _INDEXED for name in container.format.name.split(","))


@contextmanager
def _binary(source: Encoded) -> Iterator[BinaryIO]:
    if isinstance(source, bytes):
        yield io.BytesIO(source)
        return
    with Path(source).open("rb") as file:
        yield file


def check_length(file: BinaryIO, *, thing: str) -> None:
    """A file holds as many bytes as its boxes or chunks promise; FFmpeg would give the part that is there.

    Raises:
        UnreadableError: it holds less, or nothing.
    """
    length = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(64)
    if not head:
        raise unreadable(thing, "a file of 0 bytes", expected=f"a {thing}", remedy="Restore the file, or leave it out")
    promised: int | None = None
    if head[4:8] in _BOXES:
        promised = _end_of_boxes(file, length, thing=thing)
    elif head[:4] == b"RIFF":
        size = struct.unpack_from("<I", head.ljust(8, b"\0"), 4)[0]
        promised = None if size in _STREAMED else size + 8
    elif head[:4] == _MATROSKA:
        promised = _end_of_segment(head)
    elif head[:4] == b"GIF8":
        file.seek(max(0, length - 64))
        if not file.read().rstrip(b"\0").endswith(b";"):
            raise truncated(thing, "a truncated GIF (it ends before its trailer)")
    if promised is not None and promised > length:
        raise truncated(thing, f"a truncated file (its header promises {promised:,} bytes, {length:,} are there)")


def _end_of_boxes(file: BinaryIO, length: int, *, thing: str) -> int | None:
    """The end that the last box of an ISO file (MP4, MOV) promises."""
    place, names = 0, set()
    while place + 8 <= length:
        file.seek(place)
        header = file.read(16)
        size, name = struct.unpack_from(">I4s", header)
        if size == 1 and len(header) == 16:
            size = struct.unpack_from(">Q", header, 8)[0]
        if not name.isascii() or (size < 8 and size != 0):  # bytes behind the last box
            break
        names.add(name)
        if size == 0:  # up to the end
            break
        place += size
    if b"moov" not in names:
        raise truncated(thing, "a truncated file (it ends before its index, the box 'moov')")
    return place if place > length else None


def _end_of_segment(head: bytes) -> int | None:
    """The end that a Matroska or WebM file promises; None where it was written while it was streamed."""
    size, place = _variable(head, 4)
    start = place + size
    if start + 12 > len(head) or head[start : start + 4] != _SEGMENT:
        return None
    size, place = _variable(head, start + 4)
    return None if size == 2 ** (7 * (place - start - 4)) - 1 else place + size


def _variable(head: bytes, place: int) -> tuple[int, int]:
    """A number of variable length (EBML), and where it ends."""
    width = 9 - head[place].bit_length()
    value = int.from_bytes(head[place : place + width], "big") & ((1 << (7 * width)) - 1)
    return value, place + width
