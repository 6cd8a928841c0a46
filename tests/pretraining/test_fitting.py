"""A pretraining from its data to a fit that starts from it."""

import json
import signal
import sys
import time

import pyarrow as pa
import pyarrow.csv
import pytest
import torch
from safetensors.torch import load_file

import tonggan
from command_line import tonggan as command
from forked import Process, run_together
from small_data import png
from tonggan.errors import BundleError, ConfigError, DataError
from tonggan.pretraining.base import PretrainRecipe
from tonggan.progress import Progress
from tonggan.runs.pretrained import read_manifest, read_pretrained

TEXT = {
    "columns.note": {"kind": "text", "vocab_size": 320, "max_tokens": 16},
    "encoder": {"kind": "text_transformer", "num_layers": 1, "num_heads": 2},
    "dim": 16,
    "training.epochs": 3,
    "training.batch_size": 32,
}


def notes(rows=160):
    words = ["red", "green", "blue", "apple", "pear", "plum", "eats", "sees"]
    return [f"{words[row % 3]} {words[3 + row % 3]} {words[6 + row // 3 % 2]} {row % 7}" for row in range(rows)]


@pytest.fixture(scope="module", autouse=True)
def _cache(shared_cache):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TONGGAN_CACHE", str(shared_cache))
        yield


def pretrain(out, *, data=None, **options):
    settings = {**TEXT, **options.pop("settings", {})}
    table = {"note": [*notes(), None, ""]} if data is None else data
    return tonggan.pretrain(table, column="note", out=out, settings=settings, **options)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return pretrain(tmp_path_factory.mktemp("runs") / "made", settings={"license": "CC0-1.0"})


def test_words_are_learned_and_told(made):
    before, after = made.results["before"], made.results["after"]
    assert after["loss"] < before["loss"] - 0.1
    assert made.results["rows"] == {"train": 145, "valid": 15}
    manifest = read_manifest(made.folder)
    assert manifest.license == "CC0-1.0"
    assert manifest.rows == 145
    assert manifest.objective == "masked_language"
    assert "145 items of 'note'" in manifest.trained_on
    page = (made.folder / "report.html").read_text(encoding="utf-8")
    assert f"{after['loss']:.3f}" in page
    assert "CC0-1.0" in page
    assert not list(made.folder.glob("checkpoints/*.safetensors"))


def test_a_fit_starts_there_with_its_tokens(made, tmp_path):
    rows = notes(48)
    table = pa.table({"note": rows, "fruit": [row.split()[1] for row in rows]})
    still = {"training.epochs": 1, "training.learning_rate": 1e-30, "training.weight_decay": 0, "floor": None}
    run = tonggan.fit(table, target="fruit", out=tmp_path / "run", settings={"start.note": str(made.folder), **still})
    _, weights = read_pretrained(made.folder)
    encoder = run.bundle.network.encoders[0]
    for name, tensor in weights.items():
        torch.testing.assert_close(encoder.state_dict()[name], tensor)
    assert run.bundle.recipe.model.dim == 16
    assert run.bundle.modalities["note"].state() == read_manifest(made.folder).input.state
    loaded = tonggan.load(run.folder)
    assert loaded.bundle.info["start"]["note"]["sha256"] == read_manifest(made.folder).sha256


def test_a_wider_model_projects(made, tmp_path):
    table = pa.table({"note": notes(48), "fruit": [row.split()[1] for row in notes(48)]})
    settings = {"start.note": str(made.folder), "model.dim": 24, "training.epochs": 1, "floor": None}
    run = tonggan.fit(table, target="fruit", out=tmp_path / "run", settings=settings)
    assert run.bundle.recipe.model.encoders["note"].width == 16


