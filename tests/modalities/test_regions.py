import io

import numpy as np
import pytest
import torch
from PIL import Image

from tonggan.errors import DataError, UnreadableError
from tonggan.modalities.image import ImageConfig
from tonggan.modalities.movement import Movement
from tonggan.modalities.regions import (
    UNLABELED,
    RawMask,
    RegionClasses,
    Regions,
    RegionsConfig,
    check_extent,
    class_map,
    join_masks,
    learn_classes,
    raw_of,
    read_mask,
    read_mask_paths,
    stored,
)

RED, GREEN, BLUE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0)


def encoded(values, mode="L", form="PNG", **options):
    """The file of a mask with these values."""
    buffer = io.BytesIO()
    picture = Image.fromarray(np.array(values, dtype=np.int32 if mode == "I" else np.uint8))
    if mode == "P":
        picture.putpalette([9, 8, 7] * 256)
    elif mode in ("1", "I;16"):
        picture = picture.point(lambda value: 255 * value) if mode == "1" else picture
        picture = Image.fromarray(np.array(values, dtype=np.uint16)) if mode == "I;16" else picture.convert("1")
    picture.save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["L", "P", "1", "I;16"])
def test_masks_by_number(mode):
    values = [[0, 1, 1], [0, 0, 1]]
    mask = read_mask(encoded(values, mode))
    assert mask.values.tolist() == values
    assert not mask.is_color


def test_masks_by_color():
    mask = read_mask(encoded([[RED, BLUE], [BLACK, GREEN]]))
    assert mask.is_color
    classes = learn_classes([mask])
    assert classes.labels == ["#000000", "#0000ff", "#00ff00", "#ff0000"]
    assert class_map(mask, classes).tolist() == [[3, 1], [0, 2]]
    empty = read_mask(encoded([[BLACK, BLACK]]))  # grey alone, and yet one of the colors
    assert learn_classes([empty, mask]).labels == classes.labels
    assert class_map(empty, classes).tolist() == [[0, 0]]


def test_declared_classes():
    declared = {"#0000ff": "water", "#00ff00": "land", "#ff0000": "land", "#000000": None}
    mask = read_mask(encoded([[RED, BLUE], [BLACK, GREEN]]))
    classes = learn_classes([], declared=declared)
    assert classes.labels == ["water", "land"]
    assert class_map(mask, classes).tolist() == [[1, 0], [UNLABELED, 1]]
    numbers = learn_classes([], declared={"7": "cat", "3": "dog"})
    assert class_map(read_mask(encoded([[3, 7]])), numbers).tolist() == [[1, 0]]


@pytest.mark.parametrize(
    ("values", "labels", "expected"),
    [
        ([[0, 255, 255]], ("background", "object"), [[0, 1, 1]]),
        ([[0, 1, 1]], ("background", "object"), [[0, 1, 1]]),
        ([[0, 1, 255]], ["0", "1"], [[0, 1, UNLABELED]]),
        ([[0, 5, 2]], ["0", "2", "5"], [[0, 2, 1]]),
    ],
)
def test_classes_are_learned(values, labels, expected):
    mask = read_mask(encoded(values))
    classes = learn_classes([mask])
    assert classes.labels == labels
    assert class_map(mask, classes).tolist() == expected


def test_of_a_value_that_only_a_test_has_nothing_is_known():
    classes = learn_classes([read_mask(encoded([[0, 1, 2]]))])
    assert class_map(read_mask(encoded([[0, 7]])), classes).tolist() == [[0, UNLABELED]]
    assert class_map(read_mask(encoded([[RED]])), classes).tolist() == [[UNLABELED]]
    assert class_map(read_mask(encoded([[UNLABELED]])), classes).tolist() == [[UNLABELED]]


@pytest.mark.parametrize("values", [[[0, 1, 200]], [[RED, BLUE, BLACK]], [[BLACK, BLACK, BLACK]]])
def test_masks_are_stored_with_what_they_are(values):
    mask = read_mask(encoded(values))
    again = raw_of(stored(mask))
    assert again.is_color == mask.is_color
    assert again.values.tolist() == mask.values.tolist()


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "cannot be read"),
        (b"no picture", "cannot be read"),
        (encoded([[0, 1]])[:30], "cannot be read"),
        (encoded(np.zeros((8, 8)), form="JPEG"), "a JPEG, whose compression changes the values"),
    ],
)
def test_what_is_no_mask_is_named(raw, said):
    with pytest.raises(UnreadableError, match="mask: got") as caught:
        read_mask(raw)
    assert said in str(caught.value)


