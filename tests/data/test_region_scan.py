"""The scan of a column of masks: what each row has, brought to the size of its picture once, and what is told of it."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from small_data import make_table
from tonggan.data.cache import DecodeCache
from tonggan.data.pictured_checks import check_regions
from tonggan.data.region_scan import scan_regions
from tonggan.data.scan import MediaStatus
from tonggan.data.target_checks import TargetColumn
from tonggan.modalities.regions import Regions, RegionsConfig
from tonggan.progress import Progress

SIZE = 8


class CountingRegions(Regions):
    """The real modality, which counts what it decodes."""

    num_decoded = 0

    def decode(self, masks, extent, *, by_object):
        self.num_decoded += 1
        return super().decode(masks, extent, by_object=by_object)


def regions(**options):
    return CountingRegions(RegionsConfig(), picture="photo", size=SIZE, resize="pad", **options)


def encoded(values):
    file = io.BytesIO()
    Image.fromarray(np.array(values, dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def write(folder, name, values):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(values))
    return name


def scan(folder, cells, *, extents=None, modality=None, name="train"):
    modality = modality or regions()
    cache = DecodeCache(folder / "cache", modality)
    table = make_table(folder, {"mask": cells}, name=name, batch_size=3)
    sizes = np.array(extents or [(4, 8)] * len(cells))
    column = scan_regions(table, "mask", modality, cache, extents=sizes, progress=Progress())
    return column, cache, table


def checked(table, column, *, known=None, classes=None):
    """Findings and quarantine list."""
    split = "train" if known is None else "test"
    return check_regions(
        TargetColumn(table, "mask", split, RegionsConfig(), known=known, masks=column), classes=classes
    )[1:]


STRIPES = [[1] * 8, [0] * 8, [3] * 8, [0] * 8]


def test_a_mask_goes_where_its_picture_goes(tmp_path):
    column, cache, _ = scan(tmp_path, [write(tmp_path, "a.png", STRIPES)])
    (array,) = cache.read(column.slots)
    assert array.dtype == np.int32
    # 8 by 4 pixels in a square of 8, two rows of border above and below.
    assert array[:, 0].tolist() == [-1, -1, 1, 0, 3, 0, -1, -1]
    assert (array == array[:, :1]).all()
    assert column.values == {0: frozenset({0, 1, 3})}


def test_absent_missing_damaged_and_of_another_size(tmp_path):
    write(tmp_path, "a.png", STRIPES)
    write(tmp_path, "turned.png", np.transpose(STRIPES))
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "cut.png").write_bytes(encoded(np.eye(200))[:90])
    Image.new("L", (8, 4)).save(tmp_path / "smooth.png", "JPEG")
    cells = ["a.png", None, "", "gone.png", "turned.png", "text.png", "cut.png", "smooth.png", "[1", "a.png"]
    column, _, table = scan(tmp_path, cells, extents=[(4, 8)] * 9 + [(0, 0)])
    present, absent, unreadable = MediaStatus.PRESENT, MediaStatus.ABSENT, MediaStatus.UNREADABLE
    assert column.status.tolist() == [present, absent, absent, *[unreadable] * 7]
    assert column.slots.tolist() == [0] + [-1] * 9
    assert column.problems[3] == "no file gone.png"
    assert column.problems[4] == "4 x 8 pixels beside a picture of 8 x 4"
    assert "cannot be read" in column.problems[5]
    assert "cannot be read" in column.problems[6]
    assert "JPEG" in column.problems[7]
    assert "no JSON" in column.problems[8]
    assert column.problems[9] == "a mask without its picture"
    (unreadable, empty), bad = checked(table, column)
    assert unreadable.severity == empty.severity == "warning"
    assert unreadable.message == (
        "7 of 10 cells of 'mask' in train name no mask that can be read, e.g. 'no file gone.png' in row 4."
    )
    assert "有 7 格" in unreadable.message_zh
    assert empty.message == "2 of 10 cells of 'mask' in train have no value."
    assert [(each.number, each.reason) for each in bad[:4]] == [
        (2, "no value"),
        (3, "no value"),
        (4, "no mask that can be read: no file gone.png"),
        (5, "no mask that can be read: 4 x 8 pixels beside a picture of 8 x 4"),
    ]


def test_masks_of_objects_are_one(tmp_path):
    left, right = np.zeros((4, 8)), np.zeros((4, 8))
    left[0, :2], right[3, 6:] = 255, 7
    names = [write(tmp_path, "1.png", left), write(tmp_path, "2.png", right)]
    column, cache, _ = scan(tmp_path, [json.dumps(names), "[]", json.dumps(names[:1])])
    both, none, one = cache.read(column.slots)
    assert both[2:6].tolist() == ((left > 0) | (right > 0)).astype(int).tolist()
    assert one[2:6].tolist() == (left > 0).astype(int).tolist()
    assert not none[2:6].any()
    assert (none[:2] == -1).all()
    assert [column.values[row] for row in range(3)] == [{0, 1}, {0}, {0, 1}]


def test_one_object_of_another_size_spoils_its_row(tmp_path):
    names = [write(tmp_path, "1.png", STRIPES), write(tmp_path, "2.png", [[1, 0]])]
    column, _, _ = scan(tmp_path, [json.dumps(names), json.dumps([*names[:1], "gone.png"])])
    assert column.problems == {0: "2 x 1 pixels beside a picture of 8 x 4", 1: "no file gone.png"}


def test_masks_in_the_table(tmp_path):
    raw = encoded(STRIPES)
    column, _, _ = scan(
        tmp_path, [{"bytes": raw, "path": None}, {"bytes": None, "path": write(tmp_path, "a.png", STRIPES)}]
    )
    assert column.slots.tolist() == [0, 0], "equal masks of equal pictures are one"


def test_each_mask_is_decoded_once(tmp_path):
    cells = [write(tmp_path, "a.png", STRIPES), write(tmp_path, "b.png", np.ones((4, 8))), "a.png", "cut.png"]
    (tmp_path / "cut.png").write_bytes(b"")
    first, second = regions(), regions()
    column, _, _ = scan(tmp_path, cells, modality=first)
    assert first.num_decoded <= 3
    again, _, _ = scan(tmp_path, cells, modality=second)
    assert second.num_decoded == 0
    assert again.slots.tolist() == column.slots.tolist()
    assert again.problems == column.problems
    assert again.values == column.values
    # What is wrong beside one picture may be right beside another.
    other, _, _ = scan(tmp_path, cells[:2], extents=[(4, 8), (8, 4)])
    assert sorted(other.problems) == [1]


def test_a_mask_that_was_changed_is_read_anew(tmp_path):
    cell = write(tmp_path, "a.png", STRIPES)
    scan(tmp_path, [cell])
    write(tmp_path, "a.png", np.full((4, 8), 9))
    column, _, _ = scan(tmp_path, [cell])
    assert column.values == {0: frozenset({9})}


def test_a_class_that_only_the_test_has(tmp_path):
    train, _, _ = scan(tmp_path, [write(tmp_path, "a.png", STRIPES)])
    known = train.values[0]
    cells = ["a.png", write(tmp_path, "b.png", [[2] * 8] * 4), write(tmp_path, "c.png", [[0] * 8] * 4)]
    column, _, table = scan(tmp_path, cells, name="test")
    (finding,), (bad,) = checked(table, column, known=[str(value) for value in known])
    assert (bad.split, bad.row, bad.number, bad.column, bad.value) == ("test", 1, 2, "mask", "b.png")
    assert bad.reason == "a class that the training part does not have: 2"
    assert (
        "1 of 3 cells of 'mask' in test have a class that the training part does not have, e.g. '2'" in finding.message
    )


@pytest.mark.parametrize("cells", [[None, None], ["gone.png", ""]])
def test_a_part_without_masks_is_an_error(tmp_path, cells):
    column, _, table = scan(tmp_path, cells)
    findings, bad = checked(table, column)
    assert {finding.severity for finding in findings} == {"error"}
    assert len(bad) == 2


def test_good_masks_are_not_spoken_of(tmp_path):
    column, _, table = scan(tmp_path, [write(tmp_path, "a.png", STRIPES)])
    assert checked(table, column) == ([], [])


def test_a_value_that_no_declared_class_has_is_told(tmp_path):
    column, _, table = scan(tmp_path, [write(tmp_path, "a.png", STRIPES), write(tmp_path, "b.png", [[0, 255] * 4] * 4)])
    whole = {"0": "ground", "1": "leaf", "3": None}
    for classes in (None, whole):
        assert checked(table, column, classes=classes) == ([], [])
    (finding,), _ = checked(table, column, classes={"0": "ground", "1": "leaf"})
    assert finding.severity == "warning"
    assert finding.message == (
        "1 of 2 cells of 'mask' in train have a value that 'classes' does not name, e.g. '3' in row 1; "
        "nothing is learned from such pixels."
    )
    black = {"#000000": "ground", "#010101": "leaf", "#030303": None, "#ffffff": None}
    assert checked(table, column, classes=black) == ([], [])


def test_the_quarantine_list_says_what_the_table_does(tmp_path):
    cells = [{"bytes": b"", "path": "a.png"}, {"bytes": None, "path": None}]
    column, _, table = scan(tmp_path, cells)
    assert [bad.value for bad in checked(table, column)[1]] == ["a.png", ""]