@pytest.mark.parametrize("objective", ["masked_language", "contrastive"])
def test_two_processes_learn_what_one_does(tmp_path, objective):
    """Without dropout, which each draws for itself: what is hidden of a row is the same wherever the row is."""
    path = tmp_path / "notes.csv"
    pyarrow.csv.write_csv(pa.table({"note": notes(100)}), path)
    settings = {**TEXT, "encoder": {**TEXT["encoder"], "dropout": 0}}
    # Adam makes steps of rounding where none is due.
    settings |= {"training.epochs": 2, "training.learning_rate": 1e-4, "training.precision": "fp32"}
    words = [f"{name}={json.dumps(value)}" for name, value in settings.items()]
    out = tmp_path / "shared"
    line = [
        sys.executable,
        "-m",
        "tonggan",
        "pretrain",
        str(path),
        "--objective",
        objective,
        "--out",
        str(out),
        "--json",
    ]
    done = run_together([*line, *(each for word in words for each in ("--set", word))], number=2)
    assert [each.returncode for each in done] == [0, 0], done[0].stderr
    assert json.loads(done[0].stdout)["rows"] == {"train": 90, "valid": 10}
    assert done[1].stdout == ""
    shared = read_manifest(out)
    alone = tonggan.pretrain(path, objective=objective, out=tmp_path / "alone", settings=settings)
    for moment in ("before", "after"):
        assert shared.results[moment] == pytest.approx(alone.results[moment], rel=1e-5)
    ours, whole = (load_file(folder / "weights.safetensors") for folder in (out, alone.folder))
    assert shared.results["after"]["loss"] < shared.results["before"]["loss"]
    for name, tensor in whole.items():
        assert float((ours[name] - tensor).norm()) <= 1e-3 * float(tensor.norm()), name


class Stops(Progress):
    def scored(self, label, number, score):  # noqa: ARG002
        if number == 2:
            raise KeyboardInterrupt


def test_an_interrupted_pretraining_goes_on_to_the_same_weights(made, tmp_path):
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        pretrain(out, settings={"license": "CC0-1.0", "training.checkpoint_every": 0}, progress=Stops())
    with pytest.raises(ConfigError, match=r"an unfinished run of another recipe.*seed"):
        pretrain(out, settings={"license": "CC0-1.0", "training.checkpoint_every": 0}, seed=1)
    again = pretrain(out, settings={"license": "CC0-1.0", "training.checkpoint_every": 0})
    ours, whole = (load_file(each.folder / "weights.safetensors") for each in (again, made))
    assert all(torch.equal(ours[name], whole[name]) for name in whole)
    with pytest.raises(BundleError, match="got a finished run"):
        pretrain(out)
    assert pretrain(out, seed=1, overwrite=True).manifest.sha256 != made.manifest.sha256


def test_pictures_alone_are_found_and_learned_from(tmp_path):
    colors = [png(40 * (row % 5), 30 * (row % 7), 200 - row, size=12) for row in range(48)]
    made = tonggan.pretrain(
        {"photo": colors, "price": list(range(48))},
        out=tmp_path / "run",
        settings={
            "encoder": {
                "kind": "image_resnet", "stem_channels": 4, "channels": [8], "blocks": [0], "strides": [2]
            },
            "dim": 16,
            "training.epochs": 2,
            "training.batch_size": 16,
        },
    )  # fmt: skip
    assert made.manifest.objective == "contrastive"
    assert made.manifest.input.config.size == 12
    assert made.results["after"]["loss"] < made.results["before"]["loss"]


@pytest.mark.parametrize(
    ("data", "settings", "error", "message"),
    [
        ({"a": notes(), "note": notes()}, {"column": None}, ConfigError, r"got a, note, which may all be meant"),
        ({"note": list(range(40))}, {"column": None, "columns": {}}, ConfigError, r"got note: number"),
        ({"note": ["a", None, ""] * 3}, {}, DataError, r"got \d items to learn from"),
        ({"note": notes()}, {"encoder": {"kind": "image_resnet"}}, ConfigError, r"reads image, for the column 'note'"),
        ({"note": notes()}, {"objective.kind": "causal_language"}, ConfigError, r"sees the tokens it should predict"),
        ({"note": notes()}, {"objective": {"kind": "masked_language", "hidden": 2}}, ConfigError, r"objective\.hidden"),
    ],
)
def test_what_cannot_be_learned_from_is_told(tmp_path, data, settings, error, message):
    with pytest.raises(error, match=message):
        tonggan.pretrain(data, out=tmp_path / "run", settings={**TEXT, "column": "note", **settings})


