"""A CIFAR-10 picture with a spoken digit: does the digit name the index of the picture's class?

Every picture appears twice, once with a recording of its class and once with a recording of another digit, so the
two answers are balanced for each picture and each digit and neither modality alone can tell anything. Train pairs
come from the official train parts only, test pairs from the official test parts only; the validation part holds
pictures and recordings of the train parts that no training pair has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from tonggan.data.public.writing import stratified_parts, write_csv, write_file
from tonggan.progress import Progress

NUM_CLASSES = 10
VALID_FRACTION = 0.1
SEED = 0
COLUMNS = ("picture", "sound", "match", "picture_class", "digit")


def prepare(files: Mapping[str, Path], folder: Path, progress: Progress) -> dict[str, Path]:
    """``train.csv``, ``valid.csv`` and ``test.csv`` with paths of pictures and recordings beside them.

    The columns ``picture_class`` and ``digit`` tell what each half shows; they are no inputs.
    """
    tables = {split: folder / f"{split}.csv" for split in ("train", "valid", "test")}
    if all(path.exists() for path in tables.values()):
        return tables
    pictures = {
        split: _extract(files[f"cifar10/{split}.parquet"], "img", folder, progress) for split in ("train", "test")
    }
    sounds = {split: _extract(files[f"fsdd/{split}.parquet"], "audio", folder, progress) for split in ("train", "test")}
    generator = np.random.default_rng(SEED)
    fractions = {"train": 1 - VALID_FRACTION, "valid": VALID_FRACTION}
    picture_parts = stratified_parts(pictures["train"][1], fractions=fractions, seed=SEED)
    sound_parts = stratified_parts(sounds["train"][1], fractions=fractions, seed=SEED)
    for split, path in tables.items():
        if split == "test":
            rows = _pairs(*pictures["test"], *sounds["test"], generator)
        else:
            rows = _pairs(
                *_choose(pictures["train"], picture_parts[split]),
                *_choose(sounds["train"], sound_parts[split]),
                generator,
            )
        write_csv(path, rows, columns=COLUMNS)
    return tables


def _extract(table: Path, column: str, folder: Path, progress: Progress) -> tuple[list[str], list[int]]:
    """Write each embedded file below ``folder``; return the relative paths and the labels."""
    paths: list[str] = []
    labels: list[int] = []
    data = pq.ParquetFile(table)
    group = f"{table.parent.name}/{table.stem}"
    batches = data.iter_batches(batch_size=1000, columns=[column, "label"])
    for batch in progress.track(batches, label=f"Extracting {group}", total=-(-data.metadata.num_rows // 1000)):
        for media, label in zip(batch[column].to_pylist(), batch["label"].to_pylist(), strict=True):
            # Numbered names: the published ones carry the class, and a model must not see it.
            relative = f"{group}/{len(paths):05d}{Path(media['path']).suffix}"
            write_file(folder / relative, media["bytes"])
            paths.append(relative)
            labels.append(int(label))
    return paths, labels


def _choose(items: tuple[list[str], list[int]], rows: Sequence[int]) -> tuple[list[str], list[int]]:
    return [items[0][row] for row in rows], [items[1][row] for row in rows]


def _pairs(
    pictures: list[str], classes: list[int], sounds: list[str], digits: list[int], generator: np.random.Generator
) -> list[dict[str, Any]]:
    by_digit = [np.flatnonzero(np.array(digits) == digit) for digit in range(NUM_CLASSES)]
    rows = []
    for picture, label in zip(pictures, classes, strict=True):
        other = int((label + generator.integers(1, NUM_CLASSES)) % NUM_CLASSES)
        for digit, match in ((label, "yes"), (other, "no")):
            sound = sounds[int(generator.choice(by_digit[digit]))]
            rows.append({"picture": picture, "sound": sound, "match": match, "picture_class": label, "digit": digit})
    return rows
