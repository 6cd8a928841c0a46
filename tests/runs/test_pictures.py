"""Answers that lie in pictures: COCO's JSON as its own tools read it, and pictures with them drawn."""

import contextlib
import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import detection_scene
from command_line import assert_named, tonggan
from tonggan.errors import DataError
from tonggan.runs.writing import write_coco


def valid_of(predictor):
    return predictor.folder.parent / "valid.jsonl"


def cells_of(path, name):
    return [json.loads(line)[name] for line in path.read_text().splitlines()]


def opened(path):
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


def test_coco_tools_read_the_same_boxes(boxes_run, tmp_path):
    source, path = valid_of(boxes_run), tmp_path / "found.json"
    write_coco(path, boxes_run.predict_coco(source))
    found, told = opened(path), boxes_run.predict(source)
    names = cells_of(source, "photo")
    assert found.getImgIds() == list(range(1, 13))
    for number, (boxes, name) in enumerate(zip(told, names, strict=True), start=1):
        image = found.imgs[number]
        assert image["file_name"] == name
        with Image.open(boxes_run.folder.parent / name) as picture:
            assert (image["width"], image["height"]) == picture.size
        annotations = found.loadAnns(found.getAnnIds(imgIds=[number]))
        assert len(annotations) == len(boxes)
        for annotation, box in zip(annotations, boxes, strict=True):
            x, y, width, height = annotation["bbox"]
            assert [x, y, x + width, y + height] == pytest.approx(box["box"], abs=1e-6)
            assert annotation["area"] == pytest.approx(width * height, abs=0.01)
            assert found.cats[annotation["category_id"]]["name"] == box["label"]
            assert annotation["score"] == box["score"]
    assert sum(map(len, told)) > 4


