"""A table of named colors: a name, the color as numbers, and a picture of it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tonggan.weights import CATALOGUE

SETTINGS = {"training.epochs": 12, "space.dim": 32, "space.hidden": 64, "training.batch_size": 64}
NEEDS_ENCODERS = pytest.mark.skipif(
    not all(CATALOGUE[name].is_installed for name in ("minilm", "efficientnet_lite0")),
    reason="the weights minilm and efficientnet_lite0 are not installed",
)
_HUES = {
    "red": (200, 20, 20), "green": (20, 160, 40), "blue": (30, 40, 210), "yellow": (230, 220, 40),
    "orange": (240, 140, 20), "purple": (130, 30, 150), "pink": (250, 150, 190), "brown": (120, 70, 30),
    "gray": (128, 128, 128), "turquoise": (60, 210, 200),
}  # fmt: skip
_TONES = {"dark": 0.55, "": 1.0, "light": 1.25, "deep": 0.8}


def colors() -> list[tuple[str, tuple[int, int, int]]]:
    """Forty names and their colors."""
    return [
        (f"{tone} {hue}".strip(), tuple(int(min(255, tone_of * part)) for part in color))  # type: ignore[misc]
        for tone, tone_of in _TONES.items()
        for hue, color in _HUES.items()
    ]


def color_table(folder: Path, *, pictures: bool = False) -> Path:
    """``colors.csv`` in ``folder``: name, red, green, blue, and with ``pictures`` a path."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, (name, color) in enumerate(colors()):
        row = [name, *color]
        if pictures:
            path = f"{number}.png"
            Image.fromarray(np.full((16, 16, 3), color, dtype=np.uint8)).save(folder / path)
            row.append(path)
        rows.append(row)
    with (folder / "colors.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "red", "green", "blue", *(["picture"] if pictures else [])])
        writer.writerows(rows)
    return folder / "colors.csv"
