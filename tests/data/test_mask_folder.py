import json

import pytest

from annotated_pictures import draw
from tonggan.data.readers import open_table
from tonggan.errors import DataError


def opened(folder, tmp_path):
    return open_table(folder, cache=tmp_path / "cache")


def test_one_mask_for_each_picture(tmp_path):
    folder = tmp_path / "set"
    for name in ("images/a.jpg", "images/deep/b.jpg", "masks/a.png", "masks/deep/b.png"):
        draw(folder / name)
    table = opened(folder, tmp_path)
    assert table.values("image") == ["images/a.jpg", "images/deep/b.jpg"]
    assert table.values("mask") == ["masks/a.png", "masks/deep/b.png"]
    assert table.findings == []
    draw(folder / "images/c.jpg")
    draw(folder / "masks/d.png")
    without, lost = (finding.message for finding in opened(folder, tmp_path).findings)
    assert "1 pictures have no annotation, e.g. c.jpg" in without
    assert "1 annotations belong to no picture, e.g. d.png" in lost


@pytest.mark.parametrize("name", ["masks", "labels", "annotations"])
def test_the_folder_of_masks_has_several_names(tmp_path, name):
    draw(tmp_path / "set/images/train/a.jpg")
    draw(tmp_path / f"set/{name}/train/a.png")
    assert opened(tmp_path / "set", tmp_path).values("mask") == [f"{name}/train/a.png"]


@pytest.mark.parametrize("name", ["{}_mask", "seg-{}", "{}.label", "mask_{}_0"])
def test_masks_may_have_the_same_letters_around_the_names_of_pictures(tmp_path, name):
    for number in range(12):  # 1 also stands in 10 and 11
        draw(tmp_path / f"set/images/{number}.jpg")
        draw(tmp_path / f"set/masks/{name.format(number)}.png")
    table = opened(tmp_path / "set", tmp_path)
    pairs = zip(table.values("image"), table.values("mask"), strict=True)
    assert sorted(pairs) == sorted((f"images/{n}.jpg", f"masks/{name.format(n)}.png") for n in range(12))
    assert table.findings == []


def test_masks_of_no_picture_are_named(tmp_path):
    draw(tmp_path / "set/images/a.jpg")
    draw(tmp_path / "set/masks/b.png")
    with pytest.raises(DataError, match=r"no mask that is named as its picture, e\.g\. a\.jpg and b\.png"):
        opened(tmp_path / "set", tmp_path)


def test_one_mask_for_each_object(tmp_path):
    folder = tmp_path / "set"
    for name in ("x/images/x.png", "x/masks/1.png", "x/masks/2.png", "y/images/y.png"):
        draw(folder / name)
    (folder / "y/masks").mkdir()
    table = opened(folder, tmp_path)
    assert table.names == ["image", "masks"]
    assert table.values("image") == ["x/images/x.png", "y/images/y.png"]
    assert [json.loads(cell) for cell in table.values("masks")] == [["x/masks/1.png", "x/masks/2.png"], []]
    assert all((table.base / path).is_file() for cell in table.values("masks") for path in json.loads(cell))
    draw(folder / "z/images/z.png")
    again = opened(folder, tmp_path)
    assert len(again) == 2
    assert "e.g. z. They are left out: nothing says that they are empty." in again.findings[0].message


def test_class_folders_stay_class_folders(tmp_path):
    for name in ("images/a.jpg", "photographs/b.jpg"):
        draw(tmp_path / "set" / name)
    assert opened(tmp_path / "set", tmp_path).names == ["image", "label"]
