"""OpenMoji drawings with their English and Chinese names, one emoji of each family, nothing of which is in two parts.

Flags have no group. Of all variants of an emoji (tones of skin, a woman and a man, facing right) one alone is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tonggan.data.public.emojis import code_points, draw, family_of, read_names, tones_of
from tonggan.data.public.few_pictures import read_groups
from tonggan.data.public.writing import write_csv, write_file
from tonggan.progress import Progress

COLUMNS = ("drawing", "english", "chinese", "group")
SIZE = 160
SEED = 0
NUM_TEST, NUM_VALID = 200, 150


def prepare(files: Mapping[str, Path], folder: Path, progress: Progress) -> dict[str, Path]:  # noqa: ARG001
    """``train.csv``, ``valid.csv`` and ``test.csv``: paths of 160x160 drawings beside them, names, and Unicode's group.

    Raises:
        MissingExtraError: a package is not installed.
    """
    tables = {split: folder / f"{split}.csv" for split in ("train", "valid", "test")}
    if all(path.exists() for path in tables.values()):
        return tables
    groups, names = read_groups(), read_names()
    first = {family_of(emoji): emoji for emoji in reversed(names) if not tones_of(emoji)}
    drawings = draw([emoji for emoji in names if first.get(family_of(emoji)) == emoji], size=SIZE, progress=progress)
    emojis = list(drawings)
    order = np.random.default_rng(SEED).permutation(len(emojis))
    ends = (NUM_TEST, NUM_TEST + NUM_VALID)
    parts = {"test": order[: ends[0]], "valid": order[ends[0] : ends[1]], "train": order[ends[1] :]}
    for emoji, drawing in drawings.items():
        write_file(folder / _path(emoji), drawing)
    for split, path in tables.items():
        chosen = [emojis[place] for place in parts[split].tolist()]
        rows = (
            {
                "drawing": _path(emoji),
                "english": names[emoji]["en"],
                "chinese": names[emoji]["zh"],
                "group": groups.get(emoji, ""),
            }
            for emoji in chosen
        )
        write_csv(path, rows, columns=COLUMNS)
    return tables


def _path(emoji: str) -> str:
    return f"drawings/{code_points(emoji)}.png"
