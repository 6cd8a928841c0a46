"""Small real runs that find boxes and regions, for tests: dark pictures with red and green squares.

Pictures are of two shapes, so that they have borders in their squares, some have no square, and ``color`` is a text
that says which squares count in the column ``wanted``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import tonggan

COLORS = {"red": (230, 20, 20), "green": (20, 230, 20)}
SIZE = 64
SETTINGS = (
    f"columns.photo.size={SIZE}",
    "model.dim=16",
    "columns.photo.augment={}",
    "training.epochs=12",
    "training.batch_size=8",
    "training.learning_rate=6e-3",
    "training.precision=fp32",
)
RESNET = (
    "{kind: image_resnet, stem_channels: 8, stem_stride: 2, channels: [8, 16, 24], blocks: [1, 1, 1],"
    " strides: [2, 2, 2], downsample: stride, pool: mean}"
)
ENCODER = f"model.encoders.photo={RESNET}"
DETECT = (*SETTINGS, ENCODER, "model.head={kind: dense, width: 16, depth: 1, levels: 2, bins: 8}")
SEGMENT = (*SETTINGS, ENCODER, "model.head={kind: regions, width: 8}")


def rows(folder: Path, count: int = 32, *, seed: int = 0, name: str = "train") -> list[dict[str, Any]]:
    """A table's rows: ``photo``, ``objects``, ``mask``, ``color``, ``wanted``; files are written into ``folder``."""
    random = np.random.default_rng(seed)
    (folder / name).mkdir(parents=True, exist_ok=True)
    found = []
    for number in range(count):
        height, width = [(48, 64), (64, 40)][number % 2]
        picture = random.integers(0, 50, size=(height, width, 3)).astype(np.uint8)
        mask = np.zeros((height, width), dtype=np.uint8)
        boxes = []
        for label, value in zip(COLORS, (1, 2), strict=True):
            if random.random() < 0.3 or number % 11 == 5:
                continue
            side = int(random.integers(10, 20))
            left, top = (int(random.integers(0, limit - side)) for limit in (width, height))
            place = np.s_[top : top + side, left : left + side]
            picture[place], mask[place] = COLORS[label], value
            boxes.append({"label": label, "box": [left, top, left + side, top + side]})
        Image.fromarray(picture).save(folder / name / f"{number}.png")
        Image.fromarray(mask).save(folder / name / f"{number}_mask.png")
        color = list(COLORS)[int(random.integers(2))]
        found.append(
            {
                "photo": f"{name}/{number}.png",
                "objects": json.dumps(boxes),
                "mask": f"{name}/{number}_mask.png",
                "color": f"the {color} ones",
                "wanted": json.dumps([box for box in boxes if box["label"] == color]),
            }
        )
    return found


def write(folder: Path, given: list[dict[str, Any]], *columns: str, name: str = "train") -> Path:
    """A JSON lines table of some columns of ``given``."""
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps({column: row[column] for column in columns}) + "\n" for row in given))
    return path


def fit(folder: Path, target: str, *columns: str, settings: Sequence[str], **options: Any) -> tonggan.Predictor:
    """Fit the scene's own table in ``folder``, ``photo`` and ``columns``, measured on another one."""
    tables = {
        name: write(folder, rows(folder, count, seed=seed, name=name), "photo", *columns, target, name=name)
        for name, count, seed in (("train", 48, 0), ("valid", 12, 1))
    }
    source, valid = tables.values()
    return tonggan.fit(source, valid=valid, target=target, out=folder / "run", settings=settings, **options)
