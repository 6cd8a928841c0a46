"""The benchmarks of clips on next to nothing."""

from __future__ import annotations

import json
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from public_sets import needs_mirror
from tonggan.data.public import moving_shapes

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def _beside_each_other(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_all_ways_decode_the_same_frames(tmp_path: Path) -> None:
    import video_decoding

    path = tmp_path / "clip.mp4"
    video_decoding.write_clip(path, video_decoding.Kind(64, 48, Fraction(10), 60))
    frames = {name: way(path) for name, way in video_decoding.WAYS.items()}
    for name, found in frames.items():
        assert np.array_equal(found, frames["Tonggan"]), name


@needs_mirror
def test_encoders_in_one_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    import video_encoders

    monkeypatch.setenv("TONGGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(moving_shapes, "NUM_CLIPS", {"train": 64, "valid": 16, "test": 16})
    arguments = ["x", "one_frame", "--out", str(tmp_path), "--epochs", "1", "--targets", "motion"]
    monkeypatch.setattr(sys, "argv", arguments)
    video_encoders.main()
    assert capsys.readouterr().out.splitlines()[-1].startswith("| `one_frame` | 0.")
    monkeypatch.setattr(sys, "argv", [*arguments, "--table", "--json"])
    video_encoders.main()
    found = json.loads(capsys.readouterr().out)
    assert found["one_frame_motion"]["rows"]["test"] == 16
