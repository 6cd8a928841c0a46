"""The benchmark of pretraining on a slice so small that only its shape can be right."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from public_sets import needs_mirror

PATH = Path(__file__).parents[2] / "benchmarks" / "pretraining_pays.py"


@pytest.fixture(scope="module")
def pays():
    spec = importlib.util.spec_from_file_location("pretraining_pays", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules["pretraining_pays"] = module  # where dataclasses look for their own
    spec.loader.exec_module(module)
    return module


def test_labeled_rows_are_of_all_labels_alike(pays):
    labels = np.array(["a"] * 50 + ["b"] * 30 + ["c"] * 4)
    chosen = pays.balanced(labels, 15, seed=0)
    assert sorted(labels[chosen].tolist()) == sorted("a" * 6 + "b" * 5 + "c" * 4) or np.unique(
        labels[chosen], return_counts=True
    )[1].tolist() in ([5, 6, 4], [6, 5, 4])
    assert len(set(chosen.tolist())) == 15
    assert not np.array_equal(chosen, pays.balanced(labels, 15, seed=1))


@needs_mirror
def test_a_slice(pays, tmp_path, monkeypatch, capsys, shared_cache):
    monkeypatch.setenv("TONGGAN_CACHE", str(shared_cache))
    options = ["--rows", "400", "--test", "40", "--minutes", "0.02", "--share", "0.1", "--seeds", "1", "--choose"]
    monkeypatch.setattr(sys, "argv", ["x", "thucnews", *options, "--no-floor", "--work", str(tmp_path), "--json"])
    pays.main()
    (found,) = json.loads(capsys.readouterr().out)
    assert found["labeled"] == 40
    assert found["gains"] == pytest.approx([100 * (found["accuracy"]["pretrained"][0] - found["accuracy"]["none"][0])])
    assert (tmp_path / "thucnews-pretrained" / "encoder.json").is_file()
    pays.show(found)
    assert "gain" in capsys.readouterr().out
