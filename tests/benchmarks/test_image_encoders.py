"""The benchmarks of picture encoders on next to nothing: they compare what is the same, and print all of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def _beside_each_other(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("size", [16, 64])
def test_the_plain_networks_are_the_same(size):
    import image_encoders

    pictures = torch.zeros(2, 3, size, size, dtype=torch.uint8)
    for name, (ours, plain) in image_encoders.networks(size).items():
        assert ours(pictures).shape == plain(pictures).shape == (2, image_encoders.DIM), name
        assert sum(each.numel() for each in ours.parameters()) == sum(each.numel() for each in plain.parameters()), name


def test_it_prints_json(monkeypatch, capsys):
    import image_encoders

    monkeypatch.setattr(
        sys, "argv", ["image_encoders.py", "vit", "sift", "--size", "16", "--batch", "4", "--rounds", "1", "--json"]
    )
    image_encoders.main()
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["encoder"] for row in rows] == ["vit", "sift"]
    assert rows[0]["parameters"] == rows[0]["plain_parameters"]
    assert all(row["inference_ratio"] > 0 for row in rows)


def test_an_unknown_encoder_is_refused(monkeypatch, capsys):
    import image_encoders

    monkeypatch.setattr(sys, "argv", ["image_encoders.py", "alexnet"])
    with pytest.raises(SystemExit):
        image_encoders.main()
    assert "unknown encoder alexnet; expected some of cnn, resnet" in capsys.readouterr().err


def test_the_table_has_the_best_on_validation_first():
    import cifar10_encoders

    row = {"test": 0.5, "interval": [0.4, 0.6], "parameters": 1234, "minutes": 1.25}
    found = {"vit": {**row, "valid": 0.4, "epochs": 7}, "frozen": {**row, "valid": 0.7, "epochs": None}}
    assert cifar10_encoders.table(found).splitlines()[2:] == [
        "| frozen | 0.700 | 0.500 | 0.400 – 0.600 | 1,234 | – | 1.2 |",
        "| vit | 0.400 | 0.500 | 0.400 – 0.600 | 1,234 | 7 | 1.2 |",
    ]


def test_scenes_have_a_box_around_every_picture(tmp_path, monkeypatch):
    import cv2
    import numpy as np

    import cifar10_encoders

    picture = cv2.imencode(".png", np.full((32, 32, 3), (0, 0, 250), np.uint8))[1].tobytes()
    monkeypatch.setattr(cifar10_encoders, "rows_of", lambda _split, *, rows: ([picture] * rows, list(range(rows))))
    lines = cifar10_encoders.scenes(tmp_path, rows=96).read_text().splitlines()
    assert len(lines) == 24
    for line in lines:
        row = json.loads(line)
        scene = cv2.imread(str(tmp_path / row["scene"]))
        boxes = [each["box"] for each in json.loads(row["objects"])]
        assert 1 <= len(boxes) <= 3
        for left, top, right, bottom in boxes:
            assert (scene[top:bottom, left:right] == (0, 0, 250)).all()
