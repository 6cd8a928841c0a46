"""BCCD: blood-cell photographs. The boxes are kept as JSON and counted for each kind of cell."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tonggan.data.public.writing import write_csv, write_file
from tonggan.progress import Progress

CELLS = ("RBC", "WBC", "Platelets")


def prepare(files: Mapping[str, Path], folder: Path, progress: Progress) -> dict[str, Path]:
    """``train.csv`` (the official trainval list) and ``test.csv``: image, one count for each cell kind, boxes."""
    tables = {}
    with zipfile.ZipFile(files["bccd/BCCD.zip"]) as archive:
        for split, listed in (("train", "trainval"), ("test", "test")):
            names = archive.read(f"BCCD/ImageSets/Main/{listed}.txt").decode().split()
            rows = [_row(archive, name, folder) for name in progress.track(names, label=f"Extracting BCCD {split}")]
            tables[split] = write_csv(folder / f"{split}.csv", rows, columns=("image", *CELLS, "boxes"))
    return tables


def _row(archive: zipfile.ZipFile, name: str, folder: Path) -> dict[str, Any]:
    picture = f"pictures/{name}.jpg"
    write_file(folder / picture, archive.read(f"BCCD/JPEGImages/{name}.jpg"))
    tree = ElementTree.fromstring(archive.read(f"BCCD/Annotations/{name}.xml"))  # noqa: S314  its SHA-256 was verified
    boxes = [
        {
            "label": item.findtext("name"),
            "box": [int(item.findtext(f"bndbox/{side}") or 0) for side in ("xmin", "ymin", "xmax", "ymax")],
        }
        for item in tree.iter("object")
    ]
    counts = {cell: sum(box["label"] == cell for box in boxes) for cell in CELLS}
    return {"image": picture, **counts, "boxes": json.dumps(boxes)}
