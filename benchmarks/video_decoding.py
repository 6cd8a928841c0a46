"""Frames of clips through Tonggan against PyAV alone, and the memory that large and long clips take.

    python benchmarks/video_decoding.py            # generated clips of four kinds; a table
    python benchmarks/video_decoding.py --json

PyAV alone gets the same moments in the two usual ways: all frames in order, of which those are kept ('in order'), and a
seek to the last key frame before each moment ('seeking'). Both scale a kept frame as Tonggan does. Each clip is decoded
in a process of its own; memory is the most that it needs beside what it has after a first, tiny clip (Linux tells), and
seconds are the least of several times, so that other programs count less.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from tonggan.modalities.video import VideoConfig

CONFIG = VideoConfig()
COUNT = CONFIG.frames * CONFIG.draws


class Kind(NamedTuple):
    """A generated clip."""

    width: int
    height: int
    rate: Fraction
    num_frames: int


KINDS = {
    "240p, 2 s": Kind(320, 240, Fraction(12), 24),
    "480p, 1 min": Kind(640, 480, Fraction(25), 1_500),
    "1080p, 10 s": Kind(1920, 1080, Fraction(30), 300),
    "4K, 2 s": Kind(3840, 2160, Fraction(30), 60),
    "3 hours, 64 x 48": Kind(64, 48, Fraction(1), 10_800),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=list(KINDS), metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.kinds:
            path = Path(folder) / "clip.mp4"
            write_clip(path, KINDS[name])
            rows += [{"clip": name, "way": way, **measure(way, path, arguments.repeats)} for way in WAYS]
    print(json.dumps(rows, indent=2) if arguments.json else as_table(rows))


def write_clip(path: Path, kind: Kind) -> None:
    """Coarse noise that moves across, with the key frames of x264's defaults."""
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (kind.height // 16, kind.width // 16, 3), dtype=np.uint8)
    picture = coarse.repeat(16, axis=0).repeat(16, axis=1)
    with av.open(str(path), "w") as file:
        track: Any = file.add_stream("libx264", rate=kind.rate)
        track.height, track.width = picture.shape[:2]
        track.pix_fmt, track.options = "yuv420p", {"preset": "ultrafast"}
        for number in range(kind.num_frames):
            shown = np.roll(picture, 5 * number, axis=1)
            file.mux(track.encode(av.VideoFrame.from_ndarray(shown, format="rgb24")))
        file.mux(track.encode(None))


def through_tonggan(path: Path) -> NDArray[np.uint8]:
    """As a run reads it."""
    return CONFIG.build().decode(path)


def in_order(path: Path) -> NDArray[np.uint8]:
    """Every frame is decoded."""
    with av.open(str(path)) as file:
        track = prepared(file)
        wanted = moments(track)
        frames: list[NDArray[np.uint8]] = []
        last: av.VideoFrame | None = None
        for frame in file.decode(track):
            while last is not None and len(frames) < COUNT and frame.time > wanted[len(frames)]:
                frames.append(small(last))
            last = frame
            if len(frames) == COUNT:
                break
        while last is not None and len(frames) < COUNT:
            frames.append(small(last))
        return np.stack(frames)


def seeking(path: Path) -> NDArray[np.uint8]:
    """A seek for every moment."""
    with av.open(str(path)) as file:
        track = prepared(file)
        return np.stack([small(shown_at(file, track, moment)) for moment in moments(track)])


def shown_at(file: Any, track: Any, moment: float) -> Any:
    file.seek(int(moment / track.time_base), stream=track)
    last = None
    for frame in file.decode(track):
        if last is not None and frame.time > moment:
            return last
        last = frame
    return last


def prepared(file: Any) -> Any:
    """The track of pictures, decoded by as many threads as Tonggan has."""
    track = file.streams.video[0]
    track.thread_type = "AUTO"
    track.codec_context.thread_count = 0 if track.width * track.height > 2e6 else 1
    return track


def moments(track: Any) -> list[float]:
    length = float(track.duration * track.time_base)
    return [length * (number + 0.5) / COUNT + 1e-6 for number in range(COUNT)]


def small(frame: av.VideoFrame) -> NDArray[np.uint8]:
    size = CONFIG.size
    scaled = frame.reformat(width=size, height=size, format="rgb24", interpolation="AREA", threads=1)
    return np.ascontiguousarray(scaled.to_ndarray().transpose(2, 0, 1))


WAYS: dict[str, Callable[[Path], NDArray[np.uint8]]] = {
    "Tonggan": through_tonggan,
    "PyAV, in order": in_order,
    "PyAV, seeking": seeking,
}


def measure(way: str, path: Path, repeats: int) -> dict[str, float]:
    """Seconds, MiB, and the mean difference of a pixel from PyAV's frames in order."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        seconds, memory, frames = pool.apply(decoded, (way, path, repeats))
    truth = in_order(path) if way != "PyAV, in order" else frames
    difference = float(np.abs(frames.astype(int) - truth.astype(int)).mean())
    return {"seconds": round(seconds, 4), "MiB": memory, "difference": round(difference, 2)}


def decoded(way: str, path: Path, repeats: int) -> tuple[float, int, NDArray[np.uint8]]:
    with tempfile.TemporaryDirectory() as folder:
        first = Path(folder) / "first.mp4"
        write_clip(first, Kind(64, 48, Fraction(10), 10))
        WAYS[way](first)
    Path("/proc/self/clear_refs").write_text("5")  # from here on the peak counts
    before = resident("VmRSS")
    times = list(timed(way, path, repeats))
    return min(seconds for seconds, _ in times), (resident("VmHWM") - before) // 1024, times[-1][1]


def resident(name: str) -> int:
    """KiB of memory, now (VmRSS) or at the most (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def timed(way: str, path: Path, repeats: int) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    for _ in range(repeats):
        started = time.perf_counter()
        frames = WAYS[way](path)
        yield time.perf_counter() - started, frames


def as_table(rows: list[dict[str, Any]]) -> str:
    lines = ["| clip | way | seconds | MiB | mean difference |", "| --- | --- | --- | --- | --- |"]
    return "\n".join([*lines, *(f"| {' | '.join(str(value) for value in row.values())} |" for row in rows)])


if __name__ == "__main__":
    main()
