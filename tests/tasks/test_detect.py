"""Boxes in pixels of the pictures as people have them, whatever the square that a model sees."""

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
from tonggan.decoders.dense import DenseHeadConfig
from tonggan.errors import ConfigError, DataError
from tonggan.modalities import CategoryConfig, IgnoreConfig, ImageConfig, TextConfig
from tonggan.modalities.boxes import Box, BoxesConfig
from tonggan.modalities.image_augment import ImageAugment
from tonggan.models import ModelConfig
from tonggan.tasks import load_task
from tonggan.tasks.box_measure import measure_boxes
from tonggan.tasks.detect import DetectConfig
from tonggan.tokens import Arrays, Batch, Prediction

CELLS = [
    [Box("dog", 2, 3, 40, 21), Box("cat", 5, 5, 9, 9)],
    [],
    [Box("cat", 30, 1, 47, 47, ignored=True), Box("cat", 1, 1, 2, 2)],
    [Box("dog", 0, 0, 48, 48)],
]
EXTENTS = torch.tensor([[100, 200], [31, 17], [48, 48], [1000, 3]])


def fitted(cells=CELLS, **options):
    task = DetectConfig(**{"picture": "photo", "size": 64, "resize": "pad", **options}).build()
    task.fit(iter(cells))
    return task


def said(boxes, *, extents=None, score=0.9):
    """A prediction of the boxes ``[x1, y1, x2, y2, class]`` of each picture, the first one the surest."""
    rows = [
        torch.tensor([[*sides, score - place / 100, number] for place, (*sides, number) in enumerate(row)]).view(-1, 6)
        for row in boxes
    ]
    return Prediction({"boxes": rows, "extent": torch.full((len(rows), 2), 64) if extents is None else extents})


def perfect(target):
    rows = [[box[:5] for box in values[mask].tolist()] for values, mask in zip(target.values, target.mask, strict=True)]
    return replace(said(rows), outputs={**said(rows).outputs, "extent": torch.full((len(rows), 2), SIZE)})


def pictures_of(task, extents):
    """Grey pictures in their squares, black around them, as the input of a batch."""
    size = task.config.size
    values = torch.zeros(len(extents), 3, size, size, dtype=torch.uint8)
    places = task.config.places(extents)
    for row, ((height, width), (top, left)) in enumerate(
        zip(places.inner.tolist(), places.corner.tolist(), strict=True)
    ):
        values[row, :, top : top + height, left : left + width] = 90
    return Arrays(values, torch.ones(len(extents), dtype=torch.bool), extent=extents)


def test_contract():
    pictures, boxes, _ = squares(5)
    pictures = replace(pictures, extent=torch.full((5, 2), SIZE))
    cells = [
        [Box(["red", "green"][int(number)], *sides) for *sides, number, _ in values[mask].tolist()]
        for values, mask in zip(boxes.values, boxes.mask, strict=True)
    ]
    cells[-1] = []
    check_task(
        DetectConfig(picture="x", size=SIZE, resize="pad").build(),
        cells,
        perfect=perfect,
        head=DenseHeadConfig(width=12, depth=1, bins=6),
        encoder=make_encoders(dim=16)["photo"],
        shown=pictures,
    )


def test_labels_are_learned_in_their_order():
    task = fitted([[Box("dog", 0, 0, 9, 9)], None, [], [Box("cat", 0, 0, 9, 9), Box("ant", 0, 0, 9, 9)]])
    assert task.labels == task.known == ["ant", "cat", "dog"]
    assert (task.answer.labels, task.answer.picture) == (("ant", "cat", "dog"), "photo")
    assert task.target.follows == "photo"


@pytest.mark.parametrize("cells", [[], [[], None]])
def test_without_a_box_there_is_nothing_to_learn(cells):
    with pytest.raises(DataError, match="no box in any row"):
        fitted(cells)


def test_the_constant_answer_is_no_box():
    task = fitted()
    constant = task.constant(4)
    assert task.decode(constant) == [[], [], [], []]
    targets = {TARGET: task.target.fitted(task.target.collate(CELLS), EXTENTS)}
    metrics = task.measure_constant(targets).metrics()
    assert metrics["map_50"] == metrics["average_recall"] == metrics["recall"] == 0
    # Two, none, one that need be found, and one.
    assert metrics["count_error"] == 1


def test_a_letterbox_by_hand():
    # 200 wide and 100 high: 64 by 32 in the square, with 16 black rows above.
    (found,) = fitted().decode(said([[[0, 16, 64, 48, 1], [32, 8, 80, 32, 0]]], extents=torch.tensor([[100, 200]])))
    assert found == [
        {"label": "dog", "box": [0.0, 0.0, 200.0, 100.0], "score": 0.9},
        {"label": "cat", "box": [100.0, 0.0, 200.0, 50.0], "score": 0.89},
    ]


