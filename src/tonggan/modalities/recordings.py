"""Recording files to float samples, whole or block by block: WAV, FLAC, Ogg, MP3 and AIFF, as libsndfile reads them.

Of files with tracks, such as MP4 and WebM, PyAV reads the first one of sound.

It never repairs: a file that is truncated, holds NaN or nothing at all is an UnreadableError.
"""

from __future__ import annotations

import io
import math
import mmap
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tonggan.errors import DataError, UnreadableError
from tonggan.modalities.base import Encoded
from tonggan.modalities.containers import first_samples, opened_sound
from tonggan.modalities.file_formats import can_read_tracks, unread_recording

# Floating point samples may pass full scale so many times; louder ones are of another scale.
LOUDEST = 4.0
# Seconds that are read beyond the last, so that a recording that goes on gives at least one more sample.
_BEYOND = 0.01
# The part of the channels' power below which their mean is what is left of channels of opposite phase.
_CANCELLED = 1e-4
_STREAMED = (0, 0xFFFFFFFF)  # the length that programs write into a header when they cannot know it
_BLOCK_SECONDS = 10
_HEAD_BYTES = 4096


class Recording:
    """A recording of any length, of which a few seconds are in memory at a time.

    Args:
        source: the file, or its bytes.
        sample_rate: that its samples are brought to.

    Attributes:
        seconds: its length, by its header.

    Raises:
        DataError: there is no such file.
        UnreadableError: it cannot be decoded, or is truncated.
    """

    def __init__(self, source: Path | bytes, *, sample_rate: int) -> None:
        self._source = source
        self.sample_rate = sample_rate
        with self._named(), ExitStack() as stack:
            raw = self._content(stack)
            if not raw:
                raise unreadable("a file of 0 bytes", remedy="Restore the file")
            check_length(raw)
            self._has_tracks = has_tracks(raw[:_HEAD_BYTES])
            if self._has_tracks:
                with opened_sound(self._source) as sound:
                    self.seconds = sound.seconds
                return
            with _decoding(raw[:_HEAD_BYTES]), self._open() as file:
                self.seconds = file.frames / file.samplerate

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Mono samples float32 ``[T]`` in [-1, 1], a few seconds at a time; channels are averaged.

        Raises:
            UnreadableError: it breaks off, or holds what are no samples.
        """
        import soxr

        if self._has_tracks:
            yield from self._blocks_of_track()
            return
        with self._named(), _decoding(None), self._open() as file:
            change = soxr.ResampleStream(file.samplerate, self.sample_rate, 1, dtype="float32")
            size, read, full_scale = _BLOCK_SECONDS * file.samplerate, 0, None
            while len(samples := file.read(size, dtype="float32", always_2d=True)):
                read += len(samples)
                if full_scale is None and is_float(file):
                    full_scale = full_scale_of(float(np.abs(samples).max()))
                mono = _mono(samples, is_float=is_float(file), full_scale=full_scale)
                yield change.resample_chunk(mono)
            _check_frames(file, read=read, promised=file.frames)
            yield change.resample_chunk(np.zeros(0, dtype=np.float32), last=True)

    def _blocks_of_track(self) -> Iterator[NDArray[np.float32]]:
        import soxr

        with self._named(), opened_sound(self._source) as sound:
            change = soxr.ResampleStream(sound.rate, self.sample_rate, 1, dtype="float32")
            for samples in sound.parts:
                yield change.resample_chunk(_mono(samples, is_float=False, full_scale=None))
            yield change.resample_chunk(np.zeros(0, dtype=np.float32), last=True)

    def _content(self, stack: ExitStack) -> Any:
        """The bytes, those of a file without copying them into memory."""
        if isinstance(self._source, bytes):
            return self._source
        try:
            file = stack.enter_context(self._source.open("rb"))
            return stack.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except ValueError:  # of no bytes
            return b""
        except OSError as error:
            raise DataError(
                f"recording {self._source}",
                got=error.strerror or str(error),
                expected="a recording that can be read",
                remedy="Check the path",
            ) from error

    def _open(self) -> Any:
        import soundfile

        class Sequential(soundfile.SoundFile):  # type: ignore[misc]
            """After each block soundfile seeks to where it is, which the decoder of MP3 does not survive."""

            def seekable(self) -> bool:
                return False

        return Sequential(io.BytesIO(self._source) if isinstance(self._source, bytes) else str(self._source))

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Errors name the file."""
        try:
            yield
        except UnreadableError as error:
            who = "recording" if isinstance(self._source, bytes) else f"recording {self._source}"
            remedy = error.remedy.removesuffix(_OR_EMPTY).removesuffix(_OR_ANOTHER)
            raise UnreadableError(who, got=error.got, expected=error.expected, remedy=remedy) from error


_OR_EMPTY, _OR_ANOTHER = ", or leave the cell empty", ", or declare the column as another kind"


def unreadable(got: str, *, expected: str = "a recording", remedy: str) -> UnreadableError:
    """The error of a recording that cannot be used."""
    return UnreadableError("recording", got=got, expected=expected, remedy=remedy)


