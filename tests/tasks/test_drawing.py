import numpy as np
import pytest
from PIL import ImageFont

from tonggan.tasks.drawing import COLORS, FONTS, draw_boxes, draw_regions

GREY = np.full((300, 400, 3), 90, dtype=np.uint8)


def has_chinese() -> bool:
    for name in FONTS:
        try:
            ImageFont.truetype(name)
        except OSError:
            continue
        return True
    return False


def places_of(drawn, color):
    """The box around all pixels of a color: left, top, right, bottom, the last ones included."""
    rows, columns = np.nonzero((drawn == color).all(axis=-1))
    return [columns.min(), rows.min(), columns.max(), rows.max()]


def test_a_frame_lies_on_the_outermost_pixels_of_its_box():
    drawn = draw_boxes(GREY, np.array([[10.0, 20, 110, 70], [0, 0, 400, 300]]), ["", ""], [0, 1])
    assert places_of(drawn, COLORS[0]) == [10, 20, 109, 69]
    assert places_of(drawn, COLORS[1]) == [0, 0, 399, 299]
    assert (drawn[40:50, 50:60] == 90).all(), "what is in the box is still seen"
    assert (GREY == 90).all(), "what was given stays as it is"


def test_equal_classes_have_equal_colors():
    boxes = np.array([[0.0, 0, 9, 9], [50, 50, 90, 90], [200, 50, 240, 90]])
    drawn = draw_boxes(GREY, boxes, [""] * 3, [2, 5, 2])
    assert tuple(drawn[0, 0]) == tuple(drawn[50, 200]) == COLORS[2]
    assert tuple(drawn[50, 50]) == COLORS[5]
    assert tuple(draw_boxes(GREY, boxes[:1], [""], [len(COLORS) + 2])[0, 0]) == COLORS[2]


@pytest.mark.parametrize("box", [[0, 0, 40, 40], [395, 0, 400, 40], [150, 295, 200, 300], [-20, -9, 430, 320]])
@pytest.mark.parametrize(
    "name",
    [
        "platelet 0.95",
        pytest.param("血小板 0.95", marks=pytest.mark.skipif(not has_chinese(), reason="no font has Chinese letters")),
    ],
)
def test_a_name_is_read_wherever_its_box_lies(box, name):
    with_name, without = (draw_boxes(GREY, np.array([box], dtype=float), [text], [3]) for text in (name, ""))
    rows, columns = np.nonzero((with_name != without).any(axis=-1))
    assert rows.max() - rows.min() >= 8
    assert columns.max() - columns.min() >= 50, "the name is cut off"
    assert (with_name[rows.min() : rows.max() + 1] < 60).all(axis=-1).sum() > 20, "black letters"


def test_small_pictures_are_enlarged_with_their_boxes():
    drawn = draw_boxes(GREY[:32, :48], np.array([[8.0, 16, 24, 32]]), [""], [0])
    assert drawn.shape == (192, 288, 3)
    assert places_of(drawn, COLORS[0]) == [48, 96, 143, 191]


def test_nothing_found_is_the_picture():
    np.testing.assert_array_equal(draw_boxes(GREY, np.zeros((0, 4)), [], []), GREY)


def test_a_box_without_an_area_is_drawn():
    left, top, right, bottom = places_of(draw_boxes(GREY, np.array([[10.0, 20, 10, 20]]), [""], [0]), COLORS[0])
    assert (left, top) == (10, 20)
    assert max(right - left, bottom - top) <= 2


def test_regions_are_colored_and_have_borders():
    regions = np.zeros((300, 400), dtype=np.uint8)
    regions[100:200, 100:200] = 1
    drawn = draw_regions(GREY, regions, background=0)
    assert (drawn[:99] == 90).all()
    np.testing.assert_allclose(drawn[150, 150], 0.55 * 90 + 0.45 * np.array(COLORS[1]), atol=0.5)
    assert (drawn[100, 100:200] == 255).all()
    assert (drawn[200, 100:200] == 255).all()
    other = draw_regions(GREY, regions, background=1)
    assert (other[150, 150] == 90).all()
    assert (other[50, 50] != 90).any()


def test_small_regions_are_enlarged():
    assert draw_regions(GREY[:32, :48], np.zeros((32, 48), dtype=np.uint8), background=0).shape == (192, 288, 3)


def test_regions_are_named():
    regions = np.zeros((300, 400), dtype=np.uint8)
    regions[100:200, 100:200], regions[:, 390:] = 1, 2
    plain, named = (draw_regions(GREY, regions, background=0, names=names) for names in ((), ["", "leaf", "trunk"]))
    rows, columns = np.nonzero((plain != named).any(axis=-1))
    at_leaf, at_trunk = columns < 300, columns >= 300
    assert rows[at_leaf].min() < 100 <= rows[at_leaf].max() + 1, "above its region"
    assert columns[at_leaf].min() == 100
    assert columns[at_trunk].min() < 380, "moved to where it can be read"
    assert (named == COLORS[1]).all(axis=-1).sum() > 50
