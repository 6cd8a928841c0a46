"""Real clips made by PyAV, for tests that read them."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

COLORS = RED, GREEN, BLUE = (200, 0, 0), (0, 200, 0), (0, 0, 200)


def plain(color: Sequence[int], *, width: int = 64, height: int = 48) -> np.ndarray:
    """One picture of one color."""
    return np.full((height, width, 3), color, dtype=np.uint8)


def write_clip(
    path: Path,
    pictures: Sequence[np.ndarray],
    *,
    times: Sequence[float] | None = None,
    rate: int | Fraction = 10,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    sound: np.ndarray | None = None,
    rotation: float | None = None,
    pixels: str = "yuv420p",
) -> Path:
    """A clip of ``pictures`` [H, W, 3] that are shown from ``times`` (seconds) on, one after the other by default.

    Args:
        sound: samples float32 [T] at 16 kHz of a sound track; None writes none.
        rotation: degrees that a player turns it by, counterclockwise.
    """
    with av.open(str(path), "w") as file:
        track: Any = file.add_stream(codec, rate=rate)
        track.height, track.width = pictures[0].shape[:2] if pictures else (48, 64)
        track.pix_fmt, track.options = pixels, options or {}
        if times is not None:
            track.codec_context.time_base = track.time_base = Fraction(1, 1000)
        if rotation is not None:
            track.set_display_rotation(rotation)
        voice: Any = None
        if sound is not None:
            voice = file.add_stream("libopus" if path.suffix in (".webm", ".mkv") else "aac", rate=48_000)
            voice.layout = "mono"
        file.start_encoding()
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = round(times[number] * 1000), track.codec_context.time_base
            file.mux(track.encode(frame))
        file.mux(track.encode(None))
        if voice is not None:
            samples = np.repeat(sound, 3)[None].astype(np.float32)
            for start in range(0, samples.shape[1], 960):
                part = av.AudioFrame.from_ndarray(
                    np.ascontiguousarray(samples[:, start : start + 960]), format="fltp", layout="mono"
                )
                part.sample_rate, part.pts = 48_000, start
                file.mux(voice.encode(part))
            file.mux(voice.encode(None))
    return path
