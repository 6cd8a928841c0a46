"""``tonggan code learn-bugs`` as a user types it."""

from __future__ import annotations

import pytest

from command_line import assert_named, tonggan
from tonggan.codelm.review.learned.detector import BugDetector

FUNCTION = """
def count_{name}({name}, first, last):
    total_{name} = 0
    for each in {name}:
        if first <= each < last:
            total_{name} += 1
    return total_{name}
"""
SMALL = (
    "--set",
    "network.dim=16",
    "--set",
    "network.num_layers=1",
    "--set",
    "network.num_heads=2",
    "--set",
    "epochs=2",
)


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    for number in range(50):
        texts = [FUNCTION.format(name=f"{noun}s_{number}") for noun in ("row", "word", "user", "file", "page")]
        (folder / f"module_{number}.py").write_text("\n".join(texts))
    return folder


def test_a_detector_is_learned_and_written(project, tmp_path):
    out = tmp_path / "detectors" / "mine.safetensors"
    out.parent.mkdir()
    done = tonggan("code", "learn-bugs", project, "--out", out, *SMALL, "--set", "epochs=2", "--json").json
    assert done["out"] == str(out)
    assert done["functions"] + done["held_out"] == 250
    assert 0 <= done["metrics"]["accuracy"] <= 1
    assert not BugDetector.open(out).levels.isnan().any()
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_nothing_is_replaced(project, tmp_path):
    out = tmp_path / "mine.safetensors"
    out.write_text("mine")
    failed = tonggan("code", "learn-bugs", project, "--out", out)
    assert_named(failed, str(out), "Choose another name", code=2)
    assert out.read_text() == "mine"
