"""How many pictures and texts a second 'tonggan index' takes in, from files to an index that is searched.

    python benchmarks/indexing.py [--pictures 400] [--texts 2000] [--threads 1]

Pictures are JPEG of 500 x 375, noise over a few colors with a seed; texts are English and Chinese sentences of Tatoeba.
Everything is embedded for the first time: the folder of caches is new. Beside it the same encoder alone, on pictures
that are decoded and in their size already, and on the same texts. Seconds are those of the processor.
"""

from __future__ import annotations

import argparse
import csv
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch

import tonggan
from tonggan.data.catalogue import find_set
from tonggan.data.places import cache_folder
from tonggan.data.readers import open_table
from tonggan.models.image_embedder import ImageEmbedder, to_square
from tonggan.models.text_embedder import TextEmbedder
from tonggan.progress import Progress

SIDE = 224


def sentences(count: int) -> list[str]:
    tables = find_set("tatoeba_zh_en").get(cache=cache_folder(), progress=Progress())
    table = open_table(tables["train"], cache=cache_folder())
    texts = sorted({str(text) for name in ("english", "chinese") for text in table.values(name)})
    return [texts[place] for place in np.random.default_rng(0).choice(len(texts), count, replace=False)]


def write_pictures(folder: Path, count: int) -> list[np.ndarray]:
    """The files, and what they hold as the encoder takes it."""
    folder.mkdir()
    generator, squares = np.random.default_rng(0), []
    for number in range(count):
        coarse = generator.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        picture = cv2.resize(coarse, (500, 375), interpolation=cv2.INTER_CUBIC)
        picture = np.clip(picture + generator.normal(0, 8, picture.shape), 0, 255).astype(np.uint8)
        path = folder / f"{number}.jpg"
        cv2.imwrite(str(path), picture)
        squares.append(to_square(np.ascontiguousarray(picture[..., ::-1].transpose(2, 0, 1)), side=SIDE))
    return [np.ascontiguousarray(square.transpose(2, 0, 1)) for square in squares]


def timed(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=400)
    parser.add_argument("--texts", type=int, default=2_000)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    texts = sentences(given.texts)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["TONGGAN_CACHE"] = str(folder / "cache")
        squares = write_pictures(folder / "pictures", given.pictures)
        with (folder / "texts.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["text"], *([text] for text in texts)])
        image, text = ImageEmbedder.load("efficientnet_lite0"), TextEmbedder.load("e5")
        image.embed(squares[:8])
        text.embed(texts[:8])
        print("| | in a second | the encoder alone |\n| --- | --- | --- |")
        for what, weights, count, data, alone in (
            ("pictures", "efficientnet_lite0", len(squares), folder / "pictures", lambda: image.embed(squares)),
            ("texts", "e5", len(texts), folder / "texts.csv", lambda: text.embed(texts)),
        ):
            source, out = str(data), folder / f"{what} index"
            whole = timed(lambda source=source, weights=weights, out=out: tonggan.index(weights, source, out=out))
            print(f"| {what} | {count / whole:.0f} | {count / timed(alone):.0f} |", flush=True)


if __name__ == "__main__":
    main()
