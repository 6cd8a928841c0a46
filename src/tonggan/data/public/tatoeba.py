"""Tatoeba English-Chinese pairs: cut 90/5/5 with seed 0 so that no English sentence is in two parts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tonggan.data.public.writing import write_csv
from tonggan.progress import Progress

EDGES = {"train": (0.0, 0.9), "valid": (0.9, 0.95), "test": (0.95, 1.0)}


def prepare(files: Mapping[str, Path], folder: Path, progress: Progress) -> dict[str, Path]:  # noqa: ARG001
    """``train.csv``, ``valid.csv`` and ``test.csv`` with the columns english, chinese."""
    return {
        split: write_csv(
            folder / f"{split}.csv",
            ({"english": english, "chinese": chinese} for english, chinese in pairs),
            columns=("english", "chinese"),
        )
        for split, pairs in read_parts(files).items()
    }


def read_parts(files: Mapping[str, Path]) -> dict[str, list[tuple[str, str]]]:
    """The English and Chinese sentences of each pair, by part, in the order of the published file."""
    lines = files["tatoeba_zh_en/cmn.txt"].read_text(encoding="utf-8").splitlines()
    pairs = [(fields[0], fields[1]) for line in lines if len(fields := line.split("\t")) > 1]
    sentences = sorted({english for english, _ in pairs})
    order = np.random.default_rng(0).permutation(len(sentences))
    place = {sentences[index]: rank / len(sentences) for rank, index in enumerate(order)}
    return {
        split: [(english, chinese) for english, chinese in pairs if start <= place[english] < stop]
        for split, (start, stop) in EDGES.items()
    }
