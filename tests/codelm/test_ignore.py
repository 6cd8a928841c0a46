"""Patterns of ``.gitignore``: compared with git's own answers, and none of them takes long."""

from __future__ import annotations

import os
import subprocess
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tonggan.codelm.ignore import IgnoreFile

NAMES = ["a", "b", "ab", "a.py", "b.log", ".x", "a b", "a[b", "é", "a-b", "ab "]
PIECES = "a b ab * ** ? / / [ab] [!a] [^b] [a-c] [z-a] [[:alpha:]] []a] \\* \\ . ! # *.py **/ /** /**/ é"


def _is_plain(line: str) -> bool:
    """Names that are empty are nothing that anybody writes, and git treats them in a way of its own."""
    return "//" not in line


def said(tmp_path, pattern, name, *, is_folder):
    (tmp_path / ".gitignore").write_text(pattern)
    return IgnoreFile(tmp_path / ".gitignore").verdict(name, is_folder=is_folder)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("tree")
    subprocess.run(["git", "init", "-q", root], check=True)
    for first in ("a", "b", "ab"):
        for second in NAMES:
            (root / first / second).mkdir(parents=True)
            (root / first / second / "a.py").write_text("")
    return root


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(
        st.lists(st.sampled_from([*PIECES.split(), " ", "\\ "]), min_size=1, max_size=6).map("".join).filter(_is_plain),
        min_size=1,
        max_size=4,
    )
)
def test_every_pattern_means_what_it_means_to_git(tree, lines):
    (tree / ".gitignore").write_text("\n".join(lines) + "\n", encoding="utf-8")
    paths = sorted(path.relative_to(tree).as_posix() for path in tree.glob("[!.]*/*"))
    asked = "\0".join(paths).encode()
    options = ["check-ignore", "--no-index", "--verbose", "--non-matching", "-z", "--stdin"]
    answer = subprocess.run(["git", "-C", tree, *options], input=asked, capture_output=True, check=False).stdout
    fields = answer.decode().split("\0")
    git = {fields[place + 3]: fields[place + 2] for place in range(0, len(fields) - 1, 4)}
    file = IgnoreFile(tree / ".gitignore")
    for path in paths:
        if not file.verdict(path.split("/")[0], is_folder=True):  # else git does not ask about what is inside
            expected = not git[path].startswith("!") if git[path] else None
            assert file.verdict(path, is_folder=True) == expected, path


@pytest.mark.parametrize(
    "pattern",
    [
        "*a" * 40 + "b",
        "**/" * 60 + "x",
        "[a-z]*" * 50 + "q",
        "a**" * 60 + "b",
        "**/a/" * 60 + "b",
        "?*" * 90,
        "*" * 400,
    ],
)
def test_no_pattern_takes_long(tmp_path, pattern):
    start = time.process_time()
    said(tmp_path, pattern, "a" * 255, is_folder=False)
    said(tmp_path, pattern, "a/" * 2000 + "a", is_folder=True)
    assert time.process_time() - start < 10


def test_what_is_past_a_limit_is_named(tmp_path):
    path = tmp_path / ".gitignore"
    path.write_text("\n".join([f"{number}.log" for number in range(3000)]))
    file = IgnoreFile(path)
    assert file.verdict("7.log", is_folder=False)
    assert file.verdict("2999.log", is_folder=False) is None
    assert file.problems == ["its patterns after the first 2,000"]
    path.write_text("a" * 501 + "\n*.log\n")
    file = IgnoreFile(path)
    assert file.verdict("a.log", is_folder=False)
    assert file.problems == ["the pattern in line 1 is longer than 500 characters"]
    path.write_text("*\n" * 100_000)
    assert IgnoreFile(path).problems == ["too large 200,000 bytes"]
    path.unlink()
    os.mkfifo(path)
    assert IgnoreFile(path).problems == ["not a regular file"]
