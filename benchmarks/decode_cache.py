"""Time of an epoch over pictures with the decode cache against decoding them anew; prints the ratio.

Both read the same picture files, and yield the same batches. Run: python benchmarks/decode_cache.py [--pictures N]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import torch

from tonggan.data.cache import DecodeCache
from tonggan.data.dataset import Dataset, MediaSource
from tonggan.data.loader import Loader
from tonggan.data.readers import open_table
from tonggan.data.scan import scan_media
from tonggan.modalities import Image, ImageConfig
from tonggan.progress import Progress
from tonggan.tokens import Arrays

BATCH_SIZE = 64


def write_pictures(folder: Path, count: int, *, side: int) -> list[str]:
    """JPEG files of smooth noise, which compresses like photographs."""
    random = np.random.default_rng(0)
    names = [f"{number}.jpg" for number in range(count)]
    for name in names:
        coarse = random.integers(0, 256, (side // 16, side // 16, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / name), cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC))
    return names


def epoch_without_cache(paths: list[Path], modality: Image, *, workers: int) -> Iterator[Arrays]:
    """Decode each batch when it is needed, on all threads, as a data loader without a cache does."""
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(paths), BATCH_SIZE):
            batch = paths[start : start + BATCH_SIZE]
            yield modality.collate(list(pool.map(lambda path: modality.decode(path.read_bytes()), batch)))


def seconds(epoch: Callable[[], Iterator[object]]) -> float:
    start = time.perf_counter()
    for _ in epoch():
        pass
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--side", type=int, default=256, help="height and width of the files in pixels")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    modality = ImageConfig(size=64).build()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        names = write_pictures(folder, options.pictures, side=options.side)
        paths = [folder / name for name in names]
        table = open_table(pa.table({"picture": [str(path) for path in paths]}), cache=folder / "cache")
        cache = DecodeCache(folder / "cache", modality)
        start = time.perf_counter()
        column = scan_media(table, "picture", modality, cache, progress=Progress(), workers=options.workers)
        fill = time.perf_counter() - start
        dataset = Dataset({"picture": MediaSource(modality, column, cache)}, np.arange(len(table)))
        loader = Loader(dataset, batch_size=BATCH_SIZE)
        for one, other in zip(epoch_without_cache(paths, modality, workers=2), loader.epoch(0), strict=True):
            assert torch.equal(one.values, other.inputs["picture"].values)
        with_cache, without = [], []
        for _ in range(options.repeats):
            without.append(seconds(lambda: epoch_without_cache(paths, modality, workers=options.workers)))
            with_cache.append(seconds(lambda: loader.epoch(0)))
    slow, fast = statistics.median(without), statistics.median(with_cache)
    print(f"{options.pictures} JPEG pictures of {options.side} x {options.side}, brought to 64 x 64")
    print(f"first scan, which fills the cache: {fill:.3f} s")
    print(f"epoch without the cache:           {slow:.3f} s")
    print(f"epoch with the cache:              {fast:.3f} s")
    print(f"ratio:                             {slow / fast:.1f}")


if __name__ == "__main__":
    main()