def test_other_columns_runs_and_damage_are_told(made, tmp_path):
    table = pa.table({"note": notes(48), "fruit": [row.split()[1] for row in notes(48)]})
    for source, error, message in [
        (f"{made.folder}:other", ConfigError, "pretrained on another column than 'other'"),
        (str(tmp_path), BundleError, r"no file bundle\.json"),
    ]:
        with pytest.raises(error, match=message):
            tonggan.fit(table, target="fruit", out=tmp_path / "run", settings={"start.note": source})
    with pytest.raises(BundleError, match=r"a pretrained encoder.*start\.COLUMN="):
        tonggan.load(made.folder)
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for name in ("encoder.json", "weights.safetensors"):
        (damaged / name).write_bytes((made.folder / name).read_bytes())
    raw = bytearray((damaged / "weights.safetensors").read_bytes())
    raw[-1] ^= 1
    (damaged / "weights.safetensors").write_bytes(raw)
    with pytest.raises(BundleError, match="got damaged weights"):
        read_pretrained(damaged)
    manifest = json.loads((damaged / "encoder.json").read_text())
    (damaged / "encoder.json").write_text(json.dumps({**manifest, "format": 9}))
    with pytest.raises(BundleError, match="got format 9"):
        read_manifest(damaged)
    (damaged / "encoder.json").write_text("{")
    with pytest.raises(BundleError, match="unreadable encoder"):
        read_manifest(damaged)


class Said(Progress):
    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


def test_killed_at_any_point_the_same_command_goes_on(tmp_path):
    table, out = tmp_path / "notes.csv", tmp_path / "run"
    table.write_text("note\n" + "\n".join(notes()), encoding="utf-8")
    settings = {**TEXT, "training.epochs": 30, "training.checkpoint_every": 0}
    program = (
        f"import tonggan; tonggan.pretrain({str(table)!r}, column='note', out={str(out)!r}, settings={settings!r})"
    )
    last = out / "checkpoints" / "last.safetensors"
    with Process([sys.executable, "-c", program]) as process:
        while not last.exists() and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    said = Said()
    made = tonggan.pretrain(table, column="note", out=out, settings=settings, progress=said)
    assert any(line.startswith("Resuming at step") for line in said.lines)
    assert made.results["steps"] == 30 * 4


def test_own_weights_are_listed_verified_and_started_from_by_name(made, tmp_path, monkeypatch):
    monkeypatch.setenv("TONGGAN_WEIGHTS", str(tmp_path / "weights"))
    done = command("weights", "add", made.folder, "--name", "my_notes", "--json")
    assert done.json["sha256"] == made.manifest.sha256
    taken = command("weights", "add", made.folder, "--name", "my_notes")
    assert taken.code == 2
    assert "a name that is taken" in taken.err
    assert command("weights", "add", made.folder, "--name", "minilm").code == 2
    assert command("weights", "add", tmp_path).code == 1
    listed = command("weights", "list", "--json").json["my_notes"]
    assert listed["license"] == "CC0-1.0"
    assert listed["reads"] == "text"
    assert listed["files"] == {"weights.safetensors": made.manifest.sha256}
    assert "145 items of 'note'" in command("weights", "list").out.replace("\n", " ")
    assert command("weights", "check", "my_notes", "--json").json == {"my_notes": {"weights.safetensors": "ok"}}
    table = {"note": notes(48), "fruit": [row.split()[1] for row in notes(48)]}
    settings = {"start.note": "my_notes", "training.epochs": 1, "floor": None}
    run = tonggan.fit(table, target="fruit", out=tmp_path / "run", settings=settings)
    assert run.bundle.info["start"]["note"] == {"source": "my_notes", "sha256": made.manifest.sha256}
    (tmp_path / "weights" / "my_notes" / "weights.safetensors").write_bytes(b"no")
    wrong = command("weights", "check", "my_notes")
    assert wrong.code == 1
    assert "damaged" in wrong.out
    assert "--overwrite" in wrong.err
    assert "my_notes" not in command("weights", "list", "--json").json
    (tmp_path / "weights" / "my_notes" / "encoder.json").write_text("{")
    assert command("weights", "check", "--json").json["my_notes"] == {"weights.safetensors": "damaged"}
    assert command("weights", "add", made.folder, "--name", "my_notes", "--overwrite").code == 0


@pytest.mark.parametrize(("license", "is_known"), [("mit", True), ("LicenseRef-Ours", True), ("nope", False)])
def test_a_license_is_one_of_spdx_or_of_ones_own(license, is_known):  # noqa: A002
    if is_known:
        assert PretrainRecipe.parse({"license": license}, who="settings").license in ("MIT", "LicenseRef-Ours")
    else:
        with pytest.raises(ConfigError, match="an SPDX license"):
            PretrainRecipe.parse({"license": license}, who="settings")
