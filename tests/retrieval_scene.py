"""A small store that tests of ``tonggan.retrieval`` share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tonggan.retrieval.store import Row, Store

DIM = 16


def open_store(folder: Path, **changes: Any) -> Store:
    settings: dict[str, Any] = {"analyze": str.split, "dim": DIM, "version": "1", **changes}
    return Store.open(folder, **settings)


def vector_of(seed: int) -> np.ndarray:
    vector = np.random.default_rng(seed).standard_normal(DIM).astype(np.float32)
    return vector / np.linalg.norm(vector)


def make_row(number: int, *, group: str = "g", text: str | None = None, **fields: str | int | float) -> Row:
    return Row(f"row{number}", group, f"hash of {group}", text or f"common word{number}", fields, vector_of(number))


def fill(store: Store, rows: Sequence[Row]) -> None:
    with store.writing() as writer:
        writer.put(rows)
