"""Regions in the size of the pictures as people have them, whatever the square that a model sees."""

import base64
import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from contracts import check_task
from dense_scene import SIZE, make_encoders, squares
from tonggan.decoders import TARGET
from tonggan.decoders.regions import RegionsHeadConfig
from tonggan.errors import ConfigError, DataError
from tonggan.modalities import CategoryConfig, ImageConfig, TextConfig
from tonggan.modalities.regions import UNLABELED, RawMask, RegionsConfig, stored
from tonggan.models import ModelConfig
from tonggan.tasks import load_task
from tonggan.tasks.region_measure import measure_regions
from tonggan.tasks.segment import SegmentConfig
from tonggan.tokens import Arrays, Batch, Prediction

# 8 pixels a side, of which the lower two and a column at the right are borders.
CELL = np.zeros((8, 8), dtype=np.int32)
CELL[2:4, 2:6] = 1
CELL[5, 5] = 2
CELL[6:] = CELL[:, 7] = -1


def fitted(cells=(CELL,), **options):
    task = SegmentConfig(**{"picture": "photo", "size": 8, "resize": "pad", **options}).build()
    task.fit(iter(cells))
    return task


def said(*regions, extents=None):
    rows = torch.stack([torch.as_tensor(each).long() for each in regions])
    extents = torch.full((len(rows), 2), rows.shape[-1]) if extents is None else torch.tensor(extents)
    return Prediction({"regions": rows, "extent": extents})


@pytest.mark.parametrize("classes", [2, 3])
def test_contract(classes):
    pictures, _, masks = squares(5)
    cells = list(masks.values.clamp(max=classes - 1).int().numpy())

    def perfect(target):
        return said(*target.values, extents=[[SIZE, SIZE]] * len(target))

    check_task(
        SegmentConfig(picture="x", size=SIZE, resize="pad").build(),
        cells,
        perfect=perfect,
        head=RegionsHeadConfig(width=8, depth=0),
        encoder=make_encoders(dim=16)["photo"],
        shown=replace(pictures, extent=torch.full((5, 2), SIZE)),
    )


def test_classes_are_the_values_of_the_masks():
    task = fitted([CELL, None])
    assert task.labels == ["0", "1", "2"]
    assert task.answer.labels == ("0", "1", "2")
    assert task.score_name == "miou"
    assert task.background == 0, "the class with the most pixels"
    assert task.target.follows == "photo"
    assert set(task.known) == {"0", "1", "2", "255"}
    (values,) = task.target.collate([CELL]).values
    assert values[7, 7] == UNLABELED, "nothing is known of borders"
    assert values[3, 3] == 1


def test_two_values_are_an_object_and_its_background():
    mostly = np.full((8, 8), 255, dtype=np.int32)
    mostly[0] = 0
    task = fitted([mostly])
    assert task.labels == ["background", "object"]
    assert task.score_name == "iou"
    assert task.background == 1
    assert task.decode(task.constant(2))[1].tolist() == np.ones((8, 8)).tolist()


def test_classes_may_be_declared():
    declared = {"0": "ground", "1": "leaf", "2": "leaf", "7": None}
    task = fitted([np.where(CELL == 0, 7, CELL)], classes=declared)
    assert task.labels == ["ground", "leaf"]
    assert task.background == 1, "a value of which nothing is known counts for none"
    values = task.target.collate([np.array([[7, 2] * 4] * 8, dtype=np.int32)]).values
    assert values[0, 0].tolist() == [UNLABELED, 1] * 4


def test_colors_are_classes():
    colors = np.where(CELL == 1, 0xFF0000, np.where(CELL == 2, 0x00FF00, 0))
    cell = np.where(CELL < 0, -1, stored(RawMask(colors.astype(np.int32), is_color=True))).astype(np.int32)
    task = fitted([cell])
    assert task.labels == ["#000000", "#00ff00", "#ff0000"]
    assert task.target.collate([cell]).values[0, 3, 3] == 2
    other = load_task(task.config, json.loads(json.dumps(task.state())))
    assert torch.equal(other.target.collate([cell]).values, task.target.collate([cell]).values)


@pytest.mark.parametrize("cells", [[None], [np.zeros((8, 8), dtype=np.int32)]])
def test_one_class_is_not_enough(cells):
    with pytest.raises(DataError, match="two classes at least"):
        fitted(cells)


@pytest.mark.parametrize(
    ("extent", "resize", "place"),
    [((2, 4), "pad", np.s_[2:6, :]), ((12, 3), "pad", np.s_[:, 3:5]), ((5, 9), "squash", np.s_[:, :])],
)
def test_regions_are_told_in_the_size_of_their_picture(extent, resize, place):
    task = fitted(resize=resize)
    inner = np.arange(64).reshape(8, 8)[place] % 3
    square = np.full((8, 8), 2)
    square[place] = inner
    (found,) = task.decode(said(square, extents=[extent]))
    assert found.dtype == np.uint8
    rows, columns = (
        (np.arange(count) + 0.5) * inner.shape[axis] // count for axis, count in enumerate(extent)
    )  # the pixel of the square under the middle of each one of the picture
    np.testing.assert_array_equal(found, inner[rows.astype(int)[:, None], columns.astype(int)])


