"""The scores of tags by hand, and what always saying the same is worth."""

import json

import numpy as np
import pytest

from benchmarks import emoji_tags


def test_scores_by_hand():
    truth = np.array([[1, 0, 0], [0, 1, 0]])
    said = np.array([[0.9, 0.8, 0.1], [0.2, 0.7, 0.3]])
    # In order of what was said: right, wrong, right, wrong, wrong, wrong.
    assert emoji_tags.scores(truth, said) == pytest.approx(
        {"average_precision_micro": (1 + 2 / 3) / 2, "f1_micro": 2 * 2 / (2 * 2 + 1)}
    )


def test_it_prints_json(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("TONGGAN_CACHE", str(tmp_path))
    emoji_tags.main(["frequent", "--json"])
    found = json.loads(capsys.readouterr().out)["frequent"]
    assert 0.05 < found["average_precision_micro"] < 0.3
