"""Whether pictures are mirrored in training, decided by the training part: never text, digits, or what has sides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
import pytest

from tonggan.data.readers import open_table
from tonggan.modalities import ImageConfig
from tonggan.runs.plan import resolve
from tonggan.runs.recipe import Recipe

COUNT = 64


def disc(random: np.random.Generator) -> PIL.Image.Image:
    """A disc anywhere."""
    picture = PIL.Image.new("RGB", (32, 32), tuple(random.integers(0, 256, 3).tolist()))
    x, y = random.integers(6, 26, 2).tolist()
    color = tuple(random.integers(0, 256, 3).tolist())
    PIL.ImageDraw.Draw(picture).ellipse((x - 6, y - 6, x + 6, y + 6), fill=color)
    return picture


def digit(random: np.random.Generator) -> PIL.Image.Image:
    picture = PIL.Image.new("L", (32, 32), 255)
    font = PIL.ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", 20)
    PIL.ImageDraw.Draw(picture).text((16, 16), str(random.integers(10)), font=font, fill=0, anchor="mm")
    return picture


def flipped(
    folder: Path, others: dict[str, list[Any]], *, draw: Any = disc, picture: str = "photo", **recipe: Any
) -> bool | None:
    """What the plan says of a table with pictures and these other columns, the last of which is the target."""
    random = np.random.default_rng(0)
    lines = []
    for row in range(COUNT):
        draw(random).save(folder / f"{row}.png")
        cells = {name: values[row % len(values)] for name, values in others.items()}
        lines.append(json.dumps({picture: f"{row}.png", **cells}, ensure_ascii=False))
    path = folder / "train.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    given = {"data": {"train": str(path)}, "target": list(others)[-1], "max_bad": 1.0, **recipe}
    table = open_table(str(path), cache=folder / "cache")
    column = resolve(Recipe.parse(given, who="test"), {"train": table}).recipe.columns[picture]
    assert isinstance(column, ImageConfig)
    assert column.augment is not None
    return column.augment.flip


def test_photographs_of_things_are_mirrored(tmp_path):
    assert flipped(tmp_path, {"label": ["cat", "dog", "ship"]}) is True


@pytest.mark.parametrize(
    "labels",
    [["0", "1", "2"], [3, 4, 7], ["a", "b", "d"], ["left", "right"], ["invoice", "letter"], ["左", "右"], ["8", "B"]],
)
def test_classes_that_are_written_or_have_sides_are_not(labels, tmp_path):
    assert flipped(tmp_path, {"label": labels}) is False


def test_pictures_of_digits_are_not_whatever_their_classes_are_called(tmp_path):
    assert flipped(tmp_path, {"label": ["odd", "even"]}, draw=digit) is False


def test_a_text_that_names_sides_keeps_them(tmp_path):
    questions = ["is the dog left of the tree", "what is shown", "is it a cat"]
    columns = {"question": {"kind": "text"}}
    assert flipped(tmp_path, {"question": questions, "label": ["yes", "no"]}, columns=columns) is False
    plain = ["is the dog near the tree", "what is shown", "is it a cat"]
    assert flipped(tmp_path, {"question": plain, "label": ["yes", "no"]}, columns=columns) is True
    unread = {"question": {"kind": "ignore"}}
    assert flipped(tmp_path, {"question": questions, "label": ["yes", "no"]}, columns=unread) is True


def test_names_of_columns_count(tmp_path):
    assert flipped(tmp_path, {"label": ["cat", "dog"]}, picture="road_sign") is False
    assert flipped(tmp_path, {"digit": ["one", "two"]}) is False


def test_an_answer_that_is_a_number_or_a_text_may_be_of_a_side(tmp_path):
    numbers = [0.5 + row for row in range(20)]
    assert flipped(tmp_path, {"angle": numbers}, task={"kind": "regression"}) is False
    assert flipped(tmp_path, {"said": ["a cat", "a dog"]}, task={"kind": "caption"}) is False


@pytest.mark.parametrize(("label", "flip"), [("cell", True), ("7", False), ("arrow left", False)])
def test_boxes(label, flip, tmp_path):
    boxes = json.dumps([{"label": label, "box": [2, 2, 20, 20]}])
    assert flipped(tmp_path, {"objects": [boxes]}, task={"kind": "detect"}) is flip


def test_what_is_set_stays(tmp_path):
    settings = {"photo": {"kind": "image", "augment": {"flip": True}}}
    assert flipped(tmp_path, {"label": ["0", "1"]}, columns=settings) is True
    settings = {"photo": {"kind": "image", "augment": {"flip": False}}}
    assert flipped(tmp_path, {"label": ["cat", "dog"]}, columns=settings) is False


def test_no_picture_is_mirrored_of_which_none_can_be_read(tmp_path):
    class Nothing:
        def save(self, path: Path) -> None:
            path.write_bytes(b"nothing")

    settings = {"photo": {"kind": "image"}}
    assert flipped(tmp_path, {"label": ["cat", "dog"]}, draw=lambda _: Nothing(), columns=settings) is False
