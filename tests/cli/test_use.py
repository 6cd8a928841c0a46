import json
import shutil

import openpyxl
import pyarrow.parquet
import pytest

from command_line import SMALL, assert_named, read_csv, tonggan, write_csv


def test_evaluate(run, table):
    outcome = tonggan("evaluate", run, table, "--json")
    assert outcome.code == 0, outcome.err
    results = outcome.json
    stored = tonggan("info", run, "--json").json
    assert set(results["metrics"]) == {"test"}
    assert results["metrics"]["test"] == pytest.approx(stored["metrics"]["test"], abs=1e-6)
    assert {"subsets", "audit", "seconds"} <= set(results)


def test_evaluate_tells_of_wrong_paths(run, folder, rows):
    source = write_csv(folder / "half.csv", [{**row, "image": "no.png"} for row in rows[:2]] + rows[2:])
    outcome = tonggan("evaluate", run, source, "--json")
    assert outcome.code == 0
    assert "2 of 64 rows of the table name a file in 'image' that is not there, e.g. 'no.png' in row 1" in outcome.err


def test_evaluate_needs_the_target(run, folder, rows):
    lacking = write_csv(folder / "lacking.csv", rows, "image", "age")
    assert_named(tonggan("evaluate", run, lacking), "no column 'label'")
    empty = write_csv(folder / "empty.csv", [{**row, "label": "cow" if row is rows[0] else ""} for row in rows])
    assert_named(tonggan("evaluate", run, empty, "--max-bad", "1"), "63 of 64 rows", "no value in the target 'label'")


def test_fit_and_evaluate_leave_out_rows_without_a_usable_target(run, table, folder, rows, tmp_path):
    source = write_csv(folder / "holes.csv", [{**rows[0], "label": ""}, {**rows[1], "label": "cow"}, *rows[2:]])
    no_value = "Doctor: 1 of 64 rows of the table have no value in the target 'label'"
    unknown = "have a label that the training part does not have in the target 'label', e.g. 'cow' in row 2"
    measured = tonggan("evaluate", run, source, "--json")
    assert measured.code == 0, measured.err
    assert no_value in measured.err
    assert unknown in measured.err
    assert measured.json["rows"] == {"test": 62}
    assert {finding["count"] for finding in measured.json["findings"]} == {1}
    assert_named(tonggan("evaluate", run, source, "--max-bad", "0.01"), "2 of 64 rows (3.1%)", "--max-bad 1")
    out = tmp_path / "run"
    fitted = tonggan("fit", table, "--target", "label", "--test", source, "--out", out, "--json", *SMALL)
    assert fitted.code == 0, fitted.err
    assert no_value.replace("the table", "test") in fitted.err
    assert fitted.json["rows"]["test"] == 62


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet", ".xlsx"])
def test_predict(run, folder, rows, tmp_path, suffix):
    source = write_csv(folder / "new.csv", rows, "image", "age")
    out = tmp_path / "deep" / f"predictions{suffix}"
    outcome = tonggan("predict", run, source, "--out", out, "--json")
    assert outcome.code == 0, outcome.err
    told = {"out": str(out), "rows": 64, "columns": ["row", "prediction", "p_cat", "p_dog"], "findings": []}
    assert outcome.json == told
    assert "Doctor" not in outcome.err
    if suffix == ".csv":
        found = read_csv(out)
        assert all(len(row["p_cat"]) <= 6 for row in found)
    elif suffix == ".xlsx":
        header, *cells = openpyxl.load_workbook(out)["predictions"].iter_rows(values_only=True)
        found = [dict(zip(header, row, strict=True)) for row in cells]
    elif suffix == ".jsonl":
        found = [json.loads(line) for line in out.read_text().splitlines()]
    else:
        found = pyarrow.parquet.read_table(out).to_pylist()
    assert {row["prediction"] for row in found} <= {"cat", "dog"}
    assert all(float(row["p_cat"]) + float(row["p_dog"]) == pytest.approx(1, abs=1e-5) for row in found)


