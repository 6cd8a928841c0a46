"""Bundles of the first format, which had the constant answer beside the task and after the calibration."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tonggan
from tonggan.api import Predictor
from tonggan.decoders import TARGET
from tonggan.runs.bundle import Bundle

ROWS = 60
TARGETS: dict[str, dict[str, list[Any]]] = {
    "multiclass": {"sort": ["a", "b", "c", "a", "b", "a"] * 10},
    "binary": {"good": ["no", "no", "yes"] * 20},
    "multilabel": {"tags": ["x|y", "y", "|", "x|z", "y", "x"] * 10},
    "regression": {"width": np.linspace(2, 9, ROWS).tolist(), "height": np.linspace(500, 100, ROWS).tolist()},
    "caption": {"title": ["a red fox", "a fox", "一只狐狸", "a red fox"] * 15},
}
SETTINGS = {
    "floor": None,
    "model.dim": 16,
    "training": {"epochs": 2, "batch_size": 16, "precision": "fp32"},
    "audit_alone": False,
    "max_bad": 1,
}
WRITING = {"model.head": {"kind": "language", "num_layers": 1, "num_heads": 2}}


def columns(kind: str) -> dict[str, list[Any]]:
    generator = np.random.default_rng(0)
    inputs = {"x": generator.normal(size=ROWS).tolist(), "word": ["cat", "dog", "owl"] * (ROWS // 3)}
    return inputs | TARGETS[kind]


@pytest.fixture(scope="module", params=list(TARGETS))
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Predictor:
    """A finished run of this version, calibrated."""
    kind = request.param
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TONGGAN_CACHE", str(shared_cache))
        return tonggan.fit(
            columns(kind),
            target=list(TARGETS[kind]),
            task=None if kind in ("binary", "regression") else kind,
            out=tmp_path_factory.mktemp("runs") / kind,
            settings={**SETTINGS, "columns.x.kind": "number", **(WRITING if kind == "caption" else {})},
        )


def as_first_format(bundle: Bundle, folder: Path, out: Path) -> Path:
    """A copy of the bundle in ``folder`` as it was written before."""
    shutil.copytree(folder, out)
    index = json.loads((out / "bundle.json").read_text(encoding="utf-8"))
    assert index["format"] == 2
    index["format"] = 1
    index["task"]["state"].pop("constant", None)
    constant = bundle.task.constant(1)
    if "ids" in constant:  # behind the loss and the number of tokens of a target
        index["baseline"] = [[0.0, 0.0, *constant["ids"][0].float().tolist()]]
    else:
        index["baseline"] = constant["outputs"].tolist()
    (out / "bundle.json").write_text(json.dumps(index), encoding="utf-8")
    return out


def test_the_constant_answer_and_all_predictions_are_the_same(run: Predictor, tmp_path: Path) -> None:
    task = run.bundle.task
    if task.kind in ("multiclass", "binary", "multilabel"):
        assert task.temperature != 1
    folder = as_first_format(run.bundle, run.folder, tmp_path / "first")
    old = tonggan.load(folder)
    assert old.bundle.task.temperature == task.temperature
    own, found = task.constant(4), old.bundle.task.constant(4)
    assert found.outputs.keys() == own.outputs.keys()
    for name, expected in own.outputs.items():
        torch.testing.assert_close(found[name], expected, rtol=1e-6, atol=1e-6)
    assert old.bundle.task.decode(found) == task.decode(own)
    rows = columns(task.kind)
    assert old.predict(rows) == run.predict(rows)
    if task.labels and task.kind != "regression":
        assert np.array_equal(old.predict_proba(rows), run.predict_proba(rows))
    assert old.results == run.results
    batch = run.read(rows, with_target=True).dataset.batch(np.arange(ROWS))
    measured = [each.measure_constant(batch.targets).metrics() for each in (task, old.bundle.task)]
    assert measured[0] == pytest.approx(measured[1], rel=1e-6)
    assert TARGET in batch.targets


def test_an_old_bundle_that_is_saved_again_is_of_the_new_format(run: Predictor, tmp_path: Path) -> None:
    old = tonggan.load(as_first_format(run.bundle, run.folder, tmp_path / "first"))
    index = json.loads((old.save(tmp_path / "again") / "bundle.json").read_text(encoding="utf-8"))
    assert index["format"] == 2
    assert "baseline" not in index
    again = tonggan.load(tmp_path / "again")
    own = run.bundle.task.constant(2)
    for name, expected in again.bundle.task.constant(2).outputs.items():
        torch.testing.assert_close(own[name], expected, rtol=1e-6, atol=1e-6)
    rows = columns(run.bundle.task.kind)
    assert again.predict(rows) == run.predict(rows)
