"""Frames of a clip by the time at which they are shown, found by seeking: an hour costs no more than it must.

Never more than a few frames are in memory. Between two wanted moments a clip is decoded from the last key frame on;
where key frames lie far apart and frames are large, a moment may be shown by a key frame of the same part of the clip.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tonggan.errors import UnreadableError
from tonggan.modalities.base import Encoded
from tonggan.modalities.containers import is_indexed, opened, truncated, unreadable

MAX_PIXELS = 200_000_000  # of a frame, at the very most
_THING = "clip"
_FRAME = 20_000  # pixels that are decoded in the time that a frame takes beside its own
_NEAR = 4e6  # pixels that are sooner decoded than sought
_AFFORDED = 128e6  # pixels that are decoded for one moment where a key frame of its part would do
_MOST = 60e9  # pixels that are decoded of a clip at all: half an hour of 1080p
_THREADED = 2e6  # pixels of a frame that several threads decode
_USUAL_RATE = 30
_ROUNDING = 1e-6  # seconds, far less than between any two frames


@dataclass(frozen=True)
class Header:
    """What a clip's header says.

    Attributes:
        start, end: seconds, of what is shown.
        width, height: of a frame as it is seen, in pixels.
        has_sound: whether there is a sound track.
    """

    start: float
    end: float
    width: int
    height: int
    has_sound: bool


def read_header(source: Encoded, *, max_pixels: int) -> Header:
    """The header of a clip.

    Raises:
        UnreadableError: as ``read_frames``.
    """
    with opened(source, thing=_THING) as container:
        return _header(container, _track(container, max_pixels=max_pixels))


def read_frames(
    source: Encoded, *, parts: int, draws: int, size: int, resize: Literal["squash", "crop", "pad"], max_pixels: int
) -> NDArray[np.uint8]:
    """uint8 ``[parts * draws, 3, size, size]``: the frames that are shown at the middles of as many equal spans.

    Args:
        source: the clip.
        parts: parts of equal length.
        draws: moments in each of them.
        size: height and width that a frame is brought to, turned upright.
        resize: how a frame that is not square becomes square.
        max_pixels: of a frame; larger ones are refused.

    Raises:
        MissingExtraError: PyAV is not installed.
        UnreadableError: empty, truncated or damaged, without a track of pictures or a frame in it, of a codec that
            FFmpeg lacks here, or too large.
    """
    with ExitStack() as stack:
        container = stack.enter_context(opened(source, thing=_THING))
        track = _track(container, max_pixels=max_pixels)
        header = _header(container, track)

        def again() -> Any:
            return stack.enter_context(opened(source, thing=_THING))

        reader = _Reader(container, track, again if is_indexed(container) else None, max_pixels=max_pixels)
        length, count = header.end - header.start, parts * draws
        frames: list[NDArray[np.uint8]] = []
        last: Any = None
        for number in range(count):
            part = header.start + length * (number // draws) / parts
            frame = reader.at(header.start + length * (number + 0.5) / count + _ROUNDING, since=part)
            frames.append(frames[-1] if frame is last else _square(frame, size=size, resize=resize))
            last = frame
        return np.stack(frames)


def _track(container: Any, *, max_pixels: int) -> Any:
    """The track of pictures, ready to be decoded."""
    import av.stream

    cover = av.stream.Disposition.attached_pic
    tracks = [each for each in container.streams.video if not each.disposition & cover]
    if not tracks:
        got, remedy = "a file without a track of pictures", "Record the clip again, or leave the cell empty"
        if container.streams.audio:
            got, remedy = "a file with sound alone", "Declare the column as audio, or leave the cell empty"
        raise unreadable(_THING, got, expected="a clip with a track of pictures", remedy=remedy)
    track = tracks[0]
    coder = track.codec_context
    if coder is None or not coder.codec.is_decoder:
        got = f"pictures in the codec {_codec(track)}, which is not decoded here"
        raise unreadable(_THING, got, expected="a codec such as H.264, VP9 or AV1", remedy="Convert the clip to H.264")
    if coder.width * coder.height > max_pixels:
        raise _too_large(coder.width, coder.height, max_pixels)
    coder.options = {"max_pixels": str(max_pixels)}
    coder.thread_type = "AUTO"
    coder.thread_count = 0 if coder.width * coder.height > _THREADED else 1
    return track


def _codec(track: Any) -> str:
    coder = track.codec_context
    return repr(coder.codec_tag if coder is not None else "unknown")


def _without_frames() -> UnreadableError:
    got, remedy = "a track of pictures without a frame", "Record the clip again, or leave the cell empty"
    return unreadable(_THING, got, expected="a clip with frames", remedy=remedy)


def _too_large(width: int, height: int, max_pixels: int) -> UnreadableError:
    remedy = "Scale the clip down, or raise max_pixels of the column if you trust it"
    expected = f"frames of at most {max_pixels:,} pixels"
    return unreadable(_THING, f"frames of {width:,} x {height:,} pixels", expected=expected, remedy=remedy)


def _header(container: Any, track: Any) -> Header:
    start = 0.0 if track.start_time is None else float(track.start_time * track.time_base)
    coder = track.codec_context
    ratio = float(track.sample_aspect_ratio or 1)
    end = start + _length(container, track, start)
    return Header(start, end, round(coder.width * ratio), coder.height, bool(container.streams.audio))


def _length(container: Any, track: Any, start: float) -> float:
    """Seconds that a track is shown."""
    if track.duration:
        return float(track.duration) * float(track.time_base)
    told = track.metadata.get("DURATION", "")
    try:
        hours, minutes, seconds = told.split(":")
        return max(0.0, int(hours) * 3600 + int(minutes) * 60 + float(seconds) - start)
    except ValueError:
        pass
    if container.duration:
        return max(0.0, float(container.duration) / 1e6 - start)
    # Written while it was streamed: its packets tell.
    ends = [float((packet.pts + (packet.duration or 0)) * packet.time_base) for packet in _packets(container, track)]
    if not ends:
        return 0.0
    container.seek(0)
    return max(0.0, max(ends) - start)


def _packets(container: Any, track: Any) -> Iterator[Any]:
    return (packet for packet in container.demux(track) if packet.pts is not None)


class _Reader:
    """Finds the frames of an opened track, moment after moment.

    Args:
        container: the file.
        track: its track of pictures.
        again: opens it once more, to look for key frames without leaving the place; None where there is no index.
        max_pixels: of a frame.
    """

    def __init__(self, container: Any, track: Any, again: Callable[[], Any] | None, *, max_pixels: int) -> None:
        self._container, self._track, self._again, self._max_pixels = container, track, again, max_pixels
        self._probe: Any = None
        rate = float(track.average_rate or track.guessed_rate or _USUAL_RATE)
        pixels = track.codec_context.width * track.codec_context.height
        self._per_second = (pixels + _FRAME) * min(max(rate, 1.0), 240.0)
        self._frames = container.decode(track)
        self._shown: Any = None
        self._next: Any = None
        self._time = 0.0 if track.start_time is None else float(track.start_time * track.time_base)
        self._has_ended = False
        self._decoded = 0.0

    def at(self, moment: float, *, since: float) -> Any:
        """The frame that is shown at ``moment``, or where that costs too much one that was shown ``since``."""
        if not self._has_ended and self._again is not None and (moment - self._time) * self._per_second > _NEAR:
            moment = self._approach(moment, since=since)
        while not self._has_ended and (self._next is None or _time(self._next) <= moment):
            following = self._decode()
            if following is None:
                self._has_ended = True
            else:
                self._shown, self._next = self._next, following
                self._time = self._time if self._shown is None else _time(self._shown)
        # The first frame of all may be shown later than a clip begins.
        is_next = self._next is not None and (self._shown is None or _time(self._next) <= moment)
        frame = self._next if is_next else self._shown
        if frame is None:
            raise _without_frames()
        if frame.is_corrupt:
            raise truncated(_THING, f"damaged bytes (the frame at {_time(frame):.2f} s cannot be decoded)")
        return frame

    def _approach(self, moment: float, *, since: float) -> float:
        """Go to the last key frame before ``moment``; the moment that is then decoded up to."""
        key = self._key_before(moment)
        if key is None:
            return moment
        if key > self._time:
            self._jump(key)
        reached = max(key, self._time)
        is_dear = (moment - reached) * self._per_second > _AFFORDED
        return reached if is_dear and reached >= since else moment

    def _decode(self) -> Any:
        frame = next(self._frames, None)
        if frame is None:
            return None
        if frame.width * frame.height > self._max_pixels:
            raise _too_large(frame.width, frame.height, self._max_pixels)
        self._decoded += frame.width * frame.height
        if self._decoded > _MOST:
            got = f"frames that depend on more than {_MOST / 1e9:g} billion pixels before them"
            remedy = "Convert the clip to one with a key frame every few seconds"
            raise unreadable(_THING, got, expected="a clip with key frames", remedy=remedy)
        return frame

    def _key_before(self, moment: float) -> float | None:
        """The time of the last key frame that is shown before ``moment``; None where a seek does not tell."""
        import av

        assert self._again is not None, "a key frame is looked for in a file with an index"
        try:
            if self._probe is None:
                self._probe = self._again()
            self._seek(self._probe, moment)
            packet = next(_packets(self._probe, self._probe.streams[self._track.index]), None)
        except av.FFmpegError:
            self._again = None
            return None
        found = None if packet is None or not packet.is_keyframe else float(packet.pts * packet.time_base)
        return found if found is not None and found <= moment else None

    def _jump(self, moment: float) -> None:
        """Go on at the key frame of ``moment``."""
        self._seek(self._container, moment)
        self._frames = self._container.decode(self._track)
        self._shown = self._next = None
        self._time = moment

    def _seek(self, container: Any, moment: float) -> None:
        track = container.streams[self._track.index]
        container.seek(math.floor(moment / track.time_base + 1e-6), stream=track)


def _time(frame: Any) -> float:
    """When a frame is shown, in seconds."""
    return 0.0 if frame.time is None else float(frame.time)


def _square(frame: Any, *, size: int, resize: str) -> NDArray[np.uint8]:
    """uint8 ``[3, size, size]`` RGB of a frame, scaled, turned upright and made square."""
    ratio = float(getattr(frame, "sample_aspect_ratio", None) or 1)
    width, height = frame.width * ratio, float(frame.height)
    target = (size, size)
    if resize != "squash":
        scale = size / (min(width, height) if resize == "crop" else max(width, height))
        target = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = "AREA" if frame.width * frame.height > target[0] * target[1] else "BILINEAR"
    small = frame.reformat(width=target[0], height=target[1], format="rgb24", interpolation=method, threads=1)
    pixels: NDArray[np.uint8] = np.rot90(small.to_ndarray(), k=round(frame.rotation / 90))
    rows, columns = pixels.shape[:2]
    if resize == "crop":
        top, left = (rows - size) // 2, (columns - size) // 2
        pixels = pixels[top : top + size, left : left + size]
    elif resize == "pad":
        down, right = size - rows, size - columns
        pixels = np.pad(pixels, ((down // 2, down - down // 2), (right // 2, right - right // 2), (0, 0)))
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def centers(parts: int, draws: int) -> Sequence[int]:
    """Of ``parts * draws`` moments the middle one of each part."""
    return [part * draws + draws // 2 for part in range(parts)]
