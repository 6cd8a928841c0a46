"""Runs whose text encoder has pretrained weights: what their bundles hold, and what they refuse."""

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import run_scene
import tonggan
from embedder_scene import tiny_embedder
from tonggan.errors import BundleError, DataError

WORDS = "red green blue small large round"


@pytest.fixture
def folder(tmp_path):
    tiny_embedder([WORDS]).save(tmp_path / "weights")
    return tmp_path / "weights"


def fit(out, folder, **settings):
    encoder = {"kind": "text_pretrained", "weights": str(folder), **settings}
    chosen = [f"model.encoders.note={encoder}", "model.encoders.table.kind=table", "columns.note.max_tokens=16"]
    return run_scene.fit(out, settings=[*chosen, "training.epochs=1"])


@pytest.mark.parametrize("tune", ["frozen", "last", "low_rank", "full"])
def test_a_bundle_names_what_stayed_and_predicts_the_same(tmp_path, shared_cache, folder, tune):
    fitted = fit(tmp_path / "run", folder, tune=tune, layers=1, layer_decay=0.5)
    assert fitted.bundle.recipe.columns["note"].weights == str(folder)
    with safe_open(tmp_path / "run" / "weights.safetensors", framework="pt") as file:
        trunk = {name for name in file.keys() if ".trunk." in name}  # noqa: SIM118 - not a mapping
    layers = {".".join(name.split(".")[3:6]) for name in trunk}
    assert layers == {
        "frozen": set(),
        "last": {"encoder.layer.1"},
        "low_rank": {"encoder.layer.0", "encoder.layer.1"},
    }.get(tune, layers)
    assert (tune == "full") == any("word_embeddings" in name for name in trunk)
    rows = run_scene.table(20, seed=1)
    loaded = tonggan.load(tmp_path / "run")
    np.testing.assert_allclose(loaded.predict_proba(rows), fitted.predict_proba(rows), atol=1e-6)


def test_other_weights_than_those_trained_on_are_refused(tmp_path, shared_cache, folder):
    fit(tmp_path / "run", folder)
    weights = load_file(folder / "model.safetensors")
    save_file({name: weight + 0.01 for name, weight in weights.items()}, folder / "model.safetensors")
    with pytest.raises(BundleError, match=r"weights of note .*Put the same files of that model where the recipe names"):
        tonggan.load(tmp_path / "run")
    (folder / "config.json").unlink()
    with pytest.raises(DataError, match=r"got no config\.json"):
        tonggan.load(tmp_path / "run")


def test_a_folder_that_is_no_checkpoint_is_refused_before_training(tmp_path, shared_cache):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"got no config\.json, expected a model in Hugging Face's layout"):
        fit(tmp_path / "run", tmp_path / "empty")
