"""What is derived from the pixels is compared with the answers of the set, which it does not use."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from public_sets import get, parts_of, rows_of
from tonggan.data.public.easy_vqa import read_questions
from tonggan.data.public.shapes_and_colors import COLORS, find_shape

SHAPES = ("circle", "rectangle", "triangle")


def test_all_pictures_agree_with_the_answers(cache_of_sets: Path) -> None:
    parts = parts_of("shapes_and_colors", cache_of_sets)
    assert {split: len(rows) for split, rows in parts.items()} == {"train": 4_000, "test": 1_000}
    num_said = 0
    for split, questions in read_questions().items():
        derived = {row["image"]: row for row in parts[split]}
        for each in questions:
            row, words = derived[each["image"]], each["question"].strip("?").split()
            named = {"shape": row["shape"], "color": row["color"]}
            for what, names in (("shape", SHAPES), ("color", tuple(COLORS))):
                asked = next((name for name in names if name in words), None)
                if each["answer"] in names:
                    assert each["answer"] == named[what], each
                    num_said += 1
                elif asked is not None and each["answer"] in ("yes", "no"):
                    is_denied = "not" in words or "no" in words
                    assert (asked == named[what]) == ((each["answer"] == "yes") != is_denied), each
                    num_said += 1
                elif asked is not None:
                    assert asked == named[what], each  # 'what color is the triangle?'
                    num_said += 1
    assert num_said > 48_000


def test_boxes_and_masks_belong_together(cache_of_sets: Path) -> None:
    path = get("shapes_and_colors", cache_of_sets)["test"]
    for row in rows_of(path)[::50]:
        mask = np.asarray(Image.open(path.parent / row["mask"]))
        picture = np.asarray(Image.open(row["image"]).convert("RGB"))
        number = list(COLORS).index(row["color"]) + 1
        assert set(np.unique(mask).tolist()) == {0, number}
        assert (mask[(picture == COLORS[row["color"]]).all(axis=2)] == number).all()
        ((label, (x1, y1, x2, y2)),) = [(item["label"], item["box"]) for item in json.loads(row["objects"])]
        assert label == row["shape"]
        rows, columns = np.nonzero(mask)
        assert [x1, y1, x2, y2] == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_a_drawing_by_hand() -> None:
    picture = np.full((64, 64, 3), 240, dtype=np.uint8)
    picture[10:20, 30:50] = COLORS["red"]
    picture[20, 30:50] = (248, 119, 119)  # half of it
    picture[9, 30:50] = (241, 200, 200)  # a sixth
    shape = find_shape(picture)
    assert (shape.name, shape.color) == ("rectangle", "red")
    assert shape.box[1:5] == (30, 10, 50, 21)
