import json

import numpy as np
import pytest

from small_data import make_table
from tonggan.data.pictured_checks import check_boxes
from tonggan.data.target_checks import TargetColumn
from tonggan.modalities.boxes import BoxesConfig

CAT = {"label": "cat", "box": [1, 2, 11, 12]}


def checked(tmp_path, cells, *, extents=None, known=None):
    texts = [cell if cell is None or isinstance(cell, str) else json.dumps(cell) for cell in cells]
    table = make_table(tmp_path, {"objects": texts})
    sizes = None if extents is None else np.array(extents)
    split = "train" if known is None else "test"
    return check_boxes(TargetColumn(table, "objects", split, BoxesConfig(), known=known, extents=sizes))


def test_good_boxes_are_counted(tmp_path):
    cells = [[CAT] * 11, [], [CAT, CAT | {"label": "dog"}]]
    counts, findings, quarantine = checked(tmp_path, cells, extents=[[20, 40]] * 3)
    assert counts == {"cat": 12, "dog": 1}
    assert quarantine == []
    (rare,) = findings
    assert rare.severity == "note"
    assert rare.message == "1 of 2 classes of 'objects' have fewer than 10 objects in train: 'dog'."


@pytest.mark.parametrize(
    ("cell", "reason", "said"),
    [
        (None, "no value", "have no value"),
        ('[{"label": ', "no boxes that can be read: '[{\"label\": ', which is no JSON", "cannot be read as boxes"),
        ([CAT | {"box": [11, 2, 1, 12]}], "no boxes that can be read: box 1 (cat) of x 11 to 1", "x 11 to 1"),
        ('[{"label": "cat", "box": [1, 2, NaN, 12]}]', "nan", "cannot be read as boxes"),
        ([CAT, CAT | {"box": [50, 2, 60, 12]}], "a box outside its picture: cat [50, 2, 60, 12] in 40 x 20", "outside"),
    ],
)
def test_a_cell_that_cannot_be_used_is_named(tmp_path, cell, reason, said):
    counts, findings, (bad,) = checked(tmp_path, [[CAT] * 10, cell], extents=[[20, 40]] * 2)
    assert counts == {"cat": 10}
    assert (bad.split, bad.row, bad.number, bad.column) == ("train", 1, 2, "objects")
    assert reason in bad.reason
    (finding,) = findings
    assert finding.severity == "warning"
    assert "1 of 2 cells of 'objects' in train" in finding.message
    assert said in finding.message
    assert "有 1 格" in finding.message_zh
    assert finding.remedy


def test_what_reaches_over_the_edge_is_told(tmp_path):
    over, rounded = CAT | {"box": [-5, 2, 11, 12]}, CAT | {"box": [-1, 2, 41, 21]}
    counts, findings, quarantine = checked(tmp_path, [[over] * 10, [rounded]], extents=[[20, 40]] * 2)
    assert counts == {"cat": 11}
    assert quarantine == []
    (finding,) = findings
    assert "1 of 2 cells of 'objects' in train have boxes that reach over the edge" in finding.message
    assert "'cat [-5, 2, 11, 12] in 40 x 20' in row 1; what lies outside is cut off" in finding.message


def test_a_slip_of_the_hand_is_left_out_and_the_row_stays(tmp_path):
    counts, findings, quarantine = checked(tmp_path, [[CAT] * 10 + [CAT | {"box": [7, 7, 7, 7]}]], extents=[[20, 40]])
    assert counts == {"cat": 10}
    assert quarantine == []
    assert "have boxes without an area, e.g. 'cat [7, 7, 7, 7] in 40 x 20' in row 1" in findings[0].message


def test_a_picture_of_unknown_size_is_not_judged(tmp_path):
    far = CAT | {"box": [500, 2, 600, 12]}
    for extents in (None, [[0, 0]]):
        counts, _, quarantine = checked(tmp_path, [[far]], extents=extents)
        assert counts == {"cat": 1}
        assert quarantine == []


def test_a_class_that_only_the_test_has(tmp_path):
    counts, findings, (bad,) = checked(tmp_path, [[CAT], [CAT, CAT | {"label": "cow"}]], known=["cat", "dog"])
    assert counts == {"cat": 1}
    assert bad.reason == "a label that the training part does not have: cow"
    assert "'cow' in row 2" in findings[0].message


def test_nothing_to_learn_is_an_error(tmp_path):
    _, (empty,), _ = checked(tmp_path / "a", [[], []])
    assert empty.severity == "error"
    assert "No cell of 'objects' in train has a box" in empty.message
    _, (unread,), quarantine = checked(tmp_path / "b", ["x", "y"])
    assert unread.severity == "error"
    assert len(quarantine) == 2