def test_predict_carries_ids_and_columns_along_and_opens_in_excel(run, folder, rows, tmp_path):
    given = [{"order_id": f"A{row}", "note": "通感", "prediction": "?", **each} for row, each in enumerate(rows)]
    source = write_csv(folder / "kept.csv", given, "order_id", "image", "age", "note", "prediction")
    out = tmp_path / "kept.csv"
    outcome = tonggan("predict", run, source, "--keep", "note", "--keep", "prediction", "--out", out)
    assert outcome.code == 0, outcome.err
    content = out.read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    header, first, *_ = content.decode("utf-8-sig").splitlines()
    assert header == '"row","order_id","note","prediction_given","prediction","p_cat","p_dog"'
    assert first.startswith('1,"A0","通感","?",')
    assert_named(tonggan("predict", run, source, "--keep", "nope", "--out", out), "no column 'nope'")


def test_predict_refuses(run, folder, rows, tmp_path):
    lacking = write_csv(folder / "lacking.csv", rows, "label")
    out = tmp_path / "predictions.csv"
    assert_named(tonggan("predict", run, lacking, "--out", out), "no column 'image'")
    assert_named(tonggan("predict", run, lacking, "--out", tmp_path / "a.ods"), "'.ods'", ".parquet", code=2)
    (tmp_path / "file").write_text("in the way")
    whole = write_csv(folder / "whole.csv", rows, "image", "age")
    assert_named(tonggan("predict", run, whole, "--out", tmp_path / "file" / "a.csv"), "--out")
    assert_named(tonggan("predict", run, whole, "--out", whole), "a file that is read here", code=2)
    assert len(read_csv(whole)) == 64
    assert not out.exists()


def test_predict_tells_of_a_column_that_is_not_there(run, folder, rows, tmp_path):
    lacking = write_csv(folder / "lacking.csv", rows, "age")
    outcome = tonggan("predict", run, lacking, "--out", tmp_path / "predictions.csv")
    assert outcome.code == 0
    assert "no column 'image', which the model reads: absent in every row" in outcome.err
    assert len(read_csv(tmp_path / "predictions.csv")) == 64


def test_ruined_columns_stop_predict_and_evaluate(run, folder, rows, tmp_path):
    ruined = [{**row, "age": f"ca. {row['age']}", "image": "gone/" + row["image"]} for row in rows]
    source = write_csv(folder / "ruined.csv", ruined)
    out = tmp_path / "predictions.csv"
    spelled = "64 of 64 cells of 'age' in the table are not written as the numbers of this column are"
    for command in (("predict", run, source, "--out", out), ("evaluate", run, source)):
        outcome = tonggan(*command, "--json")
        assert_named(
            outcome, "64 of 64 rows (100.0%)", "--max-bad 1", spelled, "Doctor: 64 of 64 rows of the table name a file"
        )
        assert command[0] == "evaluate" or not out.exists()
        going_on = tonggan(*command, "--json", "--max-bad", "1")
        assert going_on.code == 0, going_on.err
        assert {(finding["column"], finding["count"]) for finding in going_on.json["findings"]} == {
            ("age", 64),
            ("image", 64),
        }
        assert all(finding["message_zh"] and finding["remedy"] for finding in going_on.json["findings"])
    assert len(read_csv(out)) == 64
    few = write_csv(folder / "few.csv", ruined[:3] + rows[3:])
    outcome = tonggan("predict", run, few, "--out", out)
    assert outcome.code == 0, outcome.err
    assert "3 of 64 cells of 'age'" in outcome.err


def test_info(run):
    outcome = tonggan("info", run)
    assert outcome.code == 0
    assert "label (binary)" in outcome.out
    assert "image (image), table (age)" in outcome.out
    assert max(map(len, outcome.out.splitlines())) <= 80


@pytest.mark.parametrize("name", ["weights.safetensors", "inputs.json", "recipe.yaml", "bundle.json"])
def test_damaged_bundle(run, table, tmp_path, name):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[: len(content) // 2])
    assert_named(tonggan("predict", copy, table, "--out", tmp_path / "out.csv"), name, "The bundle is damaged")


def test_newer_unfinished_and_missing_bundle(run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    index = json.loads((copy / "bundle.json").read_text())
    (copy / "bundle.json").write_text(json.dumps(index | {"format": 99}))
    assert_named(tonggan("info", copy), "format 99", "pip install --upgrade tonggan")
    (copy / "bundle.json").unlink()
    assert_named(tonggan("info", copy), "an unfinished run")
    assert_named(tonggan("info", tmp_path / "nosuch"), "no file bundle.json")
