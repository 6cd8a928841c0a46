import subprocess

import pytest

from tonggan.codelm.review.learned.fixes import fixes_between, fixes_of
from tonggan.codelm.review.learned.functions import Function

BEFORE = "class Window:\n    def clamp(self, value, low, high):\n        return low if value > low else value\n"
AFTER = BEFORE.replace("value > low", "value < low")


@pytest.fixture
def window(tmp_path):
    def git(*arguments):
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init", "-q")
    for number, text in enumerate([BEFORE, AFTER, AFTER + "\n\ndef other(a):\n    return a\n", AFTER]):
        (tmp_path / "window.py").write_text(text)
        (tmp_path / "notes.txt").write_text(str(number))
        git("add", "-A")
        git("commit", "-q", "-m", f"step {number}")
    return tmp_path


def test_a_change_that_is_one_rewrite_is_found_in_the_history(window):
    (fix,) = fixes_of(window)
    assert (fix.before.name, fix.before.path, fix.kind) == ("Window.clamp", "window.py", "comparison")
    assert fix.before.text.replace(">", "<") == fix.after
    assert len(fix.commit) == 40


def test_a_folder_without_history_has_none(tmp_path):
    assert list(fixes_of(tmp_path)) == []


@pytest.mark.parametrize(
    ("old", "new", "kinds"),
    [
        ("return a < b", "return a <= b", ["comparison"]),
        ("return g(a, b)", "return g(b, a)", ["arguments"]),
        ("return a < b", "return a <= b + 1", []),  # two changes
        ("return a  <  b", "return a < b", []),  # the same code
        ("return a", "return a", []),
    ],
)
def test_what_counts_as_a_fix(old, new, kinds):
    before, after = (Function(f"def f(a, b):\n    {line}\n", "f", "a.py", 1, "") for line in (old, new))
    found = list(fixes_between([before], [after]))
    assert [fix.kind for fix in found] == kinds
    assert list(fixes_between([before], [after._replace(name="g")])) == []
