"""Small pictures with their annotations in the layouts that are about, for tests."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

Boxes = Sequence[tuple[str, float, float, float, float]]


def draw(path: Path, *, width: int = 40, height: int = 20, **options: object) -> Path:
    """A grey picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), (90, 90, 90)).save(path, **options)
    return path


def voc(boxes: Boxes, *, filename: str = "a.jpg", more: str = "") -> str:
    """The XML of one picture."""
    objects = "".join(
        f"<object><name>{label}</name>{more}<bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax>"
        f"<ymax>{y2}</ymax></bndbox></object>"
        for label, x1, y1, x2, y2 in boxes
    )
    return f"<annotation><filename>{filename}</filename>{objects}</annotation>"


def write(path: Path, text: str) -> Path:
    """``text`` at ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def coco(pictures: Mapping[str, Boxes], **changes: object) -> str:
    """The document of pictures by name."""
    labels = sorted({label for boxes in pictures.values() for label, *_ in boxes})
    document = {
        "info": {},
        "images": [
            {"id": number, "file_name": name, "width": 40, "height": 20} for number, name in enumerate(pictures)
        ],
        "annotations": [
            {"id": number, "image_id": image, "category_id": labels.index(label) + 1, "bbox": [x, y, x2 - x, y2 - y]}
            for number, (image, (label, x, y, x2, y2)) in enumerate(
                (image, box) for image, boxes in enumerate(pictures.values()) for box in boxes
            )
        ],
        "categories": [{"id": number, "name": name} for number, name in enumerate(labels, start=1)],
    }
    return json.dumps(document | changes)
