"""Clips of a drawing that moves over a photograph in one of eight ways: which way, and what is it?

The drawings are OpenMoji's, the photographs CIFAR-10's, of whose official parts each part takes its own. In the middle
of its clip a drawing has a random place, size and turn, whichever way it moves: one frame cannot tell the way.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tonggan.data.public.emojis import draw
from tonggan.data.public.writing import write_csv
from tonggan.errors import MissingExtraError
from tonggan.progress import Progress

NUM_CLIPS = {"train": 1_600, "valid": 240, "test": 400}
COLUMNS = ("clip", "motion", "object")
SEED = 0
SIZE, RATE, NUM_FRAMES = 64, 12, 24
_DRAWN, _SMALLEST, _LARGEST = 64, 18, 26
_REACH = 12.0  # pixels to each side of the middle of the way
_GROWTH, _TURN = 1.7, 60.0  # from the middle to the end: times the size, degrees
_WHITE = 250


class Way(NamedTuple):
    """How a drawing changes from the middle of its clip to the end, as it has changed before."""

    across: float = 0.0
    down: float = 0.0
    growth: float = 1.0
    turn: float = 0.0


WAYS = {
    "left": Way(across=-_REACH),
    "right": Way(across=_REACH),
    "up": Way(down=-_REACH),
    "down": Way(down=_REACH),
    "grow": Way(growth=_GROWTH),
    "shrink": Way(growth=1 / _GROWTH),
    "turn left": Way(turn=_TURN),
    "turn right": Way(turn=-_TURN),
}
OBJECTS = {
    "apple": "🍎",
    "bicycle": "🚲",
    "cactus": "🌵",
    "car": "🚗",
    "fish": "🐟",
    "guitar": "🎸",
    "key": "🔑",
    "umbrella": "🌂",
}


def prepare(files: Mapping[str, Path], folder: Path, progress: Progress) -> dict[str, Path]:
    """``train.csv``, ``valid.csv`` and ``test.csv`` with the paths of MP4 files beside them.

    The columns: clip, motion (one of ``WAYS``), object (one of ``OBJECTS``).

    Raises:
        MissingExtraError: PyAV or the drawings are not installed.
    """
    tables = {split: folder / f"{split}.csv" for split in NUM_CLIPS}
    if all(path.exists() for path in tables.values()):
        return tables
    drawings = _drawings(progress)
    photographs = {part: _photographs(files[f"cifar10/{part}.parquet"]) for part in ("train", "test")}
    # Training and validation take the two halves of one part.
    half = len(photographs["train"]) // 2
    grounds = {
        "train": photographs["train"][:half],
        "valid": photographs["train"][half:],
        "test": photographs["test"],
    }
    for number, (split, path) in enumerate(tables.items()):
        generator = np.random.default_rng([SEED, number])
        rows = []
        total = NUM_CLIPS[split]
        for row in progress.track(range(total), label=f"Making clips of {split}", total=total):
            motion, thing = list(WAYS)[row % len(WAYS)], list(OBJECTS)[row // len(WAYS) % len(OBJECTS)]
            ground = grounds[split][int(generator.integers(len(grounds[split])))]
            pictures = _pictures(drawings[thing], _decoded(ground, SIZE), WAYS[motion], generator)
            # Numbered by chance: an order of names would tell the classes.
            relative = f"{split}/{generator.integers(1 << 48):012x}.mp4"
            write_clip(folder / relative, pictures)
            rows.append({"clip": relative, "motion": motion, "object": thing})
        write_csv(path, [rows[place] for place in generator.permutation(total)], columns=COLUMNS)
    return tables


def _drawings(progress: Progress) -> dict[str, NDArray[np.float32]]:
    """By object float32 ``[S, S, 4]``: from 0 to 1 what is no background, behind colors that are multiplied by it."""
    import cv2

    drawn = draw(OBJECTS.values(), size=_DRAWN, progress=progress)
    drawings = {}
    for thing, emoji in OBJECTS.items():
        pixels = _decoded(drawn[emoji], _DRAWN)
        outside = (pixels.min(axis=2) >= _WHITE).astype(np.uint8)
        edged = np.pad(outside, 1, constant_values=1)
        cv2.floodFill(edged, None, (0, 0), 2)  # white inside of a drawing is part of it
        inside = (edged[1:-1, 1:-1] != 2).astype(np.float32)[..., None]
        drawings[thing] = np.concatenate([pixels * inside, inside], axis=2)
    return drawings


def _photographs(table: Path) -> list[bytes]:
    """The encoded pictures at the beginning of a table, enough for each clip to have its own."""
    batch = next(pq.ParquetFile(table).iter_batches(batch_size=2 * max(NUM_CLIPS.values()), columns=["img"]))
    return [cell["bytes"] for cell in batch["img"].to_pylist()]


def _decoded(raw: bytes, size: int) -> NDArray[np.uint8]:
    import PIL.Image

    picture = PIL.Image.open(io.BytesIO(raw)).convert("RGB").resize((size, size), PIL.Image.Resampling.BICUBIC)
    return np.asarray(picture)


def _pictures(
    drawing: NDArray[np.float32], ground: NDArray[np.uint8], way: Way, generator: np.random.Generator
) -> list[NDArray[np.uint8]]:
    """The frames of a clip."""
    import cv2

    size = generator.uniform(_SMALLEST, _LARGEST)
    margin = _REACH + size / 2
    middle = generator.uniform(margin, SIZE - margin, size=2)
    turn = generator.uniform(-180, 180)
    pictures = []
    for phase in np.linspace(-1, 1, NUM_FRAMES):
        scale = size * way.growth**phase / _DRAWN
        matrix = cv2.getRotationMatrix2D((_DRAWN / 2, _DRAWN / 2), turn + way.turn * phase, scale)
        matrix[:, 2] += middle + np.array([way.across, way.down]) * phase - _DRAWN / 2
        placed = cv2.warpAffine(drawing, matrix, (SIZE, SIZE), flags=cv2.INTER_AREA)
        shown = placed[..., :3] + ground * (1 - placed[..., 3:])
        pictures.append(np.clip(shown, 0, 255).astype(np.uint8))
    return pictures


def write_clip(path: Path, pictures: list[NDArray[np.uint8]]) -> None:
    """Write uint8 ``[H, W, 3]`` RGB pictures as an MP4 of H.264, the same bytes every time.

    Raises:
        MissingExtraError: PyAV is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise MissingExtraError.of("av", extra="video", purpose="writing clips") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as file:
        track: Any = file.add_stream("libx264", rate=RATE)
        track.height, track.width = pictures[0].shape[:2]
        track.pix_fmt, track.options = "yuv420p", {"crf": "20", "preset": "veryfast"}
        track.thread_count = 1
        for picture in pictures:
            file.mux(track.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(track.encode(None))
