import csv
import json
import shutil
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import forked
import tonggan
from space_scene import SETTINGS, color_table, colors
from tonggan.alignment import AlignmentConfig
from tonggan.errors import BundleError, ConfigError, DataError
from tonggan.space.config import MatchRecipe
from tonggan.space.features import Features
from tonggan.space.matcher import chance, load_matcher
from tonggan.space.objective import FeatureBatches, Matching
from tonggan.space.towers import Space
from tonggan.weights import CATALOGUE

needs_minilm = pytest.mark.skipif(not CATALOGUE["minilm"].is_installed, reason="the weights minilm are not installed")
pytestmark = needs_minilm


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return color_table(tmp_path_factory.mktemp("colors"))


@pytest.fixture(scope="module")
def run(table, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "space"
    return tonggan.fit_space(table, test=table, out=out, settings={**SETTINGS, "space.weights.text": "minilm"})


def test_names_and_numbers_of_colors_find_each_other(run):
    metrics, others = run.results["metrics"]["test"], run.results["others"]
    assert set(run.kinds.values()) == {"text", "table"}
    assert metrics["recall@10"] > 2 * others["chance"]["recall@10"]
    assert others["chance"]["recall@10"] == pytest.approx(10 / 40)
    low, high = run.results["intervals"]["test"]["recall@10"]
    assert low <= metrics["recall@10"] <= high
    assert (run.folder / "report.html").read_text(encoding="utf-8").count("<circle") == 80


def test_a_saved_space_gives_the_same_vectors(run):
    again = load_matcher(run.folder)
    values = run.reader().read("name", ["dark red", "pale blue"])
    np.testing.assert_array_equal(run.embed("text", values), again.embed("text", values))
    with pytest.raises(ConfigError, match="text, table"):
        again.embed("image", values)


def test_the_same_seed_gives_the_same_numbers(run, table, tmp_path):
    again = tonggan.fit_space(
        table, test=table, out=tmp_path / "again", settings={**SETTINGS, "space.weights.text": "minilm"}
    )
    assert again.results["metrics"] == run.results["metrics"]


def test_a_finished_space_is_kept_and_a_damaged_one_is_named(run, table, tmp_path):
    with pytest.raises(BundleError, match="--overwrite"):
        tonggan.fit_space(table, out=run.folder)
    copy = shutil.copytree(run.folder, tmp_path / "copy")
    (copy / "weights.safetensors").write_bytes(b"short")
    with pytest.raises(BundleError, match=r"another file than the one that was saved"):
        load_matcher(copy)
    index = json.loads((copy / "space.json").read_text(encoding="utf-8"))
    (copy / "space.json").write_text(json.dumps({**index, "format": 99}), encoding="utf-8")
    with pytest.raises(BundleError, match="pip install --upgrade"):
        load_matcher(copy)
    with pytest.raises(BundleError, match="--task match"):
        load_matcher(tmp_path)


def test_other_frozen_weights_are_refused(run, tmp_path):
    copy = shutil.copytree(run.folder, tmp_path / "copy")
    index = json.loads((copy / "space.json").read_text(encoding="utf-8"))
    index["frozen"]["text"]["identity"] = "0" * 16
    (copy / "space.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(BundleError, match="tonggan weights get minilm"):
        load_matcher(copy)


def test_a_missing_side_teaches_nothing(table, tmp_path):
    rows = [[name, *color] for name, color in colors()]
    for row in rows[:10]:
        row[0] = ""
    path = tmp_path / "gaps.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["name", "red", "green", "blue"], *rows])
    settings = {**SETTINGS, "space.parts": "linear", "space.weights.text": "minilm"}
    made = tonggan.fit_space(path, test=path, out=tmp_path / "run", settings=settings)
    assert made.results["found_among"] == {"name": 30, "table": 40}
    assert not made.space.towers
    assert made.results["metrics"]["test"]["recall@10"] > made.results["others"]["chance"]["recall@10"]


def test_too_few_inputs_or_pairs_are_named(tmp_path):
    one = {"name": [name for name, _ in colors()]}
    with pytest.raises(ConfigError, match="two or more columns"):
        tonggan.fit_space(one, out=tmp_path / "one")
    names = ["", *(f"name {n}" for n in range(5)), *[""] * 34]
    few = {"name": names, "red": [color[0] for _, color in colors()]}
    with pytest.raises(DataError, match="at least 8"):
        tonggan.fit_space(few, out=tmp_path / "few", settings={"columns.name.kind": "text", "max_bad": 1})
    with pytest.raises(ConfigError, match=r"space\.encoders: got 'image_cnn', which reads image, for inputs of kind"):
        tonggan.fit_space(
            {"name": one["name"], "red": few["red"]},
            out=tmp_path / "encoder",
            settings={"space.encoders.text.kind": "image_cnn"},
        )
    with pytest.raises(ConfigError, match="--target COL"):
        tonggan.fit_space(
            {"name": one["name"], "red": few["red"]},
            out=tmp_path / "multitask",
            settings={"space.alignment.kind": "multitask", "space.weights.text": "minilm"},
        )


def test_chance_is_that_of_drawing_without_replacement():
    found = chance([4, 2])
    assert found["recall@1"] == pytest.approx((1 / 4 + 1 / 2) / 2)
    assert found["recall@5"] == 1
    assert found["mrr"] == pytest.approx(((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4 + (1 + 1 / 2) / 2) / 2)


@pytest.mark.parametrize("kind", sorted(AlignmentConfig.family()))
def test_every_alignment_learns_pairs(kind):
    """Features that are two random views of the same hidden numbers: towers find the partner of rows never seen."""
    random = np.random.default_rng(0)
    hidden = random.normal(size=(240, 6))
    views = {name: hidden @ random.normal(size=(6, 12)) for name in ("a", "b")}
    features = {
        name: Features(values.astype(np.float32), np.ones(240, bool), np.arange(240)) for name, values in views.items()
    }
    torch.manual_seed(0)
    space = Space({"text": 12, "image": 12}, dim=16, hidden=32)
    for name, own in (("a", "text"), ("b", "image")):
        space.standardize(own, features[name])
    labels = (hidden[:, 0] > 0).astype(np.int64)
    config = AlignmentConfig.parse({"kind": kind}, who="alignment")
    objective = Matching(space, {"a": "text", "b": "image"}, config, num_labels=2)
    train = {name: each.take(np.arange(160)) for name, each in features.items()}
    valid = {name: each.take(np.arange(160, 240)) for name, each in features.items()}
    batches = FeatureBatches(train, labels=labels[:160], batch_size=80, seed=0, shuffle=True)
    optimizer = torch.optim.Adam(objective.parameters(), lr=3e-3)

    def score() -> float:
        objective.eval()
        held_out = FeatureBatches(valid, labels=None, batch_size=80, seed=0, shuffle=False)
        (batch,) = held_out.epoch(0)
        with torch.no_grad():
            return objective.measure(objective.predict(batch).cpu(), batch.targets).score()

    before = score()
    objective.train()
    for epoch in range(40):
        for batch in batches.epoch(epoch):
            optimizer.zero_grad()
            sum(objective.losses(batch).values()).backward()
            optimizer.step()
    assert score() > max(0.3, 2 * before)


def test_two_processes_learn_the_space_of_one(table, tmp_path):
    """They share each batch of 24 rows, and compare all of them; without dropout, which each would draw for itself."""
    settings = {**SETTINGS, "space.dropout": 0, "training.epochs": 2, "space.weights.text": "minilm"}
    words = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    command = [sys.executable, "-m", "tonggan", "fit", str(table), "--task", "match", *words]
    both = forked.run_together([*command, "--out", str(tmp_path / "two")], number=2)
    for done in both:
        assert done.returncode == 0, done.stderr
    assert "recall@1" in both[0].stdout
    assert not both[1].stdout  # the main process alone speaks
    tonggan.fit_space(table, out=tmp_path / "one", settings=settings)
    wanted, found = (load_file(tmp_path / name / "weights.safetensors") for name in ("one", "two"))
    for name, each in wanted.items():
        # Of a gradient that is none but for rounding, the first step of Adam has the length of any other.
        assert ((found[name] - each).abs() > 1e-5).float().mean() < 5e-3, name


def test_an_unfinished_run_of_other_settings_is_named(table, tmp_path):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "checkpoints" / "run.yaml").write_text("seed: 7\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="an unfinished run of another recipe"):
        tonggan.fit_space(table, out=tmp_path / "run", settings={**SETTINGS, "space.weights.text": "minilm"})


def test_a_recipe_reads_back_equal():
    recipe = MatchRecipe.parse({"space": {"alignment": {"kind": "sigmoid", "bias": -5}}}, who="recipe")
    assert MatchRecipe.parse(recipe.to_dict(), who="recipe") == recipe
    assert "bias: -5" in recipe.to_yaml()


def test_load_opens_a_space(run):
    again = tonggan.load(run.folder)
    assert again.results["metrics"] == run.results["metrics"]
    assert again.kinds == run.kinds
