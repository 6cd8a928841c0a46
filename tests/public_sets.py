"""Public data sets in tests: get one, read its tables, and skip where the mirror with their files is absent."""

import csv
import os
from pathlib import Path

import pytest

from tonggan.data.catalogue import find_set
from tonggan.progress import Progress

needs_mirror = pytest.mark.skipif(
    "TONGGAN_MIRROR" not in os.environ, reason="set TONGGAN_MIRROR to a folder with the public sets"
)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def get(name: str, cache: Path) -> dict[str, Path]:
    return find_set(name).get(cache=cache, progress=Progress())


def parts_of(name: str, cache: Path) -> dict[str, list[dict[str, str]]]:
    return {split: rows_of(path) for split, path in get(name, cache).items()}
