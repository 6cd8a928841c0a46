import json
import shlex

import pytest

from command_line import SMALL, assert_named, read_csv, tonggan, write_csv
from tonggan.config import read_yaml
from tonggan.floor.config import members_of


def refused(source, out, *options, target="label"):
    return tonggan("fit", source, "--target", target, "--out", out, *SMALL, *options)


def test_fit_prints_one_object(fitted):
    run, outcome = fitted
    assert outcome.code == 0, outcome.err
    results = outcome.json
    assert set(results["metrics"]) == {"valid", "test"}
    assert {"accuracy", "balanced_accuracy", "f1_macro", "roc_auc", "log_loss"} <= set(results["metrics"]["test"])
    assert [row["present"] for row in results["subsets"]][-1] == ["image", "table"]
    assert set(results["audit"]["alone"]) == {"image", "table"}
    assert results["seconds"] > 0
    assert "Task: binary" in outcome.err
    assert (run / "report.html").is_file()


def test_the_fitted_run_is_an_ensemble_and_says_so(fitted):
    run, outcome = fitted
    told = outcome.json["floor"]["members"]
    assert [each["name"] for each in told] == ["linear", "boosted_trees", "fused network"]
    assert sum(each["weight"] for each in told) == pytest.approx(1)
    for each in told:
        assert f"  {each['name']}: accuracy {each['score']:.3f}, " in outcome.err
    assert "those that lower the loss are kept:\n  linear: " in outcome.err
    assert "floor:" in (run / "recipe.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(("preset", "folds"), [("fast", 3), ("balanced", 5)])
def test_a_preset_fits_members(folder, rows, tmp_path, preset, folds):
    source, out = write_csv(folder / "ages.csv", rows, "age", "label"), tmp_path / "run"
    quick = ("--set", "audit_alone=false", "--json", "--lang", "zh")
    outcome = tonggan("fit", source, "--target", "label", "--preset", preset, "--out", out, *quick)
    assert outcome.code == 0, outcome.err
    recipe = read_yaml(out / "recipe.yaml")
    assert (recipe["floor"]["preset"], recipe["floor"]["folds"]) == (preset, folds)
    assert set(recipe["floor"]["members"]) == set(members_of(preset)) - {"tfidf"}  # which has no texts to read
    assert recipe["floor"]["network"] is False
    assert outcome.json["training"] is None
    assert "能降低损失的成员会被采用：\n  linear：accuracy" in outcome.err
    assert "权重 " in outcome.err
    assert "tfidf" not in outcome.err
    shown = tonggan("info", out)
    assert shown.code == 0, shown.err


def test_of_very_many_columns_some_are_told(tmp_path):
    names = [f"c{number}" for number in range(70)]
    values = [dict.fromkeys(names, "same") | {"x": row, "label": "ab"[row % 2]} for row in range(40)]
    table, out = write_csv(tmp_path / "wide.csv", values, "x", *names, "label"), tmp_path / "run"
    quick = ("--set", "floor.members={linear: {kind: linear}}", "--set", "audit_alone=false", "--lang", "zh")
    outcome = tonggan("fit", table, "--target", "label", "--out", out, *quick)
    assert outcome.code == 0, outcome.err
    lines = outcome.err.splitlines()
    assert sum(line.startswith("  c") for line in lines) == 39
    assert "  ……另有 31 列：类别" in lines
    assert "  label：目标（2 个重复出现的不同值）" in lines
    assert sum(line.startswith("数据检查：") for line in lines) == 21
    assert "数据检查：……另有 50 条。" in lines
    assert "c69" in (out / "report.html").read_text(encoding="utf-8")


def test_an_unknown_preset_is_named(table, tmp_path):
    outcome = tonggan("fit", table, "--target", "label", "--preset", "slow", "--out", tmp_path / "run")
    assert outcome.code == 2
    assert "fast" in outcome.err
    assert "best" in outcome.err


def test_run_shows_tables_that_fit_a_terminal(table, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"data: {{train: {table}}}\ntarget: label\ncolumns: {{image: {{kind: ignore}}}}\n"
        "model: {dim: 16}\ntraining: {epochs: 1, batch_size: 16}\naudit_alone: false\n"
    )
    half = ("--set", "data.valid_fraction=0.5")
    outcome = tonggan("run", recipe, "--out", tmp_path / "run", "--set", "training.batch_size=32", *half)
    assert outcome.code == 0, outcome.err
    assert "expected_calibration_error" in outcome.out
    assert "…" not in outcome.out
    for command in ("predict", "evaluate", "info"):
        assert f"  tonggan {command} {tmp_path / 'run'}" in outcome.out


def test_a_few_measured_rows_make_a_few_lines_and_no_verdict(table, tmp_path):
    out = tmp_path / "run"
    outcome = tonggan("fit", table, "--target", "label", "--out", out, *SMALL)
    assert outcome.code == 0, outcome.err
    result, _, rest = outcome.out.partition("\nReport: ")
    assert result.startswith("Too few rows were measured to judge this model.\nOnly 6 rows were measured")
    assert len(result.splitlines()) < 8
    assert "roc_auc" not in result
    assert "fusion" not in result.lower()
    assert f"tonggan run {out / 'recipe.yaml'} --set data.valid_fraction=0.4 --out {out}-2" in rest
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Too few rows were measured" in page
    assert "Is it really multimodal?" not in page


def test_an_imbalanced_target_is_warned_of_first_and_offered_the_command_that_helps(tmp_path):
    values = [{"size": row % 7, "label": "yes" if row % 50 == 0 else "no"} for row in range(400)]
    table, out = write_csv(tmp_path / "train.csv", values, "size", "label"), tmp_path / "run"
    small = ["floor.preset=fast", "floor.folds=2"]
    outcome = tonggan("fit", table, "--target", "label", "--out", out, *(x for pair in small for x in ("--set", pair)))
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith("This model does not beat the constant answer.\n")
    results = json.loads((out / "bundle.json").read_text(encoding="utf-8"))["results"]
    assert results["constant"]["beaten"] == "no"
    assert results["rare_class"] == "yes"
    assert list(results["metrics"]["valid"])[:2] == ["balanced_accuracy", "f1_rare"]
    assert results["audit"]["columns"]["table"].keys() == {"size"}
    (command,) = [line for line in outcome.out.splitlines() if "task.class_weights=balanced" in line]
    again = tonggan(*shlex.split(command)[1:])
    assert again.code == 0, again.err
    assert "class_weights: balanced" in (tmp_path / "run-2" / "recipe.yaml").read_text(encoding="utf-8")
    assert "--set task.class_weights" not in again.out


def test_finished_run_is_not_replaced_unasked(table, run):
    before = (run / "bundle.json").read_bytes()
    assert_named(refused(table, run), "a finished run", "--overwrite")
    assert (run / "bundle.json").read_bytes() == before


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "an empty file"),
        ("image,label\n", "no rows"),
        ("a,b,label\n1,2,x\n3,4\n", "line 3"),
    ],
)
def test_tables_that_are_none(tmp_path, content, said):
    source = tmp_path / "train.csv"
    source.write_text(content)
    assert_named(refused(source, tmp_path / "run"), said)
    assert not (tmp_path / "run").exists(), "a run that never began left a folder"