def test_coco_tools_measure_what_the_run_measured(boxes_run, tmp_path):
    """From the pictures' files to the number: our own reading, scaling back and counting beside pycocotools'."""
    source = valid_of(boxes_run)
    task = boxes_run.bundle.task
    before, task.confidence = task.confidence, 0.0
    try:
        found = boxes_run.predict_coco(source)
    finally:
        task.confidence = before
    truth = {"images": found["images"], "categories": found["categories"], "annotations": []}
    numbers = {category["name"]: category["id"] for category in found["categories"]}
    for image, cell in zip(found["images"], cells_of(source, "objects"), strict=True):
        for box in json.loads(cell):
            x1, y1, x2, y2 = box["box"]
            sides = [x1, y1, x2 - x1, y2 - y1]
            number = len(truth["annotations"]) + 1
            truth["annotations"].append(
                {"id": number, "image_id": image["id"], "category_id": numbers[box["label"]], "iscrowd": 0}
                | {"bbox": sides, "area": sides[2] * sides[3]}
            )
    write_coco(tmp_path / "truth.json", truth)
    reference = opened(tmp_path / "truth.json")
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(reference, reference.loadRes(found["annotations"]), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    metrics = boxes_run.results["metrics"]["valid"]
    # Scores and sides of a file are rounded.
    assert metrics["map_50"] == pytest.approx(evaluation.stats[1], abs=0.01)
    assert metrics["map"] == pytest.approx(evaluation.stats[0], abs=0.01)
    assert metrics["map_50"] > 0.7


def test_pictures_are_drawn_in_their_size(boxes_run, masks_run, tmp_path):
    for predictor in (boxes_run, masks_run):
        folder = tmp_path / predictor.bundle.task.kind
        assert predictor.draw(valid_of(predictor), folder) == 12
        drawn = sorted(folder.iterdir())
        assert [path.name for path in drawn] == [f"{number:06d}.png" for number in range(1, 13)]
        for path, name in zip(drawn, cells_of(valid_of(predictor), "photo"), strict=True):
            picture = np.asarray(Image.open(predictor.folder.parent / name))
            factor = -(-256 // max(picture.shape[:2]))  # these are small
            assert np.asarray(Image.open(path)).shape == (factor * picture.shape[0], factor * picture.shape[1], 3)


def test_a_large_picture_keeps_its_size_and_stands_upright(boxes_run, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    Image.new("RGB", (300, 400), (60, 60, 60)).save(tmp_path / "a.jpg", exif=exif)
    with pytest.warns(match="another size than in training"):
        rows = boxes_run.read({"photo": [str(tmp_path / "a.jpg")]})
    assert boxes_run.draw(rows, tmp_path / "drawn") == 1
    assert Image.open(tmp_path / "drawn/000001.png").size == (400, 300)
    (image,) = boxes_run.predict_coco(rows)["images"]
    assert (image["width"], image["height"]) == (400, 300)


def test_a_row_without_a_picture_has_no_drawing(boxes_run, tmp_path):
    good = boxes_run.folder.parent / "valid/0.png"
    data = {"photo": [str(good), str(tmp_path / "gone.png"), str(good)]}
    with pytest.warns(match=r"gone\.png"):
        assert boxes_run.draw(data, tmp_path / "drawn") == 2
    assert [path.name for path in sorted((tmp_path / "drawn").iterdir())] == ["000001.png", "000003.png"]
    with pytest.warns(match=r"gone\.png"):
        found = boxes_run.predict_coco(data)
    assert [image["id"] for image in found["images"]] == [1, 2, 3]
    assert 2 not in {annotation["image_id"] for annotation in found["annotations"]}


def test_a_folder_of_pictures_is_the_models_only_picture(boxes_run, tmp_path):
    folder = shutil.copytree(
        boxes_run.folder.parent / "valid", tmp_path / "new", ignore=shutil.ignore_patterns("*_mask.png")
    )
    pictures = sorted(folder.iterdir())
    assert boxes_run.bundle.task.config.shown_in == "photo"
    assert boxes_run.predict(folder) == boxes_run.predict({"photo": [str(path) for path in pictures]})
    assert boxes_run.predict(pictures[0]) == boxes_run.predict({"photo": [str(pictures[0])]})


def test_pictures_in_memory(boxes_run):
    source = valid_of(boxes_run)
    raw = [{"photo": (source.parent / name).read_bytes()} for name in cells_of(source, "photo")]
    found = boxes_run.predict_coco(raw)
    assert [image["file_name"] for image in found["images"]] == [f"row {number}" for number in range(1, 13)]
    assert found["annotations"] == boxes_run.predict_coco(source)["annotations"]


def test_a_folder_that_cannot_be_written(boxes_run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="a place that can be written"):
        boxes_run.draw(valid_of(boxes_run), tmp_path / "file" / "drawn")


def test_nothing_that_is_there_is_written_over(boxes_run, tmp_path):
    """The folder may be the one with the pictures that are read."""
    folder = tmp_path / "photos"
    folder.mkdir()
    shutil.copy(boxes_run.folder.parent / "valid/0.png", folder / "000001.png")
    before = (folder / "000001.png").read_bytes()
    with pytest.raises(DataError, match="a new or an empty folder"):
        boxes_run.draw({"photo": [str(folder / "000001.png")]}, folder)
    (tmp_path / "new.csv").write_text("photo\nphotos/000001.png\n")
    refused = tonggan("predict", boxes_run.folder, tmp_path / "new.csv", "--out", tmp_path / "a.csv", "--draw", folder)
    assert_named(refused, "folder", "an existing file or folder", "Choose another name")
    assert (folder / "000001.png").read_bytes() == before
    assert not (tmp_path / "a.csv").exists()
    (tmp_path / "empty").mkdir()
    assert boxes_run.draw({"photo": [str(folder / "000001.png")]}, tmp_path / "empty") == 1


def test_a_classifier_draws_nothing(finished, tmp_path):
    rows = {"size": [1.0], "weight": [1.0], "note": ["red"]}
    with pytest.raises(DataError, match="a model whose answers lie in a picture"):
        finished.draw(rows, tmp_path / "drawn")
    assert not (tmp_path / "drawn").exists()
    with pytest.raises(DataError, match="a model that finds boxes"):
        finished.predict_coco(rows)


def test_the_command_line_refuses_before_it_writes(finished, masks_run, tmp_path):
    table = tmp_path / "new.csv"
    table.write_text("size,weight,note\n1,1,red\n")
    for out, more in (("found.json", ()), ("found.csv", ("--draw", tmp_path / "drawn"))):
        refused = tonggan("predict", finished.folder, table, "--out", tmp_path / out, *more)
        assert_named(refused, "binary model", "Write its predictions as a table")
        assert [path.name for path in tmp_path.iterdir()] == ["new.csv"]
    refused = tonggan("predict", masks_run.folder, valid_of(masks_run), "--out", tmp_path / "found.json")
    assert_named(refused, "segment model", "a model that finds boxes")


def test_the_scene_is_what_it_says(tmp_path):
    """Boxes, masks and pictures of the tests' data agree."""
    for row in detection_scene.rows(tmp_path, 12):
        mask, picture = (np.asarray(Image.open(tmp_path / row[name])) for name in ("mask", "photo"))
        assert mask.shape == picture.shape[:2]
        for box in json.loads(row["wanted"]):
            x1, y1, x2, y2 = box["box"]
            assert box["label"] in row["color"]
            assert (mask[y1:y2, x1:x2] > 0).all()
