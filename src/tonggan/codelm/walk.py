"""The source files below a folder: what git would take, or what ``.gitignore`` leaves where there is no git.

It opens none of them, follows no symbolic link, and does not judge what is generated or copied from elsewhere.
"""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tonggan.errors import DataError, MissingExtraError

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

NEVER_SOURCE = frozenset(
    {".git", ".hg", ".svn", ".tox", ".nox", ".venv", "__pycache__", "bower_components", "node_modules", "site-packages"}
)
"""Folders that are not entered, tracked or not: what tools install or keep there."""

NOT_SOURCE_UNTRACKED = frozenset({"build", "dist", "env", "htmlcov", "target", "venv"})
"""Folders that are not entered where git does not track what is in them."""

_GIT = ("git", "-c", "core.fsmonitor=false")  # A repository's own configuration must not start programs.


def walk(root: Path) -> Iterator[Path]:
    """Absolute paths of the files below ``root``, in the order of their names; ``root`` itself where it is a file.

    In a work tree of git these are the tracked files and the others that are not ignored, in submodules and in
    repositories inside too. Elsewhere ``.gitignore`` files count as they would for git. Hidden files and folders that
    git does not track are left out, and so are symbolic links: what they lead to is in the tree, or does not belong to
    it. Files that vanish meanwhile, and folders that may not be read, are passed over.

    Raises:
        DataError: there is nothing at ``root``.
        MissingExtraError: a ``.gitignore`` must be read without git, and package pathspec is not installed.
    """
    root = root.absolute()
    if root.is_file():
        yield root
    elif root.is_dir():
        yield from _walk_folder(root, root, ())
    else:
        raise DataError(f"folder {root}", got="no such folder", expected="a folder or file", remedy="Check the path")


def _walk_folder(folder: Path, top: Path, ignored: tuple[tuple[Path, GitIgnoreSpec], ...]) -> Iterator[Path]:
    """The files below ``folder``, given the ``.gitignore`` files from ``top`` down to it."""
    if folder == top or _has_git(folder):
        listed = _git_files(folder)
        if listed is not None:
            yield from _walk_listed(folder, listed)
            return
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    with suppress(OSError):  # as git, which reads on without it
        if (folder / ".gitignore").is_file():
            ignored = (*ignored, (folder, _read_ignored(folder / ".gitignore")))
    for entry in entries:
        path = folder / entry.name
        is_folder = entry.is_dir(follow_symlinks=False)
        if entry.name.startswith(".") or _is_ignored(path, ignored, is_folder=is_folder):
            continue
        if is_folder:
            if entry.name not in NEVER_SOURCE | NOT_SOURCE_UNTRACKED:
                yield from _walk_folder(path, top, ignored)
        elif entry.is_file(follow_symlinks=False):
            yield path


def _walk_listed(folder: Path, listed: list[tuple[str, bool]]) -> Iterator[Path]:
    for name, tracked in listed:
        parts = name.rstrip("/").split("/")
        if not NEVER_SOURCE.isdisjoint(parts):
            continue
        if not tracked and (
            any(part.startswith(".") for part in parts) or not NOT_SOURCE_UNTRACKED.isdisjoint(parts[:-1])
        ):
            continue
        path = folder / name
        try:
            mode = path.lstat().st_mode
        except OSError:  # It vanished, or is in a folder that may not be read.
            continue
        if stat.S_ISREG(mode):
            yield path
        elif stat.S_ISDIR(mode) and _has_git(path):  # a submodule, or a repository of its own
            yield from _walk_folder(path, path, ())


def _has_git(folder: Path) -> bool:
    try:
        return (folder / ".git").exists()
    except OSError:
        return False


def _git_files(folder: Path) -> list[tuple[str, bool]] | None:
    """Names below ``folder`` with whether git tracks them, in order; None where it is in no work tree of git.

    A folder that git ignores belongs to no work tree here: whoever names it wants what is in it. Submodules and
    repositories inside are single names.
    """
    names: dict[str, bool] = {}
    for tracked, options in ((True, ("--cached",)), (False, ("--others", "--exclude-standard"))):
        listed = run_git(folder, "ls-files", "-z", *options)
        if listed is None:
            return None
        for name in listed.split(b"\0")[:-1]:
            names.setdefault(os.fsdecode(name), tracked)
    if not names and run_git(folder.parent, "check-ignore", "--quiet", "--", folder.name) is not None:
        return None
    return sorted(names.items())


def run_git(folder: Path, *arguments: str) -> bytes | None:
    """What git prints in ``folder``; None where it fails or is not installed. It changes nothing and asks nothing."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment["GIT_OPTIONAL_LOCKS"] = "0"
    try:
        done = subprocess.run(
            [*_GIT, "-C", str(folder), *arguments], capture_output=True, env=environment, stdin=subprocess.DEVNULL
        )
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


def _read_ignored(path: Path) -> GitIgnoreSpec:
    try:
        from pathspec import GitIgnoreSpec
    except ImportError as error:
        raise MissingExtraError.of("pathspec", extra="code", purpose=f"reading {path}") from error
    return GitIgnoreSpec.from_lines(path.read_text(encoding="utf-8", errors="replace").splitlines())


def _is_ignored(path: Path, ignored: tuple[tuple[Path, GitIgnoreSpec], ...], *, is_folder: bool) -> bool:
    """Whether the deepest ``.gitignore`` that speaks of ``path`` ignores it."""
    for base, spec in reversed(ignored):
        verdict = spec.check_file(path.relative_to(base).as_posix() + "/" * is_folder).include
        if verdict is not None:
            return verdict
    return False