def test_wrong_names(table, tmp_path):
    out = tmp_path / "run"
    assert_named(refused(tmp_path / "nosuch.csv", out), "no such file")
    assert_named(refused(table, out, target="labl"), "no column 'labl'", "the nearest is 'label'")
    assert_named(refused(table, out, "--recipe", "nosuch"), "no such recipe", code=2)
    assert_named(tonggan("run", "nosuch", "--out", out), "no such recipe", "easy_vqa", code=2)
    assert_named(tonggan("run", tmp_path / "nosuch.yaml", "--out", out), "no such file", code=2)
    assert not out.exists()


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("trainng.epochs=1", "trainng: no such field, the nearest is 'training'"),
        ("columns.image={kind: image, sise: 3}", "columns.image.sise: no such field, the nearest is 'size'"),
        ("training.epochs=abc", "training.epochs = 'abc'"),
        ("training.epochs=0", "training.epochs: at least 1"),
        ("training.epochs=[1", "which is not YAML"),
        ("training.epochs", "no '='"),
        ("model.fusion.kind=fim", "'film'"),
        ("max_bad=7", "max_bad: at most 1"),
    ],
)
def test_wrong_settings(table, tmp_path, override, said):
    assert_named(refused(table, tmp_path / "run", "--set", override), said, code=2)
    assert not (tmp_path / "run").exists()


