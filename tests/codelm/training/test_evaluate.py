"""A model is promoted where its gain is beyond chance and nothing is worse, and for nothing less."""

import numpy as np
import pytest

from tonggan.codelm.training.evaluate import Line, Scores, Verdict, completed, draw_lines, edit_similarity

TEXT = '''"""What the module
is for."""
import os  # a remark

# only a remark
TEXT = """
not code here
"""


def read(path):
    with open(path) as file:
        return file.read()
}
'''
BEFORE = Scores(exact_match=0.4, edit_similarity=0.7, perplexity=3.0)
AFTER = Scores(0.5, 0.8, 2.0)


def test_only_lines_of_code_are_drawn():
    lines = draw_lines([("a.py", "python", TEXT)], count=100, generator=np.random.default_rng(0), per_file=100)
    whole = {line.text[: line.offset].split("\n")[-1] + line.target for line in lines}
    assert whole == {"import os  # a remark", 'TEXT = """', "def read(path):",
                     "    with open(path) as file:", "        return file.read()"}  # fmt: skip
    for line in lines:
        assert line.target
        assert line.target not in line.text[line.offset :].split("\n")[0]
        assert line.text[: line.offset] + line.target + line.text[line.offset :] == TEXT


def test_documents_hold_no_lines_of_code():
    files = [("a.md", "markdown", "# Title\n\nA paragraph of prose.\n"), ("a.rst", "rst", "A paragraph of prose.\n")]
    assert draw_lines(files, count=9, generator=np.random.default_rng(0)) == []


def test_half_of_the_cursors_stand_inside_a_line():
    lines = draw_lines([("a.py", "python", TEXT)] * 60, count=200, generator=np.random.default_rng(0))
    at_start = [not line.text[: line.offset].split("\n")[-1].strip() for line in lines]
    assert 0.4 < np.mean(at_start) < 0.6


def test_an_answer_is_what_stands_on_the_line():
    line = Line("a.py", "python", "x = f()\nprint(x)\n", 4, "f()")
    assert completed(line, text="g(1)\ny = 2", start=4, end=4) == "g(1)"
    assert completed(line, text="g", start=4, end=5) == "g()"


def test_edit_similarity_is_one_minus_the_share_of_edits():
    assert edit_similarity("return a", "return a") == 1.0
    assert edit_similarity("", "") == 1.0
    assert edit_similarity("kitten", "sitting") == pytest.approx(1 - 3 / 7)


@pytest.mark.parametrize(
    ("after", "lines", "gain", "decision", "reason"),
    [
        (AFTER, 100, (0.01, 0.1), "better", "above zero"),
        (Scores(0.4, 0.8, 2.0), 200, (0.01, 0.1), "better", "above zero"),
        (AFTER, 10, (0.01, 0.1), "undecided", "10 lines are no evidence"),
        (AFTER, 100, (-0.037, 0.157), "undecided", "reaches down to zero"),
        (Scores(0.5, 0.8, 3.1), 100, (0.01, 0.1), "undecided", "perplexity is worse"),
        (Scores(0.3, 0.8, 2.0), 100, (0.01, 0.1), "undecided", "exact match or"),
        (Scores(0.3, 0.6, 4.0), 100, (-0.2, -0.1), "worse", "below zero"),
        (Scores(0.3, 0.6, 4.0), 10, (-0.2, -0.1), "undecided", "10 lines are no evidence"),
    ],
)
def test_promotion_wants_evidence(after, lines, gain, decision, reason):
    verdict = Verdict("base", BEFORE, after, lines, gain)
    assert verdict.decision == decision
    assert reason in verdict.reason
    assert verdict.is_better == (decision == "better")
    assert verdict.to_dict()["decision"] == decision
    assert verdict.describe().startswith(
        f"{lines} held-out lines, base with retrieval -> trained with retrieval: exact match 40.0%"
    )
