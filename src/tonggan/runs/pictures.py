"""Answers that lie in pictures, for other programs and for people: COCO's JSON, and pictures with them drawn."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tonggan.data.dataset import Dataset
from tonggan.data.scan import read_media
from tonggan.data.table import Table
from tonggan.errors import DataError, UnreadableError
from tonggan.evaluation.predict import predict_rows
from tonggan.modalities import Image
from tonggan.progress import Progress
from tonggan.runs.bundle import Bundle
from tonggan.runs.writing import check_new_folder, mask_folder, writing_folder
from tonggan.tasks import Detect, Segment, Task
from tonggan.tasks.pictured import PicturedTask


def check_output(task: Task, out: Path, *, draw: Path | None) -> None:
    """Raise a DataError before any work where the answers of ``task`` cannot be written.

    Args:
        task: whose answers.
        out: the file for them.
        draw: the folder for pictures with them, if there is to be one.
    """
    if out.suffix == ".json" and not isinstance(task, Detect):
        raise _refused(task, expected="a model that finds boxes")
    if isinstance(task, Segment) and out.suffix != ".parquet":
        check_new_folder(mask_folder(out))
    if draw is not None:
        if not isinstance(task, PicturedTask):
            raise _refused(task, expected="a model whose answers lie in a picture")
        check_new_folder(draw)


def coco_of(bundle: Bundle, table: Table, dataset: Dataset, *, progress: Progress | None = None) -> dict[str, Any]:
    """The boxes that ``bundle`` finds in the pictures of ``table``; an image's id is its row's number, from 1.

    Raises:
        DataError: the model finds no boxes.
    """
    task = bundle.task
    if not isinstance(task, Detect):
        raise _refused(task, expected="a model that finds boxes")
    found = predict_rows(
        bundle.model,
        dataset,
        read=lambda prediction: list(zip(task.decode(prediction), prediction["extent"].tolist(), strict=True)),
        progress=progress,
    )
    names = table.values(task.config.shown_in)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, name, (boxes, (height, width)) in zip(
        table.row_numbers.tolist(), names, chain.from_iterable(found), strict=True
    ):
        file = name if isinstance(name, str) else f"row {number}"
        images.append({"id": number, "file_name": file, "height": height, "width": width})
        for box in boxes:
            x1, y1, x2, y2 = box["box"]
            sides = [x1, y1, round(x2 - x1, 2), round(y2 - y1, 2)]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": task.labels.index(box["label"]) + 1,
                    "bbox": sides,
                    "area": round(sides[2] * sides[3], 2),
                    "iscrowd": 0,
                    "score": box["score"],
                }
            )
    categories = [{"id": place, "name": name} for place, name in enumerate(task.labels, start=1)]
    return {"images": images, "categories": categories, "annotations": annotations}


def draw_answers(
    bundle: Bundle, table: Table, dataset: Dataset, *, folder: Path, progress: Progress | None = None
) -> int:
    """Write each picture of ``table`` with its answer drawn; returns how many.

    Raises:
        DataError: the answers do not lie in a picture, or the folder holds something or cannot be written.
    """
    import PIL.Image

    task = bundle.task
    if not isinstance(task, PicturedTask):
        raise _refused(task, expected="a model whose answers lie in a picture")
    check_new_folder(folder)
    name = task.config.shown_in
    modality = bundle.modalities[name]
    assert isinstance(modality, Image), "a picture is looked at"
    answers = chain.from_iterable(predict_rows(bundle.model, dataset, read=task.decode, progress=progress))
    numbers, cells = table.row_numbers.tolist(), table.values(name)
    num_drawn = 0
    with writing_folder(folder) as partial:
        for number, cell, answer in zip(numbers, cells, answers, strict=True):
            picture = _upright(modality, read_media(cell, base=table.base))
            if picture is not None:
                PIL.Image.fromarray(task.draw(picture, answer)).save(partial / f"{number:06d}.png")
                num_drawn += 1
    return num_drawn


def _refused(task: Task, *, expected: str) -> DataError:
    remedy = "Write its predictions as a table"
    return DataError("predictions", got=f"a {task.kind} model", expected=expected, remedy=remedy)


def _upright(modality: Image, raw: bytes | None) -> NDArray[np.uint8] | None:
    try:
        return None if raw is None else modality.upright(raw)
    except UnreadableError:
        return None
