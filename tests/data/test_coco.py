import json

import pytest

from annotated_pictures import coco, draw, write
from tonggan.data.readers import open_table
from tonggan.errors import DataError

PICTURES = {"a.jpg": [("cat", 1, 2, 11, 12), ("dog", 0.5, 0, 30, 20)], "b.jpg": []}
OBJECTS = [[{"label": "cat", "box": [1, 2, 11, 12]}, {"label": "dog", "box": [0.5, 0, 30, 20]}], []]


def opened(path, tmp_path):
    return open_table(path, cache=tmp_path / "cache")


def objects(table):
    return [json.loads(cell) for cell in table.values("objects")]


@pytest.mark.parametrize(
    ("file", "pictures"),
    [
        ("set.json", "."),
        ("set.json", "images"),
        ("annotations/instances_train2017.json", "train2017"),
        ("annotations/instances_train2017.json", "images/train2017"),
        ("annotations/set.json", "images"),
    ],
)
def test_pictures_are_found(tmp_path, file, pictures):
    for name in PICTURES:
        draw(tmp_path / "set" / pictures / name)
    table = opened(write(tmp_path / "set" / file, coco(PICTURES)), tmp_path)
    assert table.values("image") == ["a.jpg", "b.jpg"]
    assert objects(table) == OBJECTS
    assert table.base.resolve() == (tmp_path / "set" / pictures).resolve()
    assert table.findings == []
    assert opened(tmp_path / "set", tmp_path).values("objects") == table.values("objects")


@pytest.fixture
def folder(tmp_path):
    for name in PICTURES:
        draw(tmp_path / "set" / name)
    return tmp_path / "set"


def test_crowds_are_ignored(folder, tmp_path):
    document = json.loads(coco(PICTURES))
    document["annotations"][0]["iscrowd"] = 1
    table = opened(write(folder / "set.json", json.dumps(document, indent=1)), tmp_path)
    assert [box.get("ignored") for box in objects(table)[0]] == [True, None]
    document["annotations"][1]["iscrowd"] = "0"
    table = opened(write(folder / "set.json", json.dumps(document, indent=1)), tmp_path)
    assert [box.get("ignored") for box in objects(table)[0]] == [True, None]


def test_annotations_in_another_encoding_say_so(folder, tmp_path):
    document = json.loads(coco({name: [("红细胞", 1, 2, 11, 12)] for name in PICTURES}))
    (folder / "set.json").write_bytes(json.dumps(document, ensure_ascii=False).encode("gbk"))
    with pytest.raises(DataError, match="Save the file as UTF-8"):
        opened(folder / "set.json", tmp_path)


def test_pictures_are_found_by_paths_of_windows(tmp_path):
    names = [f"day\\{name}" for name in PICTURES]
    for name in PICTURES:
        draw(tmp_path / "set/images/day" / name)
    table = opened(write(tmp_path / "set/set.json", coco(dict(zip(names, PICTURES.values(), strict=True)))), tmp_path)
    assert table.values("image") == ["day/a.jpg", "day/b.jpg"]
    assert objects(table) == OBJECTS
    assert table.findings == []


def test_what_has_no_partner_is_told(folder, tmp_path):
    draw(folder / "c.jpg")
    document = json.loads(coco(PICTURES | {"gone.jpg": []}))
    document["annotations"].append({"id": 77, "image_id": 99, "category_id": 1, "bbox": [1, 2, 3, 4]})
    table = opened(write(folder / "set.json", json.dumps(document)), tmp_path)
    assert table.values("image") == ["a.jpg", "b.jpg", "gone.jpg"]
    assert objects(table) == [*OBJECTS, []]
    lost, gone, extra = (finding.message for finding in table.findings)
    assert "1 annotations belong to no picture, e.g. 77 of image 99" in lost
    assert "1 annotations have no picture, e.g. gone.jpg" in gone
    assert "1 pictures have no annotation, e.g. c.jpg" in extra


def changed(**changes):
    return coco(PICTURES, **changes)


BOX = {"id": 1, "image_id": 0, "category_id": 1, "bbox": [1, 2, 3, 4]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (coco(PICTURES)[:-20], "line 1: got"),
        (json.dumps(json.loads(coco(PICTURES)), indent=1).replace('"id": 1,', '"id": ,', 1), "line 1"),
        (changed(categories=None), "no list 'categories'"),
        (changed(images=[{"id": 1}]), "images: got no 'file_name'"),
        (changed(images=[{"file_name": "a.jpg"}]), "images[0]: got no 'id'"),
        (changed(images=[{"id": 1, "file_name": "a.jpg"}] * 2), "images[1]: got the id 1 again"),
        (changed(annotations=[BOX | {"category_id": 9}]), "annotations[0]: got the category 9"),
        (changed(annotations=[BOX | {"bbox": [1, 2, 3]}]), "annotations[0]: got the bbox [1, 2, 3]"),
        (changed(annotations=[BOX | {"bbox": None}]), "got the bbox None"),
        (changed(annotations=[{"bbox": [1, 2, 3, 4]}]), "annotations[0]: got no 'image_id'"),
        (coco({"none.jpg": []}), "no picture such as none.jpg"),
        (changed(annotations=[BOX | {"image_id": "0"}]), "no annotation that belongs to one of the images"),
    ],
)
def test_a_damaged_document_is_named(folder, tmp_path, text, said):
    path = write(folder / "set.json", text)
    with pytest.raises(DataError) as caught:
        opened(path, tmp_path)
    assert f"file {path}" in str(caught.value)
    assert said in str(caught.value)


def test_several_files_of_a_folder(folder, tmp_path):
    for name in ("train.json", "val.json"):
        write(folder / "annotations" / name, coco(PICTURES))
    with pytest.raises(DataError, match=r"2 files of annotations, e\.g\. train\.json and val\.json"):
        opened(folder, tmp_path)


def test_json_lines_stay_json_lines(tmp_path):
    one = write(tmp_path / "one.json", '{"images": "a.jpg", "annotations": "cat"}\n')
    assert opened(one, tmp_path).values("annotations") == ["cat"]
    two = write(tmp_path / "two.json", '{"info": "a", "label": 1}\n{"info": "b", "label": 2}\n')
    assert opened(two, tmp_path).values("label") == [1, 2]
    other = write(tmp_path / "other.json", '{"label": 1}\n')
    assert opened(other, tmp_path).values("label") == [1]
