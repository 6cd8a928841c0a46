"""``tonggan code optimize`` as a user types it."""

from __future__ import annotations

import json

import pytest

from command_line import assert_named, tonggan
from optimization_scene import UNIQUE

SLOW = (
    UNIQUE
    + """

def other(items):
    return items
"""
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "calls.txt").write_text("unique(list(range(80)) * 2)\nother(1)\n")
    return tmp_path


def test_a_proposal_is_shown_with_its_evidence_and_its_bounds(folder):
    done = tonggan("code", "optimize", folder / "slow.py", "--inputs", folder / "calls.txt")
    assert "slow.py:1 unique [deduplication]" in done.out
    assert "times as fast (95 %:" in done.out
    assert "equal in 1 recorded" in done.out
    assert "+    result = list(dict.fromkeys(items))" in done.out
    assert done.out.endswith("Equal in what was run; other inputs were not tried.\n")
    assert "slow.py:9 other: no rewrite fits" in done.err
    assert (folder / "slow.py").read_text() == SLOW


def test_applied_and_told_as_json(folder):
    done = tonggan(
        "code", "optimize", f"{folder / 'slow.py'}:unique", "--inputs", folder / "calls.txt", "--apply", "--json"
    )
    told = json.loads(done.out)
    assert told["applied"] == [str(folder / "slow.py")]
    assert told["proposals"][0]["rewrites"] == ["deduplication"]
    assert told["proposals"][0]["speedups"]["recorded"]["low"] > 1.1
    assert "dict.fromkeys" in (folder / "slow.py").read_text()
    again = tonggan(
        "code", "optimize", f"{folder / 'slow.py'}:unique", "--inputs", folder / "calls.txt", "--lang", "zh"
    )
    assert again.out == "没有建议。\n"
    assert "没有适用的改写" in again.err


def test_what_is_missing_is_named(folder):
    (folder / "empty.txt").write_text("# nothing\n")
    (folder / "wrong.txt").write_text("unique\n")
    wrong = (["--inputs", folder / f"{name}.txt"] for name in ("none", "empty", "wrong"))
    for arguments in (*wrong, [], ["--tests", "make"]):
        assert_named(tonggan("code", "optimize", folder / "slow.py", *arguments))
    (folder / "calls.txt").write_text("uniqe([1, 1])\nother(1)\n")
    passed_over = tonggan("code", "optimize", f"{folder / 'slow.py'}:other", "--inputs", folder / "calls.txt")
    assert "line 1 of the inputs calls none of the functions that are looked at: uniqe" in passed_over.err
    assert "line 2" not in passed_over.err
    missing = f"{folder / 'slow.py'}:none"
    assert_named(tonggan("code", "optimize", missing, "--inputs", folder / "calls.txt"))
