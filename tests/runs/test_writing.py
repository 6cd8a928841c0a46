"""Predictions in files: whole or not at all, and masks as pictures beside their table."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image

from command_line import assert_named, tonggan
from tonggan.errors import ConfigError, DataError
from tonggan.runs.writing import check_suffix, write_coco, write_predictions


def png(value):
    file = io.BytesIO()
    Image.fromarray(np.full((4, 6), value, dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


MASKS = pa.table({"row": [3, 12], "prediction": [png(1), png(2)]})


def rows_of(path):
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return list(csv.DictReader(file))
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    header, *cells = openpyxl.load_workbook(path)["predictions"].iter_rows(values_only=True)
    return [dict(zip(header, row, strict=True)) for row in cells]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".xlsx"])
def test_masks_are_files_beside_their_table(tmp_path, suffix):
    path = tmp_path / "deep" / f"found{suffix}"
    write_predictions(path, MASKS)
    assert [row["prediction"] for row in rows_of(path)] == ["found/000003.png", "found/000012.png"]
    for row, value in zip(rows_of(path), (1, 2), strict=True):
        mask = np.asarray(Image.open(path.parent / row["prediction"]))
        assert mask.shape == (4, 6)
        assert (mask == value).all()
    assert sorted(each.name for each in path.parent.iterdir()) == ["found", f"found{suffix}"]


def test_masks_in_parquet_are_cells(tmp_path):
    write_predictions(tmp_path / "found.parquet", MASKS)
    assert pyarrow.parquet.read_table(tmp_path / "found.parquet").column("prediction").to_pylist() == [png(1), png(2)]
    assert [each.name for each in tmp_path.iterdir()] == ["found.parquet"]


def test_masks_without_row_numbers_are_counted(tmp_path):
    write_predictions(tmp_path / "found.csv", MASKS.select(["prediction"]))
    assert [row["prediction"] for row in rows_of(tmp_path / "found.csv")] == ["found/000001.png", "found/000002.png"]


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "found").mkdir()
    (tmp_path / "found/000003.png").write_text("mine")
    with pytest.raises(DataError, match="a new or an empty folder"):
        write_predictions(tmp_path / "found.csv", MASKS)
    assert [each.name for each in tmp_path.iterdir()] == ["found"]
    assert (tmp_path / "found/000003.png").read_text() == "mine"


def test_whole_or_not_at_all(tmp_path):
    """A table that fails after its first mask leaves nothing; one that stood there before stays."""
    broken = pa.table({"row": [1, 2], "prediction": pa.array([png(1), None], pa.binary())})
    (tmp_path / "found.csv").write_text("before")
    with pytest.raises(TypeError):
        write_predictions(tmp_path / "found.csv", broken)
    assert [each.name for each in tmp_path.iterdir()] == ["found.csv"]
    assert (tmp_path / "found.csv").read_text() == "before"


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    for write in (lambda path: write_predictions(path, MASKS), lambda path: write_coco(path, {})):
        with pytest.raises(DataError, match="a place that can be written"):
            write(tmp_path / "file" / "found.csv")


def test_other_suffixes_are_refused():
    with pytest.raises(ConfigError, match=r"\.csv, \.jsonl, \.parquet, \.xlsx, \.json"):
        check_suffix(Path("found.txt"))


def test_coco_is_one_document(tmp_path):
    write_coco(tmp_path / "found.json", {"images": [], "categories": [{"id": 1, "name": "红细胞"}], "annotations": []})
    text = (tmp_path / "found.json").read_text(encoding="utf-8")
    assert "红细胞" in text
    assert json.loads(text)["categories"] == [{"id": 1, "name": "红细胞"}]


def test_predicted_masks_are_those_of_the_api(masks_run, tmp_path):
    source = masks_run.folder.parent / "valid.jsonl"
    outcome = tonggan("predict", masks_run.folder, source, "--out", tmp_path / "found.csv", "--json")
    assert outcome.code == 0, outcome.err
    for row, mask in zip(rows_of(tmp_path / "found.csv"), masks_run.predict(source), strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / row["prediction"])), mask)
    again = tonggan("predict", masks_run.folder, source, "--out", tmp_path / "found.csv")
    assert_named(again, "folder", "an existing file or folder", "remove it")


def test_predicted_boxes_are_json(boxes_run, tmp_path):
    source = boxes_run.folder.parent / "valid.jsonl"
    outcome = tonggan("predict", boxes_run.folder, source, "--out", tmp_path / "found.csv", "--keep", "photo", "--json")
    assert outcome.code == 0, outcome.err
    rows = rows_of(tmp_path / "found.csv")
    assert [json.loads(row["prediction"]) for row in rows] == boxes_run.predict(source)
    assert rows[3]["photo"] == "valid/3.png"
