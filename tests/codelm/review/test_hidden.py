import subprocess

import pytest

from review_scene import written
from tonggan.codelm.review import review
from tonggan.codelm.review.hidden import changed_lines
from tonggan.errors import ConfigError

DRIFT = 'def {name}(a, b=3):\n    """F.\n\n    Args:\n        a: one.\n        b: two. Default: {told}.\n    """\n\n\n'


def git(folder, *arguments):
    settings = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", *settings, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path):
    text = DRIFT.format(name="f", told=4) + DRIFT.format(name="g", told=3)
    written(tmp_path, {"a.py": text, "b c.py": "x = 1\n"})
    git(tmp_path, "init", "-b", "main")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    return tmp_path


def test_lines_that_are_new_or_around_what_is_gone(repository):
    assert changed_lines(repository, "main") == {}
    lines = (repository / "a.py").read_text().split("\n")
    written(repository, {"a.py": "\n".join([lines[0], "    # new", *lines[1:3], *lines[4:]]), "new.py": "x = 1\ny = 2"})
    assert changed_lines(repository, "HEAD") == {"a.py": {2, 4, 5}, "new.py": {1, 2}}


def test_only_what_has_to_do_with_the_change_is_told(repository):
    assert [each.message for each in review([repository]).findings] == ["'b' is said to default to 4, but f has 3"]
    assert review([repository], diff="main").findings == ()
    text = (repository / "a.py").read_text().replace("def g(a, b=3)", "def g(a, b=5)")
    written(repository, {"a.py": text})
    found = review([repository], diff="main")
    assert [each.message for each in found.findings] == ["'b' is said to default to 3, but g has 5"]
    assert found.hidden == {"on lines that did not change": 1}


def test_what_the_other_branch_did_meanwhile_does_not_count(repository):
    git(repository, "checkout", "-b", "mine")
    git(repository, "checkout", "main")
    written(repository, {"b c.py": "x = 1\ny = 2\n"})
    git(repository, "commit", "-am", "second")
    git(repository, "checkout", "mine")
    assert changed_lines(repository, "main") == {}


def test_no_filter_of_a_repository_runs(repository):
    ran = repository / "ran"
    git(repository, "config", "filter.evil.clean", f"touch {ran}")
    git(repository, "config", "core.fsmonitor", f"touch {ran}")
    written(repository, {".gitattributes": "*.py filter=evil\n", "a.py": "x = 1\n"})
    assert changed_lines(repository, "main")["a.py"]
    assert not ran.exists()


@pytest.mark.parametrize("base", ["nowhere", "--output=x", ""])
def test_a_commit_that_is_none_is_told(base, repository):
    with pytest.raises(ConfigError, match="commit"):
        changed_lines(repository, base)
