"""The source files below a folder: what git would take, or what ``.gitignore`` leaves where there is no git.

It opens none of them, follows no symbolic link, and does not judge what is generated or copied from elsewhere.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from tonggan.codelm.git import run_git
from tonggan.codelm.ignore import IgnoreFile
from tonggan.errors import DataError

NEVER_SOURCE = frozenset(
    {".git", ".hg", ".svn", ".tox", ".nox", ".venv", "__pycache__", "bower_components", "node_modules", "site-packages"}
)
"""Folders that are not entered, tracked or not: what tools install or keep there."""

NOT_SOURCE_UNTRACKED = frozenset({"build", "dist", "env", "htmlcov", "target", "venv"})
"""Folders that are not entered where git does not track what is in them."""

_Ignored = tuple[tuple[Path, IgnoreFile], ...]  # with the folders that they count from
_MOST_INSIDE = 50  # repositories, one inside the other
_PATIENCE = 3  # answers of git that did not come; then it is not asked any more


def walk(root: Path, *, left_out: dict[Path, str] | None = None) -> Iterator[Path]:
    """Absolute paths of the files below ``root``, in the order of their names; ``root`` itself where it is a file.

    In a work tree of git these are the tracked files and the others that are not ignored, in submodules and in
    repositories inside too. Elsewhere, and where git does not answer in time, ``.gitignore`` files count as they would
    for git. Hidden files and folders that git does not track are left out, and so are symbolic links and what lies
    behind them: it is in the tree, or does not belong to it. Files that vanish meanwhile, and folders that may not be
    read, are passed over.

    Args:
        root: a folder or file.
        left_out: gets what went past a limit, with the reason: ``.gitignore`` files, calls of git.

    Raises:
        DataError: there is nothing at ``root``.
    """
    root = root.absolute()
    if root.is_file():
        yield root
    elif root.is_dir():
        yield from _Walk({} if left_out is None else left_out).repository(root, 0)
    else:
        raise DataError(f"folder {root}", got="no such folder", expected="a folder or file", remedy="Check the path")


class _Walk:
    """One walk, and what it leaves out."""

    def __init__(self, left_out: dict[Path, str]) -> None:
        self._left_out = left_out
        self._unanswered = 0

    def repository(self, folder: Path, depth: int) -> Iterator[Path]:
        """The files of a work tree of git, or of a folder that is none."""
        if depth > _MOST_INSIDE:
            self._left_out[folder] = f"more than {_MOST_INSIDE} repositories, one inside the other"
            return
        try:
            tracked = self._ask(folder, "--cached")
            if tracked is None:
                yield from self._folder(folder, depth)
                return
            others = self._ask(folder, "--others", "--exclude-standard")
            names = dict.fromkeys(others or (), False) | dict.fromkeys(tracked, True)
            is_ignored = not names and run_git(folder.parent, "check-ignore", "--quiet", "--", folder.name) is not None
        except DataError as error:
            self._unanswered += 1
            self._left_out[folder] = f"{error.who}: {error.got}, so its .gitignore files are read without git"
            yield from self._folder(folder, depth)
            return
        if is_ignored:  # whoever names a folder that git ignores wants what is in it
            yield from self._folder(folder, depth)
        else:
            yield from self._listed(folder, sorted(names.items()), depth)

    def _ask(self, folder: Path, *options: str) -> list[str] | None:
        """Names below ``folder``; submodules and repositories inside are single names. None in no work tree."""
        listed = run_git(folder, "ls-files", "-z", *options) if self._unanswered < _PATIENCE else None
        return None if listed is None else [os.fsdecode(name) for name in listed.split(b"\0")[:-1]]

    def _listed(self, folder: Path, listed: list[tuple[str, bool]], depth: int) -> Iterator[Path]:
        """The files among the names that git lists, each with whether it is tracked."""
        inside = {"": True}
        for name, tracked in listed:
            parts = name.rstrip("/").split("/")
            if not NEVER_SOURCE.isdisjoint(parts) or ".." in parts or name.startswith("/"):
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
            if not _is_inside(folder, "/".join(parts[:-1]), inside):
                continue
            if stat.S_ISREG(mode):
                yield path
            elif stat.S_ISDIR(mode) and _has_git(path):  # a submodule, or a repository of its own
                yield from self.repository(path, depth + 1)

    def _folder(self, top: Path, depth: int) -> Iterator[Path]:
        """The files below ``top`` that no ``.gitignore`` from there down excludes."""
        stack = [(iter(_entries(top)), self._ignored(top, ()))]
        while stack:
            entries, ignored = stack[-1]
            entry = next(entries, None)
            if entry is None:
                for base, file in ignored[-1:]:
                    self._report(base, file)
                stack.pop()
                continue
            path = Path(entry.path)
            is_folder = entry.is_dir(follow_symlinks=False)
            if entry.name.startswith(".") or _is_ignored(path, ignored, is_folder=is_folder):
                continue
            if not is_folder:
                if entry.is_file(follow_symlinks=False):
                    yield path
            elif entry.name not in NEVER_SOURCE | NOT_SOURCE_UNTRACKED:
                if _has_git(path):
                    yield from self.repository(path, depth + 1)
                else:
                    stack.append((iter(_entries(path)), self._ignored(path, ignored)))

    def _ignored(self, folder: Path, ignored: _Ignored) -> _Ignored:
        """The ``.gitignore`` files that count in ``folder``."""
        path = folder / ".gitignore"
        if not os.path.lexists(path):
            return ignored
        file = IgnoreFile(path)
        self._report(folder, file)
        return (*ignored, (folder, file))

    def _report(self, folder: Path, file: IgnoreFile) -> None:
        if file.problems:
            self._left_out[folder / ".gitignore"] = "; ".join(file.problems)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []


def _has_git(folder: Path) -> bool:
    try:
        return (folder / ".git").exists()
    except OSError:
        return False


def _is_inside(top: Path, folder: str, known: dict[str, bool]) -> bool:
    """Whether no symbolic link leads to ``folder`` from ``top``; a list of git's may say otherwise."""
    unknown = []
    while folder not in known:
        unknown.append(folder)
        folder = folder.rpartition("/")[0]
    inside = known[folder]
    for each in reversed(unknown):
        inside = inside and not (top / each).is_symlink()
        known[each] = inside
    return inside


def _is_ignored(path: Path, ignored: _Ignored, *, is_folder: bool) -> bool:
    """Whether the deepest ``.gitignore`` that speaks of ``path`` ignores it."""
    for base, file in reversed(ignored):
        verdict = file.verdict(path.relative_to(base).as_posix(), is_folder=is_folder)
        if verdict is not None:
            return verdict
    return False
