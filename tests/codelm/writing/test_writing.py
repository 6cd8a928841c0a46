"""A model that knows the answer by heart: what passes comes first, with what was tried."""

from __future__ import annotations

import time

import pytest

from recital_scene import EXAMPLE, SOURCE, WHAT, recital
from tonggan.codelm.completion.open import open_writer
from tonggan.codelm.workspace import Workspace
from tonggan.codelm.writing import apply, read_request, write
from tonggan.codelm.writing.sampling import Sampler
from tonggan.errors import DataError


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = recital(tmp_path_factory.mktemp("recital"))
    return open_writer(str(path))[0], path.with_name("evens.py")


def test_what_passes_is_proposed_and_written_where_git_could_give_it_back(model, tmp_path):
    writer, _ = model
    file = tmp_path / "evens.py"
    file.write_text(SOURCE)
    report = write(read_request(WHAT, file, 1, examples=[EXAMPLE]), writer, candidates=6, seed=3)
    best = report.best
    assert best is not None, report.reasons
    assert [check.source for check in best.outcome.checks] == [EXAMPLE, "largest_even([1, 4, 2])"]
    assert "+    return max(n for n in numbers if n % 2 == 0)\n" in report.patch(best)
    counts = report.counts
    assert counts["drawn"] >= counts["different"] >= counts["parsed"] >= counts["in_scope"] >= counts["passed"] >= 1
    assert sum(each.count for each in report.tried) == counts["drawn"]
    assert report.notes == []
    file.write_text(SOURCE + "# more\n")
    with pytest.raises(DataError, match="changed since"):
        apply(report)
    file.write_text(SOURCE)
    assert apply(report) == [file]
    assert file.read_text() == SOURCE.replace(
        '"""\n\n\ndef other', '"""\n    return max(n for n in numbers if n % 2 == 0)\n\n\ndef other'
    )


def test_where_nothing_passes_the_nearest_comes_first_with_its_failure(model, tmp_path):
    writer, _ = model
    file = tmp_path / "evens.py"
    file.write_text(SOURCE)
    report = write(read_request(WHAT, file, 1, examples=["largest_even([8, 9]) == 9"]), writer, candidates=2)
    assert report.best is None
    assert apply(report) == []
    done = report.to_dict()
    assert done["patch"] is None
    if report.counts["in_scope"]:
        assert report.tried[0].reason.startswith("largest_even([8, 9]) == 9: got ")
    late = write(read_request(WHAT, file, 1, examples=[EXAMPLE]), writer, candidates=50, time_limit=0.01)
    assert late.drawn < 50


def test_tests_that_say_nothing_are_noted(model, tmp_path):
    writer, _ = model
    file = tmp_path / "evens.py"
    file.write_text(SOURCE.replace("    >>> largest_even([1, 4, 2])\n    4\n", ""))
    report = write(read_request(WHAT, file, 1, examples=["1 == 1"]), writer, candidates=1)
    assert report.notes == ["all examples and tests already pass: they do not say what to write"]


def test_the_same_seed_draws_the_same(model):
    writer, file = model
    request = read_request(WHAT, file, 1, examples=[EXAMPLE])

    def draws(seed):
        sampler = Sampler(writer, infill=None, request=request, workspace=Workspace(request.root), seed=seed)
        return [each for batch in sampler.draw(3, deadline=time.monotonic() + 60) for each in batch]

    assert draws(1) == draws(1)
    greedy = draws(1)[0]
    assert (greedy.written, greedy.source, greedy.is_whole) == (
        "\n    return max(n for n in numbers if n % 2 == 0)", "continued", True
    )  # fmt: skip
    assert greedy.logprob > -0.2
