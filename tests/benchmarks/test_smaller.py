import argparse
import importlib.util
from pathlib import Path

import pyarrow.csv
import pytest

import run_scene

PATH = Path(__file__).parents[2] / "benchmarks" / "smaller.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("smaller_benchmark", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_table_of_all_ways_and_a_second_call_makes_nothing_again(benchmark, tmp_path, shared_cache, monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.setenv("TONGGAN_CACHE", str(shared_cache))
    pyarrow.csv.write_csv(run_scene.table(80), tmp_path / "rows.csv")
    deep = "model.encoders={note: {kind: text_transformer, num_layers: 1}, table: {kind: table}}"
    run_scene.fit(tmp_path / "original", data=tmp_path / "rows.csv", settings=[deep, "training.epochs=1"])
    options = argparse.Namespace(
        recipe="", student="small", student_epochs=1, prune=0.5, prune_set=[], seeds=1, set=[], out=tmp_path
    )
    found = benchmark.compare(options)
    assert [row["model"] for row in found["rows"]] == ["original", "int8", "student", "alone", "pruned"]
    assert len(found["student_over_alone"]) == 1
    assert benchmark.shown(found).count("\n") == 8
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("bundle.json")}
    assert benchmark.compare(options)["seeds"] == found["seeds"]
    assert files == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("bundle.json")}
