"""THUCNews headlines (Sun et al. 2016): the dev file of a common benchmark, cut 80/10/10 by class with seed 0."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tonggan.data.public.writing import stratified_parts, write_csv
from tonggan.progress import Progress

FRACTIONS = {"train": 0.8, "valid": 0.1, "test": 0.1}


def prepare(files: Mapping[str, Path], folder: Path, progress: Progress) -> dict[str, Path]:  # noqa: ARG001
    """``train.csv``, ``valid.csv`` and ``test.csv`` with the columns headline, class."""
    names = files["thucnews/class.txt"].read_text(encoding="utf-8").split()
    lines = files["thucnews/dev.txt"].read_text(encoding="utf-8").splitlines()
    rows = []
    for line in lines:
        headline, _, number = line.rpartition("\t")
        rows.append({"headline": headline, "class": names[int(number)]})
    parts = stratified_parts([row["class"] for row in rows], fractions=FRACTIONS)
    return {
        split: write_csv(folder / f"{split}.csv", (rows[row] for row in chosen), columns=("headline", "class"))
        for split, chosen in parts.items()
    }
