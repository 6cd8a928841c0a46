import json

import pytest

from annotated_pictures import draw, write
from tonggan.data.readers import open_table
from tonggan.errors import DataError


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "cells"
    draw(folder / "images/a.jpg")
    draw(folder / "images/deep/b.png", width=100, height=50)
    write(folder / "labels/a.txt", "0 0.5 0.5 0.25 0.5\n\n1 0.25 0.25 0.1 0.1\n")
    write(folder / "labels/deep/b.txt", "")
    write(folder / "data.yaml", "nc: 2\nnames: [red, white]\n")
    return folder


def opened(folder, tmp_path):
    return open_table(folder, cache=tmp_path / "cache")


def objects(table):
    return [None if cell is None else json.loads(cell) for cell in table.values("objects")]


RED, WHITE = {"label": "red", "box": [15, 5, 25, 15]}, {"label": "white", "box": [8, 4, 12, 6]}


def test_a_folder_of_yolo(folder, tmp_path):
    table = opened(folder, tmp_path)
    assert table.values("image") == ["images/a.jpg", "images/deep/b.png"]
    assert objects(table) == [[RED, WHITE], []]
    assert table.findings == []


@pytest.mark.parametrize(
    ("name", "text"),
    [("data.yaml", "names:\n  0: red\n  1: white\n"), ("classes.txt", "red\nwhite\n"), ("obj.names", "red\nwhite")],
)
def test_the_names_of_the_classes(folder, tmp_path, name, text):
    (folder / "data.yaml").unlink()
    write(folder / name, text)
    assert objects(opened(folder, tmp_path))[0] == [RED, WHITE]


def test_a_blank_name_keeps_its_number(folder, tmp_path):
    (folder / "data.yaml").unlink()
    write(folder / "classes.txt", "red\n\nwhite\n\n")
    write(folder / "labels/a.txt", "2 0.25 0.25 0.1 0.1\n")
    assert objects(opened(folder, tmp_path))[0] == [WHITE]


def test_classes_without_names_are_numbers(folder, tmp_path):
    (folder / "data.yaml").unlink()
    table = opened(folder, tmp_path)
    assert [box["label"] for box in objects(table)[0]] == ["0", "1"]
    assert "No classes.txt or data.yaml names the classes of cells" in table.findings[0].message


def test_one_part_of_a_split(tmp_path):
    for part in ("train", "val"):
        draw(tmp_path / f"set/images/{part}/{part}.jpg")
        write(tmp_path / f"set/labels/{part}/{part}.txt", "0 0.5 0.5 0.25 0.5")
    write(tmp_path / "set/data.yaml", "names: [red]")
    table = opened(tmp_path / "set/images/train", tmp_path)
    assert table.values("image") == ["train.jpg"]
    assert objects(table) == [[RED]]
    with pytest.raises(DataError, match="the parts of a split: train, val") as caught:
        opened(tmp_path / "set", tmp_path)
    assert f"Pass {tmp_path / 'set/images/train'}" in str(caught.value)


def test_the_names_may_be_a_folder_above(tmp_path):
    draw(tmp_path / "set/train/images/a.jpg")
    write(tmp_path / "set/train/labels/a.txt", "0 0.5 0.5 0.25 0.5")
    write(tmp_path / "set/data.yaml", "names: [red]")
    assert objects(opened(tmp_path / "set/train", tmp_path)) == [[RED]]


def test_texts_beside_the_pictures(tmp_path):
    draw(tmp_path / "set/a.jpg")
    write(tmp_path / "set/a.txt", "0 0.5 0.5 0.25 0.5")
    write(tmp_path / "set/classes.txt", "red")
    table = opened(tmp_path / "set", tmp_path)
    assert objects(table) == [[RED]]
    assert table.findings == []


def test_an_outline_becomes_its_box(folder, tmp_path):
    write(folder / "labels/a.txt", "0 0.375 0.5 0.625 0.25 0.5 0.75")
    assert objects(opened(folder, tmp_path))[0] == [RED]


def test_a_turned_photograph_is_measured_upright(folder, tmp_path):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    draw(folder / "images/a.jpg", width=20, height=40, exif=exif)
    assert objects(opened(folder, tmp_path))[0] == [RED, WHITE]


def test_what_has_no_partner_is_told(folder, tmp_path):
    draw(folder / "images/background.jpg")
    (folder / "images/deep/b.png").write_bytes(b"no picture")
    write(folder / "labels/deep/b.txt", "0 0.5 0.5 0.25 0.5")
    write(folder / "labels/lost.txt", "0 0.5 0.5 0.25 0.5")
    table = opened(folder, tmp_path)
    assert table.values("image") == ["images/a.jpg", "images/background.jpg", "images/deep/b.png"]
    assert objects(table) == [[RED, WHITE], [], None]
    background, unreadable, lost = table.findings
    assert background.severity == "note"
    assert "1 pictures have no label file, e.g. background.jpg" in background.message
    assert "boxes of 1 pictures are not read, e.g. those of deep/b.png" in unreadable.message
    assert "1 annotations belong to no picture, e.g. lost.txt" in lost.message


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("0 0.5 0.5 0.25", "'0 0.5 0.5 0.25'"),
        ("red 0.5 0.5 0.25 0.5", "'red 0.5 0.5 0.25 0.5'"),
        ("0.5 0.5 0.5 0.25 0.5", "'0.5 0.5 0.5 0.25 0.5'"),
        ("0 0.5 0.5 0.25 nan", "nan"),
        ("0 0.5 0.5 0.25 0.5 0.9", "0.9"),
        ("2 0.5 0.5 0.25 0.5", "the class 2, where 0 to 1 are named"),
        ("-1 0.5 0.5 0.25 0.5", "the class -1"),
    ],
)
def test_a_damaged_line_is_named_and_the_other_files_are_read(folder, tmp_path, line, said):
    path = write(folder / "labels/a.txt", f"0 0.5 0.5 0.25 0.5\n{line}\n")
    table = opened(folder, tmp_path)
    assert [cell is None for cell in table.values("objects")] == [True, False]
    (finding,) = table.findings
    assert f"1 annotations cannot be read, e.g. {path}, line 2 (" in finding.message
    assert said in finding.message


@pytest.mark.parametrize("text", ["names: [red", "names: red", "names: {1: red}"])
def test_damaged_names(folder, tmp_path, text):
    path = write(folder / "data.yaml", text)
    with pytest.raises(DataError, match=f"file {path}"):
        opened(folder, tmp_path)
