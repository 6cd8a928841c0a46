import argparse
import importlib.util
import shutil
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


def test_a_table_of_all_ways(benchmark, tmp_path, shared_cache, monkeypatch):
    monkeypatch.setenv("TONGGAN_CACHE", str(shared_cache))
    pyarrow.csv.write_csv(run_scene.table(80), tmp_path / "rows.csv")
    deep = "model.encoders={note: {kind: text_transformer, num_layers: 1}, table: {kind: table}}"
    run_scene.fit(tmp_path / "original", data=tmp_path / "rows.csv", settings=[deep, "training.epochs=1"])
    benchmark.compressed(tmp_path / "original", tmp_path / "pruned", prune=0.5, settings=["training.epochs=1"])
    for name in ("int8", "student-0"):  # what is there is not made again
        shutil.copytree(tmp_path / "pruned", tmp_path / name)
    options = argparse.Namespace(
        recipe="",
        student="small",
        student_epochs=1,
        prune=0.5,
        prune_set=[],
        seeds=1,
        set=[],
        ways=["quantize", "distill", "prune"],
        out=tmp_path,
    )
    found = benchmark.compare(options)
    assert [row["model"] for row in found["rows"]] == ["original", "int8", "student", "alone", "pruned"]
    pruned = found["rows"][-1]
    assert found["student_over_alone"] == [pruned["score"] - found["rows"][3]["score"]]
    assert benchmark.shown(found).count("\n") == 8
