"""A small project from its tests to proposals: what is proposed, on what evidence, and what is not."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import replace

import pytest

from optimization_scene import UNIQUE
from tonggan.codelm.optimization import optimize, optimizing, steps
from tonggan.codelm.optimization.evidence import speedup
from tonggan.errors import DataError

SLOW = (
    UNIQUE
    + """

def logged(items):
    # prints the squares
    squares = []
    for item in items:
        squares.append(item * item)
    with open("log.txt", "a") as file:
        file.write(str(squares))
    return squares


def never(items):
    found = []
    for item in items:
        found.append(item)
    return found
"""
)
TESTS = """\
from slow import logged, unique


def test_unique():
    assert unique([3, 1, 3, 2]) == [3, 1, 2]
    assert unique(list(range(60)) * 2) == list(range(60))


def test_logged():
    assert logged([1, 2]) == [1, 4]


def test_counts_its_runs():
    with open("runs.txt", "a") as file:
        file.write("x")
"""


def digest(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("project")
    (made / "slow.py").write_text(SLOW)
    (made / "test_slow.py").write_text(TESTS)
    return made


@pytest.fixture(scope="module")
def report(folder):
    before = digest(folder)
    made = optimize(str(folder / "slow.py"))
    assert digest(folder) == before
    return made


def test_a_quadratic_function_is_proposed_with_its_evidence(report):
    assert [each.function.name for each in report.proposals] == ["unique"], report.reasons
    (proposal,) = report.proposals
    assert (proposal.function.name, proposal.candidate.parts) == ("unique", ("deduplication",))
    assert proposal.compared["recorded"] == 2
    assert proposal.compared["derived"] > 50
    assert proposal.num_tests == 3
    assert proposal.speedups["grown"].low > 1.1


def test_the_patch_changes_only_what_is_proposed(report):
    lines = [line for line in report.patch().splitlines() if line[0] in "+-"]
    assert lines[:2] == ["--- a/slow.py", "+++ b/slow.py"]
    assert lines[2:] == [
        "-    result = []",
        "-    for item in items:",
        "-        if item not in result:",
        "-            result.append(item)",
        "+    result = list(dict.fromkeys(items))",
    ]


def test_what_cannot_be_proposed_has_its_reason(report):
    reasons = {place.split()[-1]: reason for place, reason in report.reasons.items()}
    assert "opens files" in reasons["logged"]
    assert reasons["never"] == "no test calls it"


def test_inputs_are_enough_without_tests(folder):
    inputs = folder.parent / "calls.txt"
    inputs.write_text("# calls\nunique([1, 2, 1])\nunique(list(range(50)))\n")
    report = optimize(f"{folder / 'slow.py'}:unique", inputs=inputs)
    assert [proposal.compared["recorded"] for proposal in report.proposals] == [2]
    assert report.proposals[0].num_tests == 0


@pytest.mark.skipif(shutil.which("valgrind", path=os.defpath) is None, reason="counts by valgrind")
def test_instructions_tell_where_times_do_not(folder, monkeypatch):
    def noisy(pairs):
        found = speedup(pairs)
        return replace(found, low=0.9)

    monkeypatch.setattr(optimizing, "speedup", noisy)
    inputs = folder.parent / "some_calls.txt"
    inputs.write_text("unique([1, 2, 1])\nunique(list(range(50)))\n")
    report = optimize(f"{folder / 'slow.py'}:unique", inputs=inputs)
    (proposal,) = report.proposals
    assert 3 < proposal.instructions < 30
    # Values that another process cannot make again are not counted.
    inputs.write_text("unique([__import__('fractions').Fraction(n) for n in range(50)])\n")
    report = optimize(f"{folder / 'slow.py'}:unique", inputs=inputs)
    assert report.proposals == []
    assert "(0.90 to" in next(iter(report.reasons.values()))


def test_functions_that_the_time_does_not_reach_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(steps, "_LEAST", 60.0)  # to say so
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "calls.txt").write_text("unique([1, 2, 1])\n")
    report = optimize(f"{tmp_path / 'slow.py'}:unique", inputs=tmp_path / "calls.txt", time_limit=1e-6)
    assert report.proposals == []
    assert list(report.reasons.values()) == ["the time limit was reached before it was proven"]


def test_what_is_unhashable_is_seen(tmp_path):
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "calls.txt").write_text("unique([[1], [2], [1]])\n")
    report = optimize(f"{tmp_path / 'slow.py'}:unique", inputs=tmp_path / "calls.txt")
    assert report.proposals == []
    assert "unhashable" in next(iter(report.reasons.values()))


@pytest.mark.parametrize(
    ("name", "content", "got"),
    [
        ("broken.py", "def f(:\n", "does not parse"),
        ("old.py", "print 'x'\n", "Python 2"),
        ("book.ipynb", "{}", "notebook"),
        ("fast.so", "", "compiled"),
    ],
)
def test_files_that_cannot_be_read_are_named(tmp_path, name, content, got):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=got):
        optimize(str(tmp_path / name))


def test_no_tests_and_no_inputs_is_an_error(tmp_path):
    (tmp_path / "slow.py").write_text(SLOW)
    with pytest.raises(DataError, match="--inputs"):
        optimize(str(tmp_path / "slow.py"))


def test_only_programs_of_python_are_run(folder):
    with pytest.raises(DataError, match="python -m MODULE"):
        optimize(str(folder / "slow.py"), tests="make test")


def test_a_folder_is_all_of_its_files_but_its_tests(folder):
    from tonggan.codelm.optimization.targets import find_target

    assert {each.module.name for each in find_target(str(folder)).functions} == {"slow.py"}
    assert {each.name for each in find_target(str(folder / "test_slow.py")).functions} >= {"test_unique"}
