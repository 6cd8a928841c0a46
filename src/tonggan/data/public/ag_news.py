"""AG News (Zhang et al. 2015): the official test file, cut 80/10/10 by class with seed 0."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from tonggan.data.public.writing import stratified_parts, write_csv
from tonggan.progress import Progress

CLASSES = {"1": "World", "2": "Sports", "3": "Business", "4": "Sci/Tech"}
FRACTIONS = {"train": 0.8, "valid": 0.1, "test": 0.1}


def prepare(files: Mapping[str, Path], folder: Path, progress: Progress) -> dict[str, Path]:  # noqa: ARG001
    """``train.csv``, ``valid.csv`` and ``test.csv`` with the columns title, description, class."""
    with files["ag_news/test.csv"].open(newline="", encoding="utf-8") as file:
        rows = [
            {"title": title, "description": description, "class": CLASSES[number]}
            for number, title, description in csv.reader(file)
        ]
    parts = stratified_parts([row["class"] for row in rows], fractions=FRACTIONS)
    return {
        split: write_csv(
            folder / f"{split}.csv", (rows[row] for row in chosen), columns=("title", "description", "class")
        )
        for split, chosen in parts.items()
    }