def _truncated(got: str) -> UnreadableError:
    remedy = f"Copy or download the file again{_OR_EMPTY}"
    return unreadable(got, expected="a complete recording", remedy=remedy)


def check_length(raw: bytes) -> None:
    """A WAV or AIFF file holds as many bytes as its chunks promise; libsndfile would return the part that is there.

    Raises:
        UnreadableError: it holds less.
    """
    family, sound = (raw[:4], raw[8:12]), b"data"
    if family == (b"RIFF", b"WAVE"):
        header = "<4sI"
    elif family in ((b"FORM", b"AIFF"), (b"FORM", b"AIFC")):
        header, sound = ">4sI", b"SSND"
    else:
        return
    place = 12
    while place + 8 <= len(raw):
        name, length = struct.unpack_from(header, raw, place)
        there = len(raw) - place - 8
        if name == sound:
            if length > there and length not in _STREAMED:
                raise _truncated(f"a truncated file (the header promises {length:,} bytes, {there:,} are there)")
            return
        place += 8 + length + length % 2
    raise _truncated("a truncated file (it ends before its sound)")


def full_scale_of(greatest: float) -> float:
    """The full scale of floating point samples up to ``greatest``: 1, which loud mixes pass, or that of integers."""
    if greatest <= LOUDEST:
        return 1.0
    return next((scale for scale in (2.0**15, 2.0**23, 2.0**31) if greatest <= scale), greatest)


def is_float(file: Any) -> bool:
    """Whether an open sound file holds samples of floating point."""
    return file.subtype in ("FLOAT", "DOUBLE")


def has_tracks(head: bytes) -> bool:
    """Whether a file that begins with ``head`` is one with tracks, which PyAV reads, and that is installed."""
    return unread_recording(head) is not None and can_read_tracks()


def read_track(source: Encoded, *, max_seconds: float) -> tuple[NDArray[np.float32], int]:
    """``read_mono`` of the first sound track of a file that ``has_tracks``.

    Raises:
        UnreadableError: there is none (``NO_TRACK``), or it cannot be decoded.
    """
    with opened_sound(source) as sound:
        samples = first_samples(sound, seconds=max_seconds + _BEYOND)
        return _mono(samples, is_float=False, full_scale=None), sound.rate


def read_mono(raw: bytes, *, max_seconds: float, full_scale: float | None) -> tuple[NDArray[np.float32], int]:
    """Samples ``[T]`` in [-1, 1] of the first ``max_seconds`` and a little more, and their rate.

    Raises:
        UnreadableError: they cannot be decoded, are truncated, or are no samples.
    """
    import soundfile

    check_length(raw)
    with _decoding(raw), soundfile.SoundFile(io.BytesIO(raw)) as file:
        wanted = min(file.frames, math.ceil((max_seconds + _BEYOND) * file.samplerate))
        samples = file.read(wanted, dtype="float32", always_2d=True)
        _check_frames(file, read=len(samples), promised=wanted)
        return _mono(samples, is_float=is_float(file), full_scale=full_scale), int(file.samplerate)


@contextmanager
def _decoding(head: bytes | None) -> Iterator[None]:
    """What libsndfile says of a file that begins with ``head``, or of one that it has opened before."""
    import soundfile

    try:
        yield
    except soundfile.LibsndfileError as error:
        if head is None:
            raise _truncated(f"a truncated or damaged file ({error.error_string})") from error
        unread = unread_recording(head)
        if unread is not None:
            raise unreadable(unread, remedy="Convert the recording") from error
        raise unreadable(
            f"bytes that no decoder reads ({error.error_string})",
            remedy=f"Convert it to WAV or FLAC{_OR_ANOTHER}",
        ) from error


def _check_frames(file: Any, *, read: int, promised: int) -> None:
    """Of other formats the length is checked before, or they state no number."""
    if read < promised and file.format == "FLAC":
        raise _truncated(f"a truncated FLAC ({read:,} of {promised:,} samples)")


def _mono(samples: NDArray[np.float32], *, is_float: bool, full_scale: float | None) -> NDArray[np.float32]:
    """The mean of the channels of ``samples [T, C]``, in [-1, 1]."""
    if not np.isfinite(samples).all():
        raise unreadable("samples that are NaN or infinite", remedy="Export the recording again")
    if is_float:
        greatest = float(np.abs(samples).max(initial=0))
        scale = full_scale_of(greatest) if full_scale is None else full_scale
        if greatest > LOUDEST * scale:
            raise unreadable(
                f"samples up to {greatest:g}, beyond {scale:g} as full scale: set columns.NAME.full_scale",
                remedy="Export the recording with samples from -1 to 1",
            )
        samples = samples / np.float32(scale)
    mono: NDArray[np.float32] = samples.mean(axis=1, dtype=np.float32)
    if np.square(mono).sum() < _CANCELLED * np.square(samples).mean(axis=1).sum():
        mono = samples[:, 0]
    return mono