@pytest.mark.parametrize("resize", ["pad", "squash"])
def test_decoding_is_the_exact_inverse(resize):
    """What is learned in the square is told in the picture to the hundredth of a pixel."""
    generator = np.random.default_rng(0)
    extents, cells = generator.integers(8, 3000, size=(50, 2)), []
    for height, width in extents.tolist():
        x, y = np.sort(generator.integers(0, width, size=2)), np.sort(generator.integers(0, height, size=2))
        cells.append([Box("cat", x[0], y[0], x[1] + 1, y[1] + 1)])
    task = fitted(cells, resize=resize)
    extents = torch.from_numpy(extents)
    target = task.target.fitted(task.target.collate(cells), extents)
    rows = [[box[:5]] for (box,) in target.values.tolist()]
    for (told,), (box,) in zip(task.decode(said(rows, extents=extents)), cells, strict=True):
        assert told["box"] == pytest.approx(box[1:5], abs=0.011)


def test_only_sure_boxes_are_told():
    task = fitted(confidence=0.6)
    rows = said([[[0, 0, 9, 9, 1]], [[0, 0, 9, 9, 1]]])
    rows["boxes"][1][0, 4] = 0.59
    assert [len(found) for found in task.decode(rows)] == [1, 0]
    assert task.describe(rows) == ["1 dog", "nothing"]
    assert task.answers(rows)[0] == {"prediction": [{"label": "dog", "box": [0.0, 0.0, 9.0, 9.0], "score": 0.9}]}
    assert json.loads(task.as_cell(task.decode(rows)[0])) == task.decode(rows)[0]


@pytest.mark.parametrize("resize", ["pad", "squash"])
def test_it_is_measured_in_the_picture(resize):
    """As if boxes and truth had never been in a square: what is stretched has another overlap there."""
    task = fitted(resize=resize)
    targets = {TARGET: task.target.fitted(task.target.collate(CELLS), EXTENTS)}
    near = [
        torch.tensor([[3.0, 3, 40, 20, 0.8, 1], [5, 5, 8, 9, 0.3, 0], [60, 60, 90, 90, 0.7, 0]]),
        torch.tensor([[1.0, 1, 9, 9, 0.2, 1]]),
        torch.zeros(0, 6),
        torch.tensor([[0.0, 0, 3, 40, 0.6, 1]]),
    ]
    squared = [
        torch.cat([task.config.places(extent[None]).to_square(each[None, :, :4])[0], each[:, 4:]], dim=1)
        for each, extent in zip(near, EXTENTS, strict=True)
    ]
    measure = task.measure(Prediction({"boxes": squared, "extent": EXTENTS}), targets)
    # What reaches over the edge of a picture counts as far as it is seen.
    truth = task.target.collate([*CELLS[:3], [Box("dog", 0, 0, 3, 48)]])
    expected = measure_boxes(near, truth, labels=["cat", "dog"], confidence=0.5)
    assert measure.metrics() == pytest.approx(expected.metrics(), abs=1e-6)
    assert measure.metrics()["map_50"] > 0


def test_a_box_that_is_ignored_is_neither_right_nor_wrong():
    task = fitted([[Box("cat", 0, 0, 32, 32, ignored=True), Box("cat", 40, 40, 60, 60)]])
    target = task.target.collate([[Box("cat", 0, 0, 32, 32, ignored=True), Box("cat", 40, 40, 60, 60)]])
    found = said([[[40, 40, 60, 60, 0], [0, 0, 32, 32, 0]]])
    metrics = task.measure(found, {TARGET: target}).metrics()
    assert metrics["map"] == metrics["precision"] == metrics["recall"] == 1
    assert metrics["count_error"] == 0


def test_the_confidence_is_that_of_the_best_f1():
    cells = [[Box("cat", 0, 0, 10, 10), Box("cat", 30, 30, 40, 40)]]
    task = fitted(cells)
    found = said([[[0, 0, 10, 10, 0], [30, 30, 40, 40, 0], [50, 0, 60, 10, 0]]])
    found["boxes"][0][:, 4] = torch.tensor([0.4, 0.3, 0.1])
    measure = task.measure(found, {TARGET: task.target.collate(cells)})
    assert measure.metrics()["recall"] == 0, "nothing is as sure as one half"
    task.calibrate(measure)
    assert 0.1 < task.confidence <= 0.3
    assert [each["score"] for each in task.decode(found)[0]] == [0.4, 0.3]
    assert task.calibrated(measure).metrics()["f1"] == 1
    fixed = fitted(cells, confidence=0.7)
    fixed.calibrate(measure)
    assert fixed.confidence == 0.7


