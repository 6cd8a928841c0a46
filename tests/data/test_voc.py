import json

import pytest

from annotated_pictures import draw, voc, write
from tonggan.data.readers import open_table
from tonggan.data.voc import parse_xml
from tonggan.errors import DataError

CAT, DOG = ("cat", 1, 2, 11, 12), ("dog", 0.5, 0, 30, 20)


@pytest.fixture
def folder(tmp_path):
    """One picture with two objects, and one without any."""
    folder = tmp_path / "VOC2007"
    for name, boxes in {"b": [CAT, DOG], "a": []}.items():
        draw(folder / f"JPEGImages/{name}.jpg")
        write(folder / f"Annotations/{name}.xml", voc(boxes, filename=f"{name}.jpg"))
    return folder


def opened(folder, tmp_path):
    return open_table(folder, cache=tmp_path / "cache")


def test_a_folder_of_voc(folder, tmp_path):
    table = opened(folder, tmp_path)
    assert table.values("image") == ["JPEGImages/a.jpg", "JPEGImages/b.jpg"]
    assert [json.loads(cell) for cell in table.values("objects")] == [
        [],
        [{"label": "cat", "box": [1, 2, 11, 12]}, {"label": "dog", "box": [0.5, 0, 30, 20]}],
    ]
    assert table.base == folder
    assert table.findings == []
    assert all((table.base / image).is_file() for image in table.values("image"))


def test_xml_beside_the_pictures(tmp_path):
    folder = tmp_path / "train"
    draw(folder / "x.png")
    write(folder / "x.xml", voc([CAT], filename="old name.jpg"))
    table = opened(folder, tmp_path)
    assert table.values("image") == ["x.png"]


@pytest.mark.parametrize(
    ("written", "ignored"),
    [("1", True), (" True ", True), ("0", None), ("false", None), ("Unspecified", None), ("", None)],
)
def test_only_yes_makes_an_object_difficult(folder, tmp_path, written, ignored):
    write(folder / "Annotations/a.xml", voc([CAT], more=f"<difficult>{written}</difficult>"))
    assert json.loads(opened(folder, tmp_path).values("objects")[0])[0].get("ignored") is ignored


def test_difficult_objects_need_not_be_found(folder, tmp_path):
    write(folder / "Annotations/a.xml", voc([CAT], more="<difficult>1</difficult>"))
    write(folder / "Annotations/b.xml", voc([DOG], more="<difficult>0</difficult>"))
    cells = [json.loads(cell)[0].get("ignored") for cell in opened(folder, tmp_path).values("objects")]
    assert cells == [True, None]


def test_what_has_no_partner_is_told(folder, tmp_path):
    draw(folder / "JPEGImages/forgotten.jpg")
    write(folder / "Annotations/lost.xml", voc([CAT], filename="gone.jpg"))
    table = opened(folder, tmp_path)
    assert table.values("image") == ["JPEGImages/a.jpg", "JPEGImages/b.jpg", "JPEGImages/gone.jpg"]
    lost, forgotten = table.findings
    assert "1 annotations have no picture, e.g. lost.xml" in lost.message
    assert "1 pictures have no annotation, e.g. forgotten.jpg" in forgotten.message
    assert "nothing says that they are empty" in forgotten.message
    assert "没有标注" in forgotten.message_zh
    assert forgotten.remedy
    assert opened(folder, tmp_path).findings == table.findings, "stored with the table"


def test_a_change_of_an_annotation_is_seen(folder, tmp_path):
    before = opened(folder, tmp_path).fingerprint
    write(folder / "Annotations/a.xml", voc([CAT]))
    assert opened(folder, tmp_path).fingerprint != before


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;&x;">]>'
    "<annotation><object><name>&y;</name></object></annotation>"
)
OUTSIDE = '<!DOCTYPE a SYSTEM "http://localhost/x.dtd"><annotation/>'
FILE = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><annotation><filename>&x;</filename></annotation>'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<annotation>\n<object>", "line 2 (no element found)"),
        ("<annotation>\n<a></b></annotation>", "line 2 (mismatched tag)"),
        ("", "line 1 (no element found)"),
        (BOMB, "line 1 (a document type"),
        (OUTSIDE, "line 1 (a document type"),
        (FILE, "line 1 (a document type"),
        ("<annotation>&undefined;</annotation>", "undefined entity"),
        (voc([("", 1, 2, 3, 4)]), "object 1 (no name)"),
        (voc([CAT, ("cat", 1, 2, "three", 4)]), "object 2 (xmin '1', ymin '2', xmax 'three'"),
        ("<annotation><object><name>cat</name></object></annotation>", "xmin None"),
    ],
)
def test_a_damaged_annotation_is_named_and_the_others_are_read(folder, tmp_path, text, said):
    path = write(folder / "Annotations/b.xml", text)
    table = opened(folder, tmp_path)
    assert table.values("image") == ["JPEGImages/a.jpg", "JPEGImages/b.jpg"]
    assert table.values("objects") == ["[]", None]
    (finding,) = table.findings
    assert finding.severity == "warning"
    assert f"1 annotations cannot be read, e.g. {path}" in finding.message
    assert said in finding.message
    assert str(path) in finding.message_zh
    assert "无法读取" in finding.message_zh


def test_the_first_annotation_may_be_the_damaged_one(folder, tmp_path):
    write(folder / "Annotations/a.xml", "")
    table = opened(folder, tmp_path)
    assert [cell is None for cell in table.values("objects")] == [True, False]
    assert [finding.count for finding in table.findings] == [1]


def test_an_encoding_that_is_unknown(tmp_path):
    path = write(tmp_path / "a.xml", '<?xml version="1.0" encoding="none-such"?><annotation/>')
    with pytest.raises(DataError, match="line 1"):
        parse_xml(path)


def test_ten_thousand_boxes_in_a_picture(folder, tmp_path):
    many = [("cat", x, y, x + 1, y + 1) for x in range(100) for y in range(100)]
    write(folder / "Annotations/a.xml", voc(many))
    assert len(json.loads(opened(folder, tmp_path).values("objects")[0])) == 10_000


def test_boxes_that_are_wrong_stay_as_they_are(folder, tmp_path):
    write(folder / "Annotations/a.xml", voc([("cat", 9, 2, 3, 4), ("cat", "nan", 2, 3, 4), ("cat", 900, 2, 903, 4)]))
    cell = opened(folder, tmp_path).values("objects")[0]
    assert '"box": [9, 2, 3, 4]' in cell
    assert "NaN" in cell
    assert "[900, 2, 903, 4]" in cell
