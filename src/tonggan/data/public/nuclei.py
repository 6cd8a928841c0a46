"""Nuclei of cells under the microscope (2018 Data Science Bowl, stage 1, corrected): one mask a nucleus, many kinds.

The masks of a picture are joined to one, 1 where there is a nucleus; a box goes around each nucleus, so that counting
and finding them can be learned as well. There is no official split that has answers: 70 % train, 10 % validate, 20 %
test, cut by the kind of picture (its size, and whether it is grey or in color) with seed 0.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tonggan.data.public.writing import stratified_parts, write_csv, write_file
from tonggan.modalities.boxes import Box, write_objects
from tonggan.progress import Progress

COLUMNS = ("image", "mask", "objects", "count", "kind")
FRACTIONS = {"train": 0.7, "valid": 0.1, "test": 0.2}
LABEL = "nucleus"


def prepare(files: Mapping[str, Path], folder: Path, progress: Progress) -> dict[str, Path]:
    """``train.csv``, ``valid.csv``, ``test.csv``: image, mask, objects, count (of nuclei), kind (size and color)."""
    tables = {split: folder / f"{split}.csv" for split in FRACTIONS}
    if all(path.exists() for path in tables.values()):
        return tables
    with zipfile.ZipFile(files["dsbowl2018/stage1_train.zip"]) as archive:
        members: dict[str, dict[str, list[str]]] = {}
        for name in sorted(archive.namelist()):
            _, item, what, _ = name.split("/")
            members.setdefault(item, {"images": [], "masks": []})[what].append(name)
        rows = [
            _row(archive, item, parts["images"][0], parts["masks"], folder)
            for item, parts in progress.track(members.items(), label="Joining masks of nuclei", total=len(members))
        ]
    parts = stratified_parts([row["kind"] for row in rows], fractions=FRACTIONS)
    return {
        split: write_csv(tables[split], [rows[place] for place in places], columns=COLUMNS)
        for split, places in parts.items()
    }


def _row(archive: zipfile.ZipFile, item: str, picture: str, masks: list[str], folder: Path) -> dict[str, Any]:
    raw = archive.read(picture)
    image, mask = f"pictures/{item}.png", f"masks/{item}.png"
    write_file(folder / image, raw)
    (width, height), mode = _open(raw).size, _open(raw).mode
    joined = np.zeros((height, width), dtype=np.uint8)
    boxes = []
    for name in masks:
        nucleus = _open(archive.read(name))
        left, top, right, bottom = nucleus.getbbox()
        joined[top:bottom, left:right][np.asarray(nucleus.crop((left, top, right, bottom))) > 0] = 1
        boxes.append(Box(LABEL, left, top, right, bottom))
    buffer = io.BytesIO()
    _from_array(joined).save(buffer, "PNG", compress_level=1)  # half of the time went into the last percent
    write_file(folder / mask, buffer.getvalue())
    kind = f"{width} x {height}, {'grey' if mode == 'L' else 'color'}"
    return {"image": image, "mask": mask, "objects": write_objects(boxes), "count": len(boxes), "kind": kind}


def _open(raw: bytes) -> Any:
    import PIL.Image

    return PIL.Image.open(io.BytesIO(raw))


def _from_array(values: NDArray[np.uint8]) -> Any:
    import PIL.Image

    return PIL.Image.fromarray(values)
