import json

import numpy as np
import pyarrow as pa
import pytest
import torch

from tonggan.errors import DataError
from tonggan.modalities.boxes import Box, clip_box, collate_boxes, read_objects, write_objects

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


def collated(items, extents, **options):
    given = {"labels": {"cat": 0, "dog": 1}, "size": 100, "resize": "pad", **options}
    return collate_boxes(items, torch.tensor(extents), **given)


def test_boxes_become_arrays_by_hand():
    arrays = collated([[CAT, Box("dog", -10, 0, 40, 20, True)], None, []], [(20, 40), (10, 10), (10, 10)])
    # 40 x 20 becomes 100 x 50 with 25 rows above.
    assert arrays.values.tolist() == [
        [[2.5, 30, 27.5, 75, 0, 0], [0, 25, 100, 75, 1, 1]],
        [[0] * 6] * 2,
        [[0] * 6] * 2,
    ]
    assert arrays.mask.tolist() == [[True, True], [False, False], [False, False]]
    assert arrays.values.dtype == torch.float32
    squashed = collated([[CAT]], [(20, 40)], resize="squash")
    assert squashed.values.tolist() == [[[2.5, 10, 27.5, 100, 0, 0]]]


def test_boxes_without_an_area_are_left_out():
    arrays = collated([[Box("cat", 5, 5, 5, 9), CAT]], [(100, 100)])
    assert arrays.values[arrays.mask].tolist() == [[1, 2, 11, 22, 0, 0]]


def test_boxes_that_cannot_be_learned_from():
    with pytest.raises(DataError, match="a box within its picture, 40 wide and 20 high"):
        collated([[Box("cat", 50, 0, 60, 10)]], [(20, 40)])
    with pytest.raises(DataError, match="the label 'cow', expected one of cat, dog"):
        collated([[Box("cow", 5, 0, 6, 10)]], [(20, 40)])


def test_ten_thousand_boxes():
    boxes = [Box("cat", x, y, x + 1, y + 1) for x in range(100) for y in range(100)]
    assert read_objects(write_objects(boxes)) == boxes
    arrays = collated([boxes], [(101, 101)], size=101)
    assert arrays.mask.sum() == 10_000
    assert arrays.values[0, -1].tolist() == [99, 99, 100, 100, 0, 0]
