"""Tatoeba pairs in both directions, as rows of a source, the language to translate to, and a target.

The parts are those of ``tatoeba_zh_en``, so no English sentence is in two of them. A pair whose Chinese sentence is
also in a later part is left out, so no Chinese sentence is either.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tonggan.data.public.tatoeba import read_parts
from tonggan.data.public.writing import write_csv
from tonggan.progress import Progress

COLUMNS = ("source", "to", "target")


def prepare(files: Mapping[str, Path], folder: Path, progress: Progress) -> dict[str, Path]:  # noqa: ARG001
    """``train.csv``, ``valid.csv`` and ``test.csv`` with the columns source, to ("en" or "zh"), target."""
    parts = read_parts(files)
    later: set[str] = set()
    for split in ("test", "valid", "train"):
        parts[split] = [pair for pair in parts[split] if pair[1] not in later]
        later |= {chinese for _, chinese in parts[split]}
    return {
        split: write_csv(
            folder / f"{split}.csv",
            (
                row
                for english, chinese in pairs
                for row in (
                    {"source": english, "to": "zh", "target": chinese},
                    {"source": chinese, "to": "en", "target": english},
                )
            ),
            columns=COLUMNS,
        )
        for split, pairs in parts.items()
    }