def test_masks_that_are_no_classes():
    noise = RawMask(np.arange(300, dtype=np.int32).reshape(20, 15), is_color=False)
    with pytest.raises(DataError, match="more than 255 different numbers"):
        learn_classes([noise])
    with pytest.raises(DataError, match="the value 0 alone"):
        learn_classes([read_mask(encoded([[0, 0]]))])
    for declared in ({"a": "x", "b": "y"}, {"1": "x"}, {"1": "x", "#00ff00": "y"}):
        with pytest.raises(DataError, match="classes of masks"):
            learn_classes([], declared=declared)


def test_one_mask_for_each_object():
    masks = [read_mask(encoded(values, "1")) for values in ([[0, 1, 0]], [[0, 0, 1]])]
    assert join_masks(masks, (1, 3)).tolist() == [[0, 1, 1]]
    assert join_masks([], (1, 3)).tolist() == [[0, 0, 0]]
    with pytest.raises(UnreadableError, match="got 3 x 1 pixels beside a picture of 3 x 2"):
        join_masks(masks, (2, 3))
    with pytest.raises(UnreadableError, match="beside a picture of 1 x 3"):
        check_extent(masks[0], (3, 1))


def test_paths_of_masks():
    assert read_mask_paths("a.png") == ["a.png"]
    assert read_mask_paths('["a.png", "b.png"]') == read_mask_paths(["a.png", "b.png"]) == ["a.png", "b.png"]
    assert read_mask_paths("[]") == []
    assert read_mask_paths(None) is read_mask_paths(" ") is None
    for cell in ('["a.png"', "[1]", 7, [""]):
        with pytest.raises(DataError, match="cell of masks"):
            read_mask_paths(cell)


@pytest.mark.parametrize("resize", ["squash", "pad"])
def test_a_mask_lies_where_its_picture_lies(resize):
    classes = np.zeros((60, 100), dtype=np.uint8)
    classes[20:50, 30:90] = 1
    picture = io.BytesIO()
    Image.fromarray(np.stack([classes * 200 + 50] * 3, axis=-1)).save(picture, "PNG")
    square = ImageConfig(size=40, resize=resize).build().decode(picture.getvalue())[0].astype(int)
    modality = Regions(RegionsConfig(), picture="image", size=40, resize=resize)
    fitted = modality.decode([encoded(classes)], (60, 100), by_object=False)
    assert fitted.shape == (40, 40)
    assert ((fitted < 0) == (square == 0)).all()
    clear = (square == 50) | (square == 250)  # pixels that hold one class alone
    assert (fitted[clear] == (square[clear] == 250)).all()
    assert clear.sum() > 0.5 * (fitted >= 0).sum()


TWO = RegionClasses(["ground", "thing"], {0: 0, 7: 1}, is_color=False)


def test_collated_masks():
    modality = Regions(RegionsConfig(), picture="image", size=2, resize="pad", classes=TWO)
    arrays = modality.collate([np.array([[7, 0], [-1, 3]], dtype=np.int32), None])
    assert arrays.values.dtype == torch.uint8
    assert arrays.values.tolist() == [[[1, 0], [UNLABELED, UNLABELED]], [[UNLABELED] * 2] * 2]
    assert arrays.mask.tolist() == [True, False]


def test_masks_follow_their_picture():
    modality = Regions(RegionsConfig(), picture="image", size=2, resize="pad", classes=TWO)
    arrays = modality.collate([np.array([[7, 0], [0, 0]], dtype=np.int32)])
    mirrored = torch.tensor([[[[-1.0, 0, 2], [0, 1, 0]]]])
    whole = torch.tensor([[[0.0, 0, 2, 2]]])
    moved = modality.follow(arrays, Movement(torch.zeros(1, 1, dtype=torch.int64), mirrored, whole))
    assert moved.values.tolist() == [[[0, 1], [0, 0]]]
    shifted = torch.tensor([[[[1.0, 0, 1], [0, 1, 0]]]])
    moved = modality.follow(arrays, Movement(torch.zeros(1, 1, dtype=torch.int64), shifted, whole))
    assert moved.values.tolist() == [[[UNLABELED, 1], [UNLABELED, 0]]]