def test_what_was_learned_is_kept():
    task = fitted()
    task.confidence = 0.25
    other = load_task(task.config, json.loads(json.dumps(task.state())))
    assert (other.labels, other.confidence) == (task.labels, 0.25)
    found = said([[[0, 0, 9, 9, 1]]], score=0.3)
    assert other.decode(found) == task.decode(found) != []


def test_how_it_reads():
    task = fitted()
    found = said([[[0, 0, 9, 9, 1], [0, 0, 9, 9, 0], [9, 9, 12, 12, 1]], []])
    assert task.describe(found) == ["1 cat, 2 dog", "nothing"]
    assert task.describe_targets({TARGET: task.target.collate(CELLS[:2])}) == ["1 cat, 1 dog", "nothing"]


def test_a_person_sees_pictures():
    task = fitted(cells := [[Box("dog", 0, 0, 200, 100)]])
    extents = torch.tensor([[100, 200]])
    target = task.target.fitted(task.target.collate(cells), extents)
    batch = Batch(torch.arange(1), {"photo": pictures_of(task, extents)}, {TARGET: target})
    ((found, true),) = task.show(said([[[0, 16, 32, 48, 0]]], extents=extents), batch)
    assert [(cell.name, cell.kind) for cell in (found, true)] == [("predicted", "image"), ("true", "image")]
    found, true = (opened(cell.content) for cell in (found, true))
    # Without its black borders: twice as wide as high, enlarged for people.
    assert found.shape == true.shape
    assert found.shape[1] == 2 * found.shape[0] >= 256
    for picture, right in ((found, found.shape[1] // 2), (true, true.shape[1] - 1)):
        colored = np.ptp(picture[picture.shape[0] // 2 + 20].astype(int), axis=1) > 30
        assert colored[0]
        assert abs(np.flatnonzero(colored).max() - right) <= 4


def opened(address):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGB"))


def completed(columns, *, model=None, **options):
    return DetectConfig(**options).complete(model or ModelConfig(), columns, target=["objects"])


def test_a_recipe_is_made_whole():
    model, task, columns = completed({"photo": ImageConfig(), "objects": CategoryConfig()})
    assert model.head == DenseHeadConfig()
    assert (task.picture, task.size, task.resize) == ("photo", 320, "pad")
    assert isinstance(columns["objects"], BoxesConfig)
    photo = columns["photo"]
    assert (photo.size, photo.resize) == (320, "pad")
    assert photo.augment.flip is None  # decided by the training part
    assert photo.augment.scale > 0
    assert completed(columns)[1:] == (task, columns), "a recipe that is whole stays as it is"


def test_what_is_set_stays():
    augment = ImageAugment(turn=True)
    photo = ImageConfig(size=96, resize="squash", augment=augment)
    head = DenseHeadConfig(levels=2)
    model, task, columns = completed({"photo": photo, "objects": BoxesConfig()}, model=ModelConfig(head=head))
    assert (columns["photo"], model.head, task.size, task.resize) == (photo, head, 96, "squash")


def test_one_of_two_pictures_is_named():
    columns = {"left": ImageConfig(), "right": ImageConfig(), "objects": BoxesConfig()}
    with pytest.raises(ConfigError, match=r"task\.picture: got nothing.*left, right"):
        completed(columns)
    _, task, complete = completed(columns, picture="right")
    assert task.picture == "right"
    assert complete["left"] == ImageConfig()
    with pytest.raises(ConfigError, match="'front'"):
        completed(columns, picture="front")


def test_a_mosaic_is_refused_beside_what_tells_of_one_picture():
    columns = {"photo": ImageConfig(augment=ImageAugment(mosaic=0.5)), "words": TextConfig(), "objects": BoxesConfig()}
    with pytest.raises(ConfigError, match=r"columns\.photo\.augment\.mosaic: got 0\.5 beside words"):
        completed(columns)
    for other in ({"words": IgnoreConfig()}, {"photo": ImageConfig(augment=ImageAugment(mosaic=0))}):
        completed(columns | other)


def test_a_picture_is_needed():
    with pytest.raises(ConfigError, match="there is none"):
        completed({"words": TextConfig(), "objects": BoxesConfig()})


def test_nothing_may_be_cut_off():
    with pytest.raises(ConfigError, match=r"columns\.photo\.resize=pad"):
        completed({"photo": ImageConfig(resize="crop"), "objects": BoxesConfig()})