def test_a_picture_that_was_enlarged_comes_back_exactly():
    random = np.random.default_rng(0)
    masks = [random.integers(3, size=size).astype(np.uint8) for size in ((40, 64), (64, 13), (1, 64), (64, 64))]
    task = fitted(size=64)
    squared = [
        task.config.places(torch.tensor([mask.shape])).mask_to_square(torch.from_numpy(mask), outside=0)
        for mask in masks
    ]
    for found, mask in zip(task.decode(said(*squared, extents=[mask.shape for mask in masks])), masks, strict=True):
        np.testing.assert_array_equal(found, mask)


def test_what_is_measured():
    task = fitted()
    right = task.target.collate([CELL]).values[0]
    wrong = right.clone()
    wrong[right == UNLABELED] = 1  # on the border nothing is wrong
    wrong[2, 2] = 0
    measure = task.measure(said(wrong), {TARGET: task.target.collate([CELL])})
    assert measure.metrics() == measure_regions([wrong], [right], labels=["0", "1", "2"]).metrics()
    # 7 of 8 pixels of class 1; of class 0 its 33 and one too many; all of class 2.
    assert measure.metrics()["miou"] == pytest.approx((7 / 8 + 33 / 34 + 1) / 3)
    assert task.measure(said(right.clamp(max=2)), {TARGET: task.target.collate([CELL])}).score() == 1


def test_what_was_learned_is_kept():
    task = fitted(classes={"0": "ground", "1": "leaf", "2": None})
    other = load_task(task.config, json.loads(json.dumps(task.state())))
    assert (other.labels, other.background, other.known) == (task.labels, task.background, task.known)
    assert torch.equal(other.target.collate([CELL]).values, task.target.collate([CELL]).values)


def test_answers():
    task = fitted()
    regions = np.zeros((8, 8))
    regions[:, :2] = 1
    prediction = said(regions, extents=[(4, 4)])
    (answer,) = task.answers(prediction)
    assert answer["shares"] == {"0": 0.75, "1": 0.25, "2": 0.0}
    kind, _, content = answer["prediction"].partition(",")
    assert kind == "data:image/png;base64"
    picture = Image.open(io.BytesIO(base64.b64decode(content)))
    np.testing.assert_array_equal(np.asarray(picture), task.decode(prediction)[0])
    assert task.as_cell(task.decode(prediction)[0]) == base64.b64decode(content)


def test_how_it_reads():
    task = fitted()
    target = task.target.collate([CELL, np.zeros((8, 8), dtype=np.int32), np.full((8, 8), -1, dtype=np.int32)])
    assert task.describe_targets({TARGET: target}) == ["1 19%, 2 2%", "nothing", "nothing"]
    assert task.describe(said(np.ones((8, 8)), np.zeros((8, 8)))) == ["1 100%", "nothing"]


def test_a_person_sees_pictures():
    task = fitted()
    pictures = Arrays(
        torch.full((1, 3, 8, 8), 90, dtype=torch.uint8), torch.tensor([True]), extent=torch.tensor([[4, 8]])
    )
    batch = Batch(torch.arange(1), {"photo": pictures}, {TARGET: task.target.collate([CELL])})
    ((found, true),) = task.show(said(np.full((8, 8), 2), extents=[(4, 8)]), batch)
    assert [(cell.name, cell.kind) for cell in (found, true)] == [("predicted", "image"), ("true", "image")]
    found, true = (
        np.asarray(Image.open(io.BytesIO(base64.b64decode(cell.content.partition(",")[2]))).convert("RGB"))
        for cell in (found, true)
    )
    assert found.shape == true.shape == (128, 256, 3)
    assert (found[5, 5] != 90).any(), "all of it is of a class that is not the background"
    assert (true[5, 5] == 90).all()
    assert (true[16, 100] != 90).any()


def completed(columns, **options):
    return SegmentConfig(**options).complete(ModelConfig(), columns, target=["mask"])


def test_a_recipe_is_made_whole():
    model, task, columns = completed({"photo": ImageConfig(), "mask": CategoryConfig()})
    assert model.head == RegionsHeadConfig()
    assert (task.picture, task.size, task.resize) == ("photo", 256, "pad")
    assert columns["mask"] == RegionsConfig()
    assert columns["photo"].augment.mosaic == 0
    assert completed(columns)[1:] == (task, columns)


def test_classes_are_declared_in_the_task_or_its_column():
    classes = {"0": "ground", "1": "leaf"}
    _, task, columns = completed({"photo": ImageConfig(), "mask": RegionsConfig(classes=classes)})
    assert task.classes == columns["mask"].classes == classes
    _, task, columns = completed({"photo": ImageConfig(), "mask": CategoryConfig()}, classes=classes)
    assert task.classes == columns["mask"].classes == classes
    _, task, columns = completed({"photo": ImageConfig(), "mask": RegionsConfig()}, classes=classes)
    assert task.classes == columns["mask"].classes == classes


def test_a_whole_picture_is_needed():
    with pytest.raises(ConfigError, match=r"columns\.photo\.resize=pad"):
        completed({"photo": ImageConfig(resize="crop"), "mask": RegionsConfig()})
    with pytest.raises(ConfigError, match="there is none"):
        completed({"words": TextConfig(), "mask": RegionsConfig()})
    with pytest.raises(ConfigError, match="left, right"):
        completed({"left": ImageConfig(), "right": ImageConfig(), "mask": RegionsConfig()})
