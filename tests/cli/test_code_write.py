"""``tonggan code write`` as a user types it."""

from __future__ import annotations

import json

import pytest

from command_line import assert_named, tonggan
from recital_scene import EXAMPLE, SOURCE, WHAT, recital


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return recital(tmp_path_factory.mktemp("recital"))


@pytest.fixture
def run(model, tmp_path):
    file = tmp_path / "evens.py"
    file.write_text(SOURCE)
    given = ["--file", file, "--at", 1, "--model", model, "--candidates", 2]
    return file, lambda *more: tonggan("code", "write", WHAT, *given, *more)


def test_a_patch_with_its_evidence_is_shown_and_applied(run):
    file, write = run
    done = write("--examples", EXAMPLE, "--apply")
    assert done.code == 0, done.err
    assert "+    return max(n for n in numbers if n % 2 == 0)\n" in done.out
    assert "passed 2 of 2 examples and tests\n" in done.out
    assert "Tried: 2 sampled by recital, " in done.out
    assert done.out.endswith(f"Written: {file}\n")
    assert "return max" in file.read_text()


def test_nothing_passes_as_json_and_in_chinese(run):
    file, write = run
    told = write("--examples", "largest_even([8]) == 9", "--json")
    assert told.code == 1
    found = json.loads(told.out)
    assert (found["patch"], found["counts"]["drawn"], found["applied"]) == (None, 2, [])
    assert found["candidates"][0]["checks"][0]["expected"] == "9"
    chinese = write("--examples", "largest_even([8]) == 9", "--lang", "zh")
    assert chinese.code == 1
    assert chinese.out.startswith("没有候选通过。最接近的候选：\n")
    assert "应为：9" in chinese.out
    assert file.read_text() == SOURCE


def test_what_is_missing_is_named(run):
    _, write = run
    for wrong in (["--at", 99], ["--examples", "x ="], ["--model", "no/such/model"], ["--time-limit", "soon"]):
        assert_named(write(*wrong), code=2)
    assert_named(write("--tests", "no_tests.py"))
