"""The files that a walk finds: in work trees of git made by git itself, and without git."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tonggan.codelm.git import run_git
from tonggan.codelm.walk import IgnoreFile, walk
from tonggan.errors import DataError

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
@example(lines=["a\\/**"])
@example(lines=["**\\/a.py", "a*\\/.x", "\\/b", "ab\\/"])
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
    assert IgnoreFile(path).problems == ["too large: 200,000 bytes"]
    path.unlink()
    os.mkfifo(path)
    assert IgnoreFile(path).problems == ["not a regular file"]


def git(folder: Path, *arguments: str) -> None:
    environment = {**os.environ, "GIT_AUTHOR_DATE": "@1700000000 +0000", "GIT_COMMITTER_DATE": "@1700000000 +0000"}
    command = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "protocol.file.allow=always"]
    subprocess.run([*command, "-C", folder, *arguments], check=True, capture_output=True, env=environment)


def write(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {name}\n")


def repository(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "-q")
    write(folder, *names)
    git(folder, "add", "--all", "--force")
    git(folder, "commit", "-q", "-m", "first")
    return folder


def names_in(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in walk(root)]


def test_git_decides_what_is_source(tmp_path):
    root = repository(tmp_path / "shop", "a.py", "build/kept.py", ".github/check.yml", "node_modules/x.js")
    (root / ".gitignore").write_text("*.log\n/secret/\n")
    write(root, "new.py", "out.log", "secret/s.py", "dist/d.py", ".idea/i.xml", "deep/er/z.py")
    assert names_in(root) == [".github/check.yml", "a.py", "build/kept.py", "deep/er/z.py", "new.py"]


def test_a_renamed_and_a_deleted_file_are_where_they_are_now(tmp_path):
    root = repository(tmp_path / "shop", "old.py", "gone.py", "stays.py")
    git(root, "mv", "old.py", "moved.py")
    (root / "gone.py").unlink()
    (root / "stays.py").rename(root / "went.py")
    assert names_in(root) == ["moved.py", "went.py"]


def test_submodules_and_repositories_inside_are_entered(tmp_path):
    library = repository(tmp_path / "library", "lib.py")
    root = repository(tmp_path / "shop", "a.py")
    git(root, "submodule", "add", "-q", str(library), "third/library")
    write(root / "third" / "library", "unsaved.py")
    repository(root / "tools", "tool.py")
    assert names_in(root) == [
        ".gitmodules",
        "a.py",
        "third/library/lib.py",
        "third/library/unsaved.py",
        "tools/tool.py",
    ]


def test_a_submodule_that_is_not_fetched_is_empty(tmp_path):
    library = repository(tmp_path / "library", "lib.py")
    root = repository(tmp_path / "shop", "a.py")
    git(root, "submodule", "add", "-q", str(library), "library")
    git(root, "commit", "-q", "-m", "second")
    git(root, "submodule", "deinit", "-q", "--force", "library")
    assert names_in(root) == [".gitmodules", "a.py"]


def test_a_folder_of_repositories(tmp_path):
    repository(tmp_path / "one", "a.py", ".hidden/b.py")
    write(tmp_path, "loose.py", ".hidden.py")
    assert names_in(tmp_path) == ["loose.py", "one/.hidden/b.py", "one/a.py"]


def test_part_of_a_work_tree(tmp_path):
    root = repository(tmp_path / "shop", "a.py", "src/b.py", "src/c/d.py")
    assert names_in(root / "src") == ["b.py", "c/d.py"]


def test_an_ignored_folder_that_is_asked_for_is_walked(tmp_path):
    root = repository(tmp_path / "shop", "a.py")
    (root / ".gitignore").write_text(".venv\n")
    packages = root / ".venv" / "lib" / "site-packages"
    write(packages, "six.py")
    assert names_in(packages) == ["six.py"]
    assert "six.py" not in " ".join(names_in(root))


def test_without_git_the_ignore_files_count(tmp_path):
    (tmp_path / ".gitignore").write_text("*.log\nlocal/\n!keep.log\n")
    write(tmp_path, "a.py", "b.log", "keep.log", "local/x.py", "in/c.log", "in/d.py", "in/e.py", "build/x.py")
    write(tmp_path, "venv/x.py", "site-packages/x.py", ".cache/x.py", "__pycache__/x.py")
    (tmp_path / "in" / ".gitignore").write_text("!c.log\n/e.py\n")
    assert names_in(tmp_path) == ["a.py", "in/c.log", "in/d.py", "keep.log"]


def test_names_in_every_script(tmp_path):
    names = ["b c/naïve 文件.py", "b c/🦄.py", 'quote".py', "项目/数据.py"]
    root = repository(tmp_path / "有 空格 🙂", *names)
    assert names_in(root) == sorted(names)
    (tmp_path / "plain").mkdir()
    write(tmp_path / "plain", *names)
    assert sorted(names_in(tmp_path / "plain")) == sorted(names)


def test_a_name_that_is_no_utf_8(tmp_path):
    path = os.fsencode(tmp_path) + b"/caf\xe9.py"
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(b"x = 1\n")
    assert [os.fsencode(path) for path in walk(tmp_path)] == [path]


def test_symbolic_links_are_not_followed(tmp_path):
    outside = tmp_path / "outside"
    write(outside, "private.py")
    for root in (tmp_path / "plain", repository(tmp_path / "shop", "a.py")):
        write(root, "a.py", "in/b.py")
        (root / "loop").symlink_to(root)
        (root / "in" / "self.py").symlink_to("self.py")
        (root / "copy.py").symlink_to("a.py")
        (root / "out").symlink_to(outside)
        assert names_in(root) == ["a.py", "in/b.py"]


def test_files_that_vanish_while_walking_are_passed_over(tmp_path):
    for root in (tmp_path / "plain", repository(tmp_path / "shop", "a.py")):
        write(root, "a.py", "b.py", "c/d.py", "e.py")
        found = walk(root)
        assert next(found).name == "a.py"
        (root / "b.py").unlink()
        (root / "c" / "d.py").unlink()
        (root / "c").rmdir()
        assert "e.py" in [path.name for path in found]


def test_a_file_is_itself_and_nothing_is_an_error(tmp_path):
    write(tmp_path, "a.py")
    assert list(walk(tmp_path / "a.py")) == [tmp_path / "a.py"]
    with pytest.raises(DataError, match="no such folder"):
        list(walk(tmp_path / "none"))


def test_the_configuration_of_a_repository_starts_no_program(tmp_path):
    root = repository(tmp_path / "shop", "a.py")
    trap = tmp_path / "trap.sh"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path / 'sprung'}\n")
    trap.chmod(0o755)
    git(root, "config", "core.fsmonitor", str(trap))
    assert names_in(root) == ["a.py"]
    assert not (tmp_path / "sprung").exists()


def test_git_elsewhere_in_the_environment_does_not_matter(tmp_path, monkeypatch):
    root = repository(tmp_path / "shop", "a.py")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert names_in(root) == ["a.py"]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run_git(root, "ls-files") is None
    assert names_in(root) == ["a.py"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read all folders")
def test_folders_that_may_not_be_read_are_passed_over(tmp_path):
    write(tmp_path, "a.py", "closed/b.py", "d.py")
    (tmp_path / "closed").chmod(0)
    try:
        assert [path.name for path in walk(tmp_path)] == ["a.py", "d.py"]
        git(tmp_path, "init", "-q")
        assert [path.name for path in walk(tmp_path)] == ["a.py", "d.py"]
    finally:
        (tmp_path / "closed").chmod(0o700)
