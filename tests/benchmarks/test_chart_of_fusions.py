"""The chart of fusions on a slice so small that only its shape can be right."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from tonggan.fusion import FusionConfig

PATH = Path(__file__).parents[2] / "benchmarks" / "chart_of_fusions.py"


@pytest.fixture(scope="module")
def chart():
    spec = importlib.util.spec_from_file_location("chart_of_fusions", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_fusion_is_in_it(chart):
    assert set(FusionConfig.family()) - {"prefix"} < set(chart.fusions())
    assert chart.settings_of("film", "easy_vqa") == {}
    assert chart.settings_of("sum", "easy_vqa") == {"model.fusion": {"kind": "sum"}}
    assert chart.settings_of(chart.ALONE, "easy_vqa")["model.encoders"] == {}


def test_a_slice(chart, tmp_path, monkeypatch, capsys, shared_cache):
    pytest.importorskip("easy_vqa")
    monkeypatch.setenv("TONGGAN_CACHE", str(shared_cache))
    options = ["--rows", "200", "--minutes", "0.03", "--fusions", "sum", chart.ALONE, "--work", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["x", "easy_vqa", *options, "--json"])
    chart.main()
    one, alone = json.loads(capsys.readouterr().out)
    assert set(one["alone"]) == {"image", "question"}
    assert one["parameters"] != alone["parameters"]
    monkeypatch.setattr(sys, "argv", ["x", "easy_vqa", *options])
    chart.main()  # what is finished is not measured again
    told = capsys.readouterr().out
    assert "| `sum` |" in told
    assert "| `perceiver_alone` |" in told
