import subprocess

import pytest

from command_line import assert_named, tonggan
from tonggan.codelm.review.measuring import known_bugs, measure

OLD = '''def old(a, b=3):
    """F.

    Args:
        a: one.
        b: two. Default: 4.
    """
'''
NEW = OLD.replace("old", "new")
CLEAN = "def clean(a):\n    return a\n"


@pytest.fixture
def repository(tmp_path):
    def git(*arguments):
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True)

    def commit(text, message):
        (tmp_path / "a.py").write_text(text)
        git("add", "-A")
        git("commit", "-q", "-m", message)

    git("init", "-q")
    commit(OLD + CLEAN, "begin")
    commit(OLD + CLEAN + NEW, "more")
    commit(OLD + CLEAN + NEW.replace("Default: 4", "Default: 3"), "Fix the default of new")
    commit(OLD + "\n\n" + CLEAN + NEW.replace("Default: 4", "Default: 3").replace("one", "1"), "words")
    return tmp_path


def test_fixes_are_changes_of_one_line_that_say_so(repository):
    (bug,) = known_bugs(repository)
    assert (bug.change.subject, bug.change.path) == ("Fix the default of new", "a.py")
    lines = [
        text.split("\n")[line - 1] for text, line in ((bug.change.before, bug.before), (bug.change.after, bug.after))
    ]
    assert lines == ["        b: two. Default: 4.", "        b: two. Default: 3."]


def test_rules_are_measured_on_fixes_and_on_old_code(repository):
    found = measure([repository], budget=1)
    assert (found.num_fixes, found.num_functions, found.num_lines) == (1, 2, 9)
    default, every = found.rules
    assert (default.rule, default.found, default.recall, default.alarms) == ("docstring-default", 1, 1.0, 1)
    assert default.alarms_per_1000_lines == pytest.approx(1000 / 9)
    assert (default.threshold, default.found_above) == (0.0, 1)
    assert (every.rule, every.found, every.alarms) == ("all", 1, 1)


def test_the_budget_sets_the_confidence(repository):
    (repository / "b.py").write_text(OLD.replace("old", "other"))
    none = measure([repository], only=["docstring-default"], budget=0).rules[0]
    assert none.threshold == 0.93
    assert none.found_above == 0


def test_command(repository, tmp_path_factory):
    told = tonggan("code", "review", repository, "--measure")
    assert told.code == 0
    assert "1 fixes of one line; 2 functions, 9 lines" in told.out
    assert "too few" in told.out
    assert ["docstring-default", "1", "(100%)", "1", "111.11", "any", "1"] in [
        line.split() for line in told.out.splitlines()
    ]
    assert tonggan("code", "review", repository, "--measure", "--json").json["rules"][0]["found"] == 1
    assert_named(tonggan("code", "review", tmp_path_factory.mktemp("plain"), "--measure"), "no commits of git")
