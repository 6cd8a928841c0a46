import json
from functools import partial

import numpy as np
import pyarrow as pa
import pytest
import torch

from tonggan.errors import DataError
from tonggan.layers.letterbox import Letterbox
from tonggan.modalities.boxes import Box, Boxes, BoxesConfig, clip_box, read_objects, write_objects
from tonggan.modalities.movement import Movement

CAT, CROWD = Box("cat", 1, 2, 11, 22), Box("dog", 0.5, 0, 3, 4.25, True)


@pytest.mark.parametrize(
    "cell",
    [
        [{"label": "cat", "box": [1, 2, 11, 22]}, {"label": "dog", "box": [0.5, 0, 3, 4.25], "ignored": True}],
        [{"category": "cat", "bbox": [1, 2, 10, 20]}, {"class": "dog", "bbox": [0.5, 0, 2.5, 4.25], "iscrowd": 1}],
        {"bbox": [[1, 2, 10, 20], [0.5, 0, 2.5, 4.25]], "category": ["cat", "dog"], "iscrowd": [0, 1]},
        {"box": [[1, 2, 11, 22], [0.5, 0, 3, 4.25]], "name": ["cat", "dog"], "ignored": [False, True], "area": [1, 2]},
        [CAT, CROWD],
    ],
)
def test_every_form_is_read(cell):
    assert read_objects(cell) == [CAT, CROWD]
    plain = json.loads(write_objects(read_objects(cell)))
    assert read_objects(json.dumps(plain)) == read_objects(pa.array([plain]).to_pylist()[0]) == [CAT, CROWD]


def test_arrow_structs_and_arrays_are_read():
    cell = pa.array([{"bbox": [[1.0, 2.0, 10.0, 20.0]], "category": [7]}]).to_pylist()[0]
    assert read_objects(cell) == [CAT._replace(label="7")]
    assert read_objects({"bbox": np.array([[1, 2, 10, 20]]), "category": np.array([7])}) == [CAT._replace(label="7")]
    mixed = pa.array([[{"label": "cat", "box": [1, 2, 11, 22], "bbox": None}]]).to_pylist()[0]
    assert read_objects(mixed) == [CAT]


def test_an_empty_picture_is_not_an_empty_cell():
    assert read_objects("[]") == read_objects([]) == read_objects({"bbox": [], "category": []}) == []
    assert read_objects(None) is read_objects("") is read_objects(" ") is read_objects(float("nan")) is None
    assert read_objects("null") is None


def test_the_canonical_form():
    assert write_objects([CAT, CROWD]) == (
        '[{"label": "cat", "box": [1, 2, 11, 22]}, {"label": "dog", "box": [0.5, 0, 3, 4.25], "ignored": true}]'
    )
    assert write_objects([CAT._replace(label="猫")]) == '[{"label": "猫", "box": [1, 2, 11, 22]}]'


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ('[{"label": "cat", "box": [1, 2', "no JSON"),
        ("[{'label': 'cat', 'box': [1, 2, 3, 4]}]", "json.dumps"),
        ("7", "a int"),
        ({"label": "cat"}, "a mapping of 'label'"),
        ({"bbox": [[1, 2, 3, 4]], "category": []}, "1 of 'bbox', 0 of 'category'"),
        ([[1, 2, 3, 4]], "a list as box 1"),
        ([{"box": [1, 2, 3, 4]}], "box 1 without a label"),
        ([{"label": " ", "box": [1, 2, 3, 4]}], "box 1 without a label"),
        ([{"label": "cat"}], "None as the sides of box 1"),
        ([{"label": "cat", "box": [1, 2, 3]}], "the sides of box 1"),
        ([{"label": "cat", "box": [1, 2, 3, "4"]}], "four finite numbers"),
        ('[{"label": "cat", "box": [1, 2, 3, NaN]}]', "four finite numbers"),
        ([{"label": "cat", "box": [1, 2, 3, 4]}, {"label": "dog", "box": [9, 2, 3, 4]}], "box 2 (dog) of x 9 to 3"),
        ([{"label": "cat", "bbox": [1, 2, -1, 4]}], "box 1 (cat) of x 1 to 0"),
        ("[" * 100_000, "no JSON"),
    ],
)
def test_what_is_wrong_is_said(cell, said):
    with pytest.raises(DataError, match="cell of boxes: got") as caught:
        read_objects(cell)
    assert said in str(caught.value)