def test_wrong_time_limit_and_yaml(table, tmp_path):
    assert_named(refused(table, tmp_path / "run", "--time-limit", "soon"), "'soon'", "5m", code=2)
    recipe = tmp_path / "recipe.yaml"
    for content, said in {"data: [unclosed": "valid YAML", "- a": "a mapping", "target: [": "valid YAML"}.items():
        recipe.write_text(content)
        assert_named(tonggan("run", recipe, "--out", tmp_path / "run"), said, code=2)


def test_one_class_and_targets_without_values(folder, rows, tmp_path):
    one = write_csv(folder / "one.csv", [{**row, "label": "cat"} for row in rows], "age", "label")
    assert_named(refused(one, tmp_path / "run"), "'cat' in every row")
    for value in ("nan", ""):
        none = write_csv(folder / "none.csv", [{**row, "age": value} for row in rows], "text", "age")
        assert_named(refused(none, tmp_path / "run", target="age"), "target 'age'", "no value in any row")


def test_a_few_targets_without_value_are_left_out(folder, rows, tmp_path):
    bad = [{**row, "label": "nan"} if place in (4, 9) else row for place, row in enumerate(rows)]
    source = write_csv(folder / "few.csv", bad, "age", "label")
    outcome = refused(source, tmp_path / "run", "--max-bad", "0.2")
    assert outcome.code == 0, outcome.err
    assert [row["row"] for row in read_csv(tmp_path / "run" / "quarantine.csv")] == ["5", "10"]
    assert tonggan("info", tmp_path / "run", "--json").json["labels"] == ["cat", "dog"]


def test_without_any_picture(folder, rows, tmp_path):
    source = write_csv(folder / "gone.csv", [{**row, "image": f"no/{row['image']}"} for row in rows], "image", "label")
    assert_named(refused(source, tmp_path / "run"), "No file can be used", "'no/0.png'")


def test_quarantine_names_the_rows_of_the_users_file(folder, rows, tmp_path):
    wrong = {3: "nosuch.png", 7: "zero.png", 20: "bomb.png", 41: "nosuch.png"}
    (folder / "zero.png").write_bytes(b"")
    write_bomb(folder / "bomb.png")
    bad = [{**row, "image": wrong.get(place, row["image"])} for place, row in enumerate(rows)]
    source = write_csv(folder / "wrong.csv", bad, "image", "label")
    out = tmp_path / "run"
    assert_named(refused(source, out), "'image' of row", "--max-bad")
    cells = {row["row"]: (row["value"], row["reason"]) for row in read_csv(out / "quarantine.csv")}
    assert cells == {
        "4": ("nosuch.png", "no file at this path"),
        "8": ("zero.png", "a file of 0 bytes"),
        "21": ("bomb.png", "a picture that is far too large"),
        "42": ("nosuch.png", "no file at this path"),
    }
    outcome = refused(source, out, "--max-bad", "0.5", "--set", "data.max_rows=48", "--json")
    assert outcome.code == 0, outcome.err
    assert sum(outcome.json["rows"].values()) == 48
    kept = [row["row"] for row in read_csv(out / "quarantine.csv")]
    assert kept
    assert set(kept) <= set(cells)


def write_bomb(path):
    """A PNG of 100,000 x 100,000 pixels in a few kilobytes."""
    import struct
    import zlib

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1_000_000), 9)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))


def test_a_truncated_recording_and_an_endless_text(folder, rows, tmp_path):
    whole = (folder / "0.wav").read_bytes()
    (folder / "cut.wav").write_bytes(whole[: len(whole) // 2])
    bad = [*rows]
    bad[5] = {**rows[5], "sound": "cut.wav", "text": "word " * 2_000_000}
    source = write_csv(folder / "cut.csv", bad, "sound", "text", "label")
    outcome = tonggan("doctor", source, "--target", "label", "--json")
    assert outcome.code == 0, outcome.err
    messages = [finding["message"] for finding in outcome.json["findings"]]
    assert any("'cut.wav' in row 6: a truncated file" in message for message in messages)
    assert any("texts in 'text' of train are longer than the" in message for message in messages)
    assert refused(source, tmp_path / "run", "--set", "columns.sound.kind=ignore").code == 0


def test_cache_that_cannot_be_written(table, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TONGGAN_CACHE", str(tmp_path / "file"))
    assert_named(refused(table, tmp_path / "run"), "TONGGAN_CACHE")
    assert not (tmp_path / "run").exists()


def test_run_folder_that_cannot_be_written(table, tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert_named(refused(table, tmp_path / "file"), "--out")
    assert (tmp_path / "file").read_text() == "in the way"
