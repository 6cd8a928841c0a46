import importlib.util
from pathlib import Path

import pytest
import torch

from public_sets import needs_mirror

PATH = Path(__file__).parents[2] / "benchmarks" / "sequence_encoders.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("sequence_encoders", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def parameters(network):
    return sum(each.numel() for name, each in network.named_parameters() if "embedding" not in name)


def test_both_sides_are_of_one_size(benchmark):
    for name, (own, plain, arrays) in benchmark.pairs().items():
        assert parameters(own) == pytest.approx(parameters(plain), rel=0.03), name
        few = arrays.take(torch.arange(3))
        assert benchmark.step(own, few) > 0
        assert benchmark.step(plain, few) > 0


@needs_mirror
@pytest.mark.slow
def test_a_slice_of_accuracy(benchmark, tmp_path, monkeypatch):
    monkeypatch.setenv("TONGGAN_CACHE", str(tmp_path))
    monkeypatch.setitem(benchmark.READERS, "fsdd", ("audio", ["audio_rnn"]))
    found = benchmark.measure_accuracy("fsdd", 60, 1)
    assert list(found) == ["audio_rnn", "MFCC statistics, boosted trees"]
    assert all(0 <= row["accuracy"] <= 1 for row in found.values())