def test_a_box_is_clipped_to_its_picture():
    assert clip_box(Box("cat", -1, 2, 30, 4), (10, 20)) == Box("cat", 0, 2, 20, 4)
    assert clip_box(Box("cat", 20, 2, 30, 4), (10, 20)) is None
    assert clip_box(Box("cat", 2, -5, 3, 0), (10, 20)) is None


def modality(*, size=100, resize="pad"):
    places = partial(Letterbox.of, size=size, resize=resize)
    return Boxes(BoxesConfig(), labels=["cat", "dog"], picture="photo", places=places)


def fitted(items, extents, **options):
    """The boxes in pixels of squares that pictures of ``extents`` became."""
    boxes = modality(**options)
    return boxes.fitted(boxes.collate(items), torch.tensor(extents))


def test_boxes_become_arrays_by_hand():
    arrays = fitted([[CAT, Box("dog", -10, 0, 40, 20, True)], None, []], [(20, 40), (10, 10), (10, 10)])
    # 40 x 20 becomes 100 x 50 with 25 rows above.
    assert arrays.values.tolist() == [
        [[2.5, 30, 27.5, 75, 0, 0], [0, 25, 100, 75, 1, 1]],
        [[0] * 6] * 2,
        [[0] * 6] * 2,
    ]
    assert arrays.mask.tolist() == [[True, True], [False, False], [False, False]]
    assert arrays.values.dtype == torch.float32
    squashed = fitted([[CAT]], [(20, 40)], resize="squash")
    assert squashed.values.tolist() == [[[2.5, 10, 27.5, 100, 0, 0]]]


def test_boxes_without_an_area_are_left_out():
    arrays = fitted([[Box("cat", 5, 5, 5, 9), CAT]], [(100, 100)])
    assert arrays.values[arrays.mask].tolist() == [[1, 2, 11, 22, 0, 0]]


def test_boxes_outside_of_their_pictures_are_left_out():
    arrays = fitted([[Box("cat", 50, 0, 60, 10), CAT], [CAT]], [(30, 40), (0, 0)], size=40)
    assert arrays.mask.tolist() == [[False, True], [False, False]], "nothing is seen in a picture that is not there"
    assert arrays.values[0].tolist() == [[0] * 6, [1, 7, 11, 27, 0, 0]]
    assert not arrays.values[1].any()


def test_a_label_that_is_no_class():
    with pytest.raises(DataError, match="the label 'cow', expected one of cat, dog"):
        modality().collate([[Box("cow", 5, 0, 6, 10)]])


def test_boxes_are_collated_in_pixels_of_their_pictures():
    arrays = modality().collate([[CAT, CROWD], None, []])
    assert arrays.values.tolist() == [[[1, 2, 11, 22, 0, 0], [0.5, 0, 3, 4.25, 1, 1]], [[0] * 6] * 2, [[0] * 6] * 2]
    assert arrays.mask.tolist() == [[True, True], [False, False], [False, False]]
    assert modality().collate([None]).values.shape == (1, 1, 6)
    assert modality().follows == "photo"


def test_boxes_follow_a_movement():
    mirror = torch.tensor([[-1.0, 0, 100], [0, 1, 0]])
    region = torch.tensor([0.0, 0, 100, 100])
    movement = Movement(torch.arange(2)[None], mirror.expand(1, 2, 2, 3), region.expand(1, 2, 4))
    moved = modality().follow(fitted([[CAT], []], [(100, 100)] * 2), movement)
    assert moved.values[0].tolist() == [[89, 2, 99, 22, 0, 0]]
    assert moved.mask.tolist() == [[True], [False]]


def test_ten_thousand_boxes():
    boxes = [Box("cat", x, y, x + 1, y + 1) for x in range(100) for y in range(100)]
    assert read_objects(write_objects(boxes)) == boxes
    arrays = fitted([boxes], [(101, 101)], size=101)
    assert arrays.mask.sum() == 10_000
    assert arrays.values[0, -1].tolist() == [99, 99, 100, 100, 0, 0]
