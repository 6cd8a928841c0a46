import json
import sys

import numpy as np
import pytest
import torch

import command_line
import ensemble_scene
import forked
import run_scene
import tonggan
from tonggan.errors import ConfigError, DataError, MissingExtraError, TrainingError
from tonggan.runs.bundle_folder import INDEX
from tonggan.runs.recipe import student_recipe

SETTINGS = ["training.epochs=1"]


@pytest.fixture
def _forked(monkeypatch):
    """Memory is measured in a program that is forked; that of the pruned run is as users have it."""
    forked.instead_of_subprocess("tonggan.runs.footprint", monkeypatch)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    import pyarrow.csv

    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    pyarrow.csv.write_csv(run_scene.table(), path)
    return path


@pytest.fixture(scope="module")
def original(tmp_path_factory, shared_cache, rows):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TONGGAN_CACHE", str(shared_cache))
        deep = "model.encoders={note: {kind: text_transformer, num_layers: 1, num_heads: 4}, table: {kind: table}}"
        return run_scene.fit(tmp_path_factory.mktemp("original") / "run", data=rows, settings=[deep])


def check_run(made, original, rows):
    """It is a run like any other, and says what it is beside the original."""
    again = tonggan.load(made.folder)
    assert again.predict(rows) == made.predict(rows)
    np.testing.assert_allclose(again.predict_proba(rows), made.predict_proba(rows), atol=1e-5)
    assert again.evaluate(rows).rows == {"test": 160}
    found = made.results.compression
    assert [row["model"] for row in found.rows] == ["original", found.kind]
    before, after = found.rows
    assert before["score"] == pytest.approx(original.results.metrics.valid.accuracy)
    assert after["score"] == pytest.approx(made.results.metrics.valid.accuracy)
    for row in found.rows:
        assert set(row["milliseconds"]) == {"1", "32"}
        assert row["memory"] is None or row["memory"] > 0
    report = (made.folder / "report.html").read_text(encoding="utf-8")
    assert "Beside the original" in report
    return before, after


