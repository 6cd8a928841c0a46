"""Writing the tables of public sets and the files beside them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from tonggan.files import whole_file


def write_csv(path: Path, rows: Iterable[Mapping[str, object]], *, columns: Sequence[str]) -> Path:
    """Write ``rows`` as CSV at ``path``, replacing it atomically."""
    with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_file(path: Path, content: bytes) -> None:
    """Write ``content`` at ``path`` unless a file of that length is there; what a kill cut short is written again."""
    if path.exists() and path.stat().st_size == len(content):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def stratified_parts(
    labels: Sequence[object], *, fractions: Mapping[str, float], seed: int = 0
) -> dict[str, list[int]]:
    """Row positions of each part: every class is cut at the same fractions, in the order of a seeded permutation."""
    generator = np.random.default_rng(seed)
    groups: dict[object, list[int]] = {}
    for row, label in enumerate(labels):
        groups.setdefault(label, []).append(row)
    parts: dict[str, list[int]] = {name: [] for name in fractions}
    for label in sorted(groups, key=str):
        rows = generator.permutation(groups[label])
        edges = np.round(np.cumsum([0.0, *fractions.values()]) * len(rows)).astype(int)
        for name, start, stop in zip(fractions, edges[:-1], edges[1:], strict=True):
            parts[name].extend(int(row) for row in rows[start:stop])
    return {name: sorted(rows) for name, rows in parts.items()}
