"""What is best of all that was tried, and what a user should know of the others."""

from __future__ import annotations

import pytest

from tonggan.codelm.writing.candidate import Judge
from tonggan.codelm.writing.request import read_request
from tonggan.codelm.writing.trial import Trial
from tonggan.codelm.writing.tried import Report

SOURCE = "def reverse(words):\n    pass\n"


@pytest.fixture
def tried(tmp_path):
    (tmp_path / "words.py").write_text(SOURCE)

    def run(bodies, examples):
        request = read_request("", tmp_path / "words.py", 1, examples=examples)
        report, judge = Report(request), Judge(request)
        with Trial.of(request, seconds=10.0) as (trial, _):
            report.before = trial.run(request.content)
            for body, logprob in bodies:
                made = report.add(judge.look(f"\n    {body}", source="continued", logprob=logprob))
                report.drawn += 1
                if made is not None and made.candidate.refused is None:
                    made.outcome = trial.run(request.encoded(made.candidate.text), derived=8)
        report.rank()
        return report

    return run


def test_most_draws_that_agree_win_over_the_likeliest(tried):
    split = "return ' '.join(words.split()[::-1])"
    report = tried(
        [
            ("return words[::-1]", -0.1),
            (split, -0.9),
            ("parts = words.split()\n    return ' '.join(reversed(parts))", -0.8),
            (split, -0.7),
            ("return words", -0.01),
            ("return wordz", -0.01),
            ("return (", -0.01),
        ],
        ["reverse('a b c') == 'c b a'"],
    )
    assert report.counts == {"drawn": 7, "different": 6, "parsed": 5, "in_scope": 4, "passed": 3}
    assert report.best.candidate.text.endswith(f"{split}\n")
    assert report.best.count == 2
    assert report.best.candidate.logprob == -0.7
    assert report.tried[2].candidate.text.endswith("words[::-1]\n")
    (note,) = report.notes
    assert note.startswith("others that passed differ: reverse('")
    assert report.reasons["reverse('a b c') == 'c b a': got 'a b c', expected 'c b a'"] == 1
    assert report.reasons["name 'wordz' is not defined here"] == 1


def test_checks_that_nothing_can_pass_are_noted(tried):
    report = tried([("return 1", -1.0), ("return 2", -1.0)], ["1 == 2", "reverse('a') == 3"])
    assert report.best is None
    assert report.notes == ["fails the same way whatever is written: 1 == 2: 1"]
    assert report.to_dict()["candidates"][0]["checks"][1] == {
        "source": "reverse('a') == 3", "passed": False, "got": "1", "expected": "3"
    }  # fmt: skip