@pytest.fixture(scope="module")
def outcome(original, tmp_path_factory, shared_cache):
    """The folder of a pruned run, and what the command has said."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TONGGAN_CACHE", str(shared_cache))
        patch.setenv("COLUMNS", "120")
        out = tmp_path_factory.mktemp("pruned") / "run"
        half = ("--prune", "50%", "--set", SETTINGS[0])
        return out, command_line.tonggan("compress", original.folder, *half, "--out", out)


@pytest.fixture(scope="module")
def pruned(outcome):
    return tonggan.load(outcome[0])


def test_the_command_tells_what_it_costs(outcome):
    out, said = outcome
    assert said.code == 0, said.err
    for text in ("original", "pruned", "ms, 32 rows", f"Report: {out}", "tonggan predict"):
        assert text in said.out
    assert "channels, units and heads are pruned" in said.err
    assert command_line.tonggan("info", out, "--json").json["compression"]["kind"] == "prune"


def test_a_pruned_run_is_smaller_and_a_run_as_any_other(pruned, original, rows):
    before, after = check_run(pruned, original, rows)
    assert after["parameters"] < 0.8 * before["parameters"]
    assert after["size"] < 0.8 * before["size"]
    assert json.loads((pruned.folder / INDEX).read_text(encoding="utf-8"))["format"] == 4


def test_without_a_note_it_answers_by_the_rest(pruned):
    row = {"size": 1.0, "weight": 0.5}
    assert pruned.predict_proba([row, {**row, "note": ""}])[0] == pytest.approx(pruned.predict_proba([row])[0])


@pytest.mark.usefixtures("_forked")
def test_a_student_learns_from_members(members, tmp_path):
    with pytest.raises(DataError, match="a table in memory"):
        tonggan.compress(members.folder, out=tmp_path / "run", distill="small")
    made = tonggan.compress(
        members.folder, out=tmp_path / "run", distill="small", data=ensemble_scene.frame(), settings=SETTINGS
    )
    assert made.bundle.network is not None
    assert made.bundle.recipe.floor is None


@pytest.mark.usefixtures("_forked")
def test_two_processes_teach_what_one_does(original, tmp_path):
    """Without dropout, which each draws for itself."""
    fields = ("encoders.note.dropout", "encoders.table.dropout", "modality_dropout")
    still = [*SETTINGS, "training.precision=fp32", "training.learning_rate=1e-4"]
    still += [f"model.{field}=0" for field in fields]
    words = ["compress", str(original.folder), "--distill", "small", "--out", str(tmp_path / "shared")]
    line = [sys.executable, "-m", "tonggan", *words, *(each for field in still for each in ("--set", field))]
    done = forked.run_together(line, number=2)
    assert [each.returncode for each in done] == [0, 0], done[0].stderr
    assert done[1].stdout == ""
    shared = tonggan.load(tmp_path / "shared").results
    alone = tonggan.compress(original.folder, out=tmp_path / "alone", distill="small", settings=still).results
    (ours,), (whole,) = ([each.valid_loss for each in results.training.history] for results in (shared, alone))
    assert ours == pytest.approx(whole, rel=1e-5)


@pytest.mark.usefixtures("_forked")
def test_int8_is_kept_and_loaded(original, rows, tmp_path):
    pytest.importorskip("onnxruntime")
    made = tonggan.compress(original.folder, out=tmp_path / "run", quantize="int8", keep_within=0.2)
    before, after = check_run(made, original, rows)
    assert after["parameters"] == before["parameters"]
    found, expected = (each.predict_proba(rows) for each in (made, original))
    assert np.abs(found - expected).mean() < 0.05


def test_a_loss_beyond_the_limit_is_refused_and_nothing_can_be_served(original, tmp_path):
    out, ruin = tmp_path / "run", ["training.learning_rate=50", "training.clip_norm=null", *SETTINGS]
    with pytest.raises(TrainingError, match=r"worse than .* of the original.*at most 0 % lost"):
        tonggan.compress(original.folder, out=out, prune=0.9, keep_within=0.0, settings=ruin)
    assert not (out / INDEX).exists()
    assert any(out.rglob("last.safetensors"))  # from which a larger limit goes on


def test_other_rows_are_refused(original, tmp_path):
    with pytest.raises(DataError, match="other rows than the run was trained on"):
        tonggan.compress(original.folder, out=tmp_path / "run", prune=0.5, data=run_scene.table(seed=1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "got no way"),
        ({"prune": 0.5, "quantize": "int8"}, "got prune, quantize"),
        ({"prune": 1.0}, "a share between 0 and 1"),
        ({"prune": 0.5, "settings": ["model.dim=8"]}, "what is trained is the pruned network"),
        ({"distill": "smaller"}, "no such student for the inputs note, table"),
        ({"distill": "small", "settings": ["columns.note.kind=ignore"]}, "got columns"),
        ({"distill": "text_word2vec"}, "a network that reads 'note' in another way"),
        ({"quantize": "int8", "settings": SETTINGS}, "as nothing is trained"),
    ],
)
def test_what_makes_no_sense_is_named(original, tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        tonggan.compress(original.folder, out=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_members_are_not_pruned(members, tmp_path):
    with pytest.raises(ConfigError, match="Use --distill small"):
        tonggan.compress(members.folder, out=tmp_path / "run", prune=0.5)


def test_students(original, tmp_path):
    recipe = original.bundle.recipe
    assert student_recipe(recipe, "tiny").model.dim == 8
    (tmp_path / "student.yaml").write_text("model: {dim: 24}\ntraining: {epochs: 3}\n")
    made = student_recipe(recipe, str(tmp_path / "student.yaml"))
    assert (made.model.dim, made.training.epochs) == (24, 3)
    (tmp_path / "student.yaml").write_text("target: other\n")
    with pytest.raises(ConfigError, match="got target"):
        student_recipe(recipe, str(tmp_path / "student.yaml"))


def test_a_bundle_of_sizes_that_cannot_be_is_refused(pruned, tmp_path):
    from safetensors.torch import load_file, save_file

    from tonggan.data.fetch import sha256_of
    from tonggan.errors import BundleError

    folder = pruned.save(tmp_path / "run")
    weights = load_file(folder / "weights.safetensors")
    name = next(name for name, tensor in weights.items() if tensor.dim() == 2)
    weights[name] = torch.zeros(10**4, 10)
    save_file(weights, folder / "weights.safetensors")
    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    index["files"]["weights.safetensors"] = sha256_of(folder / "weights.safetensors")
    (folder / INDEX).write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(BundleError, match="no part of"):
        tonggan.load(folder)


def test_an_extra_that_is_not_there_is_named(original, tmp_path, monkeypatch):
    monkeypatch.setattr("tonggan.compression.onnx_graph.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"tonggan\[onnx\]"):
        tonggan.compress(original.folder, out=tmp_path / "run", quantize="int8")
