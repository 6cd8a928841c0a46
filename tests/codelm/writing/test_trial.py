"""Candidates run in the sandbox: what they gave and what was expected, and what ends those that do harm."""

from __future__ import annotations

import pytest

from tonggan.codelm.writing.request import read_request
from tonggan.codelm.writing.trial import Trial
from tonggan.errors import DataError

SOURCE = '''\
from helper import two


def double(x):
    """Twice.

    >>> double("a")
    "aa"
    >>> double(None)
    Traceback (most recent call last):
    TypeError: no number
    """
'''
TESTS = "from shop.double import double\n\ndef test_five():\n    assert double(5) == 10\n"


@pytest.fixture
def tried(tmp_path):
    (tmp_path / "pyproject.toml").touch()
    package = tmp_path / "shop"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "double.py").write_text(SOURCE.replace("helper", "shop.helper"))
    (package / "helper.py").write_text("two = 2\n")
    (tmp_path / "test_double.py").write_text(TESTS)

    def run(body, *, derived=0, **options):
        request = read_request("", package / "double.py", 5, **options)
        with Trial.of(request, seconds=20.0, each=0.5) as (trial, left_out):
            assert left_out == []
            return trial.run(request.encoded(request.whole(f"\n    {body}")), derived=derived)

    return run


RIGHT = "if x is None:\n        raise TypeError('no number')\n    return two * x"


def test_what_passes_and_what_is_first_to_fail(tried, tmp_path):
    examples = ["double(3) == 6", "double(2)"]
    right = tried(RIGHT, examples=examples, derived=5)
    assert right.passed, right
    assert [check.source for check in right.checks] == [*examples, 'double("a")', "double(None)"]
    assert len(right.outputs) > len(right.checks)
    wrong = tried("return x + 2", examples=examples, tests=str(tmp_path / "test_double.py"), derived=5)
    assert (wrong.failure.source, wrong.failure.got, wrong.failure.expected) == ("double(3) == 6", "5", "6")
    assert [check.passed for check in wrong.checks] == [False, True, False, False, False]
    assert wrong.checks[-1].source == "test_double.py::test_five"
    assert "assert 7 == 10" in wrong.checks[-1].got
    assert [(each.call, each.got) for each in right.outputs[:2]] == [("double(3)", "6"), ("double(2)", "4")]
    assert [each.got for each in wrong.outputs[:2]] == ["5", "4"]
    assert right.outputs[1].digest == wrong.outputs[1].digest


def test_candidates_that_hang_end_the_process_or_print_without_end(tried):
    late = tried("\n    while True: pass", examples=["double(3) == 6"])
    assert late.failure.got == "no end within 0.5 s"
    gone = tried("import os; os._exit(0)", examples=["double(3) == 6"])
    assert not gone.passed
    assert "ended before it answered" in gone.problem
    loud = tried("print('x' * 100_000_000); return 2 * x", examples=["double(3) == 6"])
    assert not loud.passed
    child = tried("import os; os.fork(); return 2 * x", examples=["double(3) == 6"])
    assert "PermissionError" in child.failure.got


def test_a_module_that_cannot_be_imported_and_a_command_that_is_none(tried, tmp_path):
    with pytest.raises(DataError, match="a program of Python"):
        tried(RIGHT, tests="make test")
    (tmp_path / "shop" / "helper.py").write_text("raise OSError('closed')\n")
    broken = tried(RIGHT, examples=["double(3) == 6"])
    assert "cannot be imported: OSError: closed" in broken.failure.got
