"""What the repository has already is tried under the name that is asked for."""

from __future__ import annotations

import pytest

from tonggan.codelm.search.code_index import CodeIndex
from tonggan.codelm.writing.borrowing import borrow
from tonggan.codelm.writing.candidate import Judge
from tonggan.codelm.writing.request import read_request

HELPERS = '''\
def largest_even(values):
    """The largest even number among values."""
    # Odd ones do not count.
    numbers = [value for value in values if value % 2 == 0]
    if len(numbers) > 9:
        return largest_even(numbers[:9])
    return max(numbers)


def even(number, other):
    """Even number."""
    return number % 2 == 0


@staticmethod
def largest_decorated(values):
    """The largest even number."""


class Box:
    def largest(self):
        """The largest even number of the box."""
        return 1
'''


@pytest.fixture
def borrowed(tmp_path):
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "helpers.py").write_text(HELPERS)
    place = tmp_path / "place.py"
    place.write_text('X = 1\n\n\ndef biggest(items):\n    """The largest even number."""\n')

    def run(line, **options):
        request = read_request("the largest even number", place, line, **options)
        with CodeIndex.open(tmp_path, folder=tmp_path / ".index") as index:
            index.refresh()
            draws = list(borrow(request, index))
        judge = Judge(request)
        return [(judge.look(each.written, source=each.source, logprob=each.logprob), each.source) for each in draws]

    return run


def test_a_function_of_the_repository_stands_under_the_asked_name(borrowed):
    ((candidate, source),) = borrowed(4)
    assert source == "copied from helpers.py:1"
    assert candidate.refused is None
    assert candidate.text.endswith('''number."""
    numbers = [value for value in items if value % 2 == 0]
    if len(numbers) > 9:
        return biggest(numbers[:9])
    return max(numbers)
''')
    new = {source: candidate for candidate, source in borrowed(1, examples=["top([2]) == 2"])}
    assert "def top(values):\n" in new["copied from helpers.py:1"].text
    assert "        return top(numbers[:9])\n" in new["copied from helpers.py:1"].text
    assert all("Box" not in candidate.text and "@" not in candidate.text for candidate in new.values())
