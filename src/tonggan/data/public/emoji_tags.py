"""OpenMoji drawings with tags: Unicode's group and subgroup, and words that many names share.

Of all variants of an emoji (tones of skin, a woman and a man, facing right) one alone is kept, so that no emoji is in
two parts. Which tags there are is decided by the training part: those of at least ``LEAST`` of its drawings.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tonggan.data.public.emojis import code_points, draw, family_of, read_names, tones_of
from tonggan.data.public.few_pictures import GROUPS, LEFT_OUT
from tonggan.data.public.writing import write_csv, write_file
from tonggan.progress import Progress

COLUMNS = ("drawing", "tags", "english", "emoji")
SIZE = 160
SEED = 0
NUM_TEST, NUM_VALID = 300, 150
LEAST = 12
_STOPS = {"a", "and", "of", "on", "the", "with", "in", "for", "no", "not", "to"}


def prepare(files: Mapping[str, Path], folder: Path, progress: Progress) -> dict[str, Path]:  # noqa: ARG001
    """``train.csv``, ``valid.csv`` and ``test.csv``: paths of 160x160 drawings beside them, tags, name, code points.

    Raises:
        MissingExtraError: a package is not installed.
        DataError: the groups are of another version.
    """
    tables = {split: folder / f"{split}.csv" for split in ("train", "valid", "test")}
    if all(path.exists() for path in tables.values()):
        return tables
    kinds, names = _read_kinds(), read_names()
    first = {family_of(emoji): emoji for emoji in reversed(names) if emoji in kinds and not tones_of(emoji)}
    drawings = draw([emoji for emoji in names if first.get(family_of(emoji)) == emoji], size=SIZE, progress=progress)
    emojis = list(drawings)
    order = [emojis[place] for place in np.random.default_rng(SEED).permutation(len(emojis))]
    ends = (NUM_TEST, NUM_TEST + NUM_VALID)
    parts = {"test": order[: ends[0]], "valid": order[ends[0] : ends[1]], "train": order[ends[1] :]}
    tags = {emoji: [*kinds[emoji], *_words(names[emoji]["en"])] for emoji in emojis}
    counts = Counter(tag for emoji in parts["train"] for tag in set(tags[emoji]))
    for emoji, drawing in drawings.items():
        write_file(folder / _path(emoji), drawing)
    for split, path in tables.items():
        rows = (
            {
                "drawing": _path(emoji),
                "tags": "|".join(dict.fromkeys(tag for tag in tags[emoji] if counts[tag] >= LEAST)) or "|",
                "english": names[emoji]["en"],
                "emoji": code_points(emoji),
            }
            for emoji in parts[split]
        )
        write_csv(path, rows, columns=COLUMNS)
    return tables


def _read_kinds() -> dict[str, tuple[str, str]]:
    """Group and subgroup of each emoji, as tags; flags are left out, as a look at any of them tells what it is."""
    entries = json.loads((GROUPS.folder() / "data" / "emoji.json").read_text(encoding="utf-8"))
    return {
        "".join(chr(int(code, 16)) for code in entry["unified"].split("-")): (
            entry["category"].lower(),
            entry["subcategory"].replace("-", " "),
        )
        for entry in entries
        if entry["category"] not in LEFT_OUT
    }


def _words(name: str) -> list[str]:
    """The words of a name, in the order in which they stand there."""
    return [word for word in re.findall(r"[a-z]{2,}", name.lower()) if word not in _STOPS]


def _path(emoji: str) -> str:
    return f"drawings/{code_points(emoji)}.png"
