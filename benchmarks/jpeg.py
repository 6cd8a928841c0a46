"""JPEG bytes to a small square of pixels: Image.decode, with all its checks, against Pillow's decode and resize.

One thread each, repeats of all interleaved in one process. Pillow is timed as most code calls it and, for a fair second
look, with ``draft``, its own reduced decoding. Run: python benchmarks/jpeg.py; with TONGGAN_MIRROR set, the 364 blood
pictures of BCCD are timed too.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import PIL.Image

from tonggan.modalities.image import ImageConfig

SIZES = ((500, 375), (1024, 768), (2000, 1500))


def make_photo(width: int, height: int, *, seed: int) -> bytes:
    """A JPEG with the spectrum of a photograph: the energy of a frequency falls with its square, and edges on top."""
    random = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3), np.float32)
    for octave in range(2, 10):
        cells = random.standard_normal((2**octave * 3 // 4 + 1, 2**octave + 1, 3)).astype(np.float32)
        picture += cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC) * 0.55**octave
    picture = (picture - picture.min()) / np.ptp(picture) * 255
    for _ in range(12):
        center = (int(random.integers(width)), int(random.integers(height)))
        shade = tuple(float(value) for value in random.uniform(0, 255, 3))
        cv2.circle(picture, center, int(random.integers(height // 20, height // 5)), shade, thickness=-1)
    picture += random.normal(0, 3, picture.shape).astype(np.float32)
    file = io.BytesIO()
    PIL.Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


def read_bccd(archive: Path, limit: int) -> list[bytes]:
    with zipfile.ZipFile(archive) as file:
        names = sorted(name for name in file.namelist() if name.lower().endswith((".jpg", ".jpeg")))
        return [file.read(name) for name in names[:limit]]


def pillow_decode(raw: bytes, size: int, *, draft: bool) -> np.ndarray:
    picture = PIL.Image.open(io.BytesIO(raw))
    if draft:
        picture.draft("RGB", (size, size))
    resized = picture.convert("RGB").resize((size, size), PIL.Image.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(resized).transpose(2, 0, 1))


def measure(pictures: list[bytes], *, size: int, repeats: int) -> dict[str, float]:
    """Median milliseconds a picture of each way."""
    image = ImageConfig(size=size).build()
    ways: dict[str, Callable[[bytes], np.ndarray]] = {
        "pillow": lambda raw: pillow_decode(raw, size, draft=False),
        "pillow with draft": lambda raw: pillow_decode(raw, size, draft=True),
        "tonggan": image.decode,
    }
    for raw in pictures[:2]:  # the same picture, and a warm-up
        difference = np.abs(ways["pillow"](raw).astype(int) - ways["tonggan"](raw)).mean()
        assert difference < 6, f"the pictures differ by {difference:.1f} grey levels"
        ways["pillow with draft"](raw)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, decode in ways.items():
            start = time.perf_counter()
            for raw in pictures:
                decode(raw)
            seconds[name].append((time.perf_counter() - start) / len(pictures))
    return {name: 1e3 * statistics.median(values) for name, values in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--size", type=int, default=64)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    sets = {
        f"photos of {width} x {height}": [make_photo(width, height, seed=seed) for seed in range(options.pictures)]
        for width, height in SIZES
    }
    mirror = os.environ.get("TONGGAN_MIRROR")
    if mirror:
        sets["BCCD"] = read_bccd(Path(mirror) / "bccd" / "BCCD.zip", 5 * options.pictures)
    ratios = []
    for name, pictures in sets.items():
        medians = measure(pictures, size=options.size, repeats=options.repeats)
        ratios.append(medians["pillow"] / medians["tonggan"])
        times = ", ".join(f"{way} {value:.2f} ms" for way, value in medians.items())
        against_draft = medians["pillow with draft"] / medians["tonggan"]
        kilobytes = statistics.mean(len(raw) for raw in pictures) / 1024
        print(f"{name} ({kilobytes:.0f} kB): {times}; {ratios[-1]:.2f}x, with draft {against_draft:.2f}x")
    print(f"ratio {statistics.median(ratios):.2f}x, lowest {min(ratios):.2f}x (goal 2x)")


if __name__ == "__main__":
    main()
