"""The source files below a folder: what git would take, or what ``.gitignore`` leaves where there is no git.

It opens none of them, follows no symbolic link, and does not judge what is generated or copied from elsewhere. A
pattern of ``.gitignore`` becomes a regular expression whose stars never go back: what follows a star is taken where it
first fits, which is right because the next star can take the rest. The usual translation takes exponential time on
``*a*a*a*b``. Bytes are compared, as git does it: each stands as one character here.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from tonggan.codelm.git import run_git
from tonggan.codelm.source_file import read_bytes, why_skipped
from tonggan.errors import DataError

_MAX_BYTES = 100_000  # of one file
_MAX_PATTERNS = 2000
_MAX_PATTERN = 500  # characters
_MAX_SECONDS = 10.0  # that the patterns of one file may take in one walk
_CLASSES = {
    "alnum": "a-zA-Z0-9", "alpha": "a-zA-Z", "blank": " \\t", "cntrl": r"\x00-\x1f\x7f", "digit": "0-9", "graph": "!-~",
    "lower": "a-z",
    "print": " -~", "punct": "!-/:-@\\[-`{-~", "space": r" \t-\r", "upper": "A-Z", "xdigit": "0-9a-fA-F",
}  # fmt: skip
NEVER_SOURCE = frozenset(
    {".git", ".hg", ".svn", ".tox", ".nox", ".venv", "__pycache__", "bower_components", "node_modules", "site-packages"}
)
"""Folders that are not entered, tracked or not: what tools install or keep there."""

NOT_SOURCE_UNTRACKED = frozenset({"build", "dist", "env", "htmlcov", "target", "venv"})
"""Folders that are not entered where git does not track what is in them."""
_MOST_INSIDE = 50  # repositories, one inside the other
_PATIENCE = 3  # answers of git that did not come; then it is not asked any more


class IgnoreFile:
    """What a ``.gitignore`` says of paths below its folder.

    Attributes:
        problems: what of it is left out, for a person; empty where nothing is.
    """

    def __init__(self, path: Path) -> None:
        self.problems: list[str] = []
        self._rules: list[tuple[re.Pattern[str], bool]] = []  # the last one that matches decides
        self._seconds = 0.0
        content = read_bytes(path, _MAX_BYTES)
        if not isinstance(content, bytes):
            self.problems.append(why_skipped(*content))
            return
        patterns: list[tuple[bool, str]] = []
        for number, line in enumerate(content.decode("latin-1").split("\n"), start=1):
            if len(line) > _MAX_PATTERN:
                self.problems.append(f"the pattern in line {number} is longer than {_MAX_PATTERN} characters")
            elif len(patterns) == _MAX_PATTERNS:
                self.problems.append(f"its patterns after the first {_MAX_PATTERNS:,}")
                break
            elif (pattern := _translate(line.removesuffix("\r"))) is not None:
                patterns.append(pattern)
        for is_ignored, group in groupby(patterns, key=lambda pattern: pattern[0]):
            self._rules.append((re.compile("|".join(f"(?:{each})" for _, each in group), re.DOTALL), is_ignored))

    def verdict(self, name: str, *, is_folder: bool) -> bool | None:
        """Whether the file ignores a path relative to its folder; None where it says nothing of it."""
        if self._seconds > _MAX_SECONDS:
            return None
        start = time.perf_counter()
        path = os.fsencode(name).decode("latin-1") + ("//" if is_folder else "/")
        found = next((is_ignored for rule, is_ignored in reversed(self._rules) if rule.match(path)), None)
        self._seconds += time.perf_counter() - start
        if self._seconds > _MAX_SECONDS:
            self.problems.append(f"its patterns took more than {_MAX_SECONDS:g} s")
        return found


# It separates names as any other slash, unless it begins or ends a pattern; behind ** there is a folder before it.
_ESCAPED_SLASH = re.compile(r"(?<=[^\\/])\\/(?=.)")
_AFTER_STARS = re.compile(r"(^|/)(\*\*+)\\/(?=.)")
_Ignored = tuple[tuple[Path, IgnoreFile], ...]  # with the folders that they count from


def _translate(line: str) -> tuple[bool, str] | None:
    """Whether a line ignores (or includes again), and an expression for paths that end with ``/``, folders ``//``.

    None for a line without a pattern, or with one that fits nothing.
    """
    while line.endswith(" ") and not line.endswith("\\ "):
        line = line[:-1]
    if not line or line.startswith("#"):
        return None
    is_ignored = not line.startswith("!")
    line = line if is_ignored else line[1:]
    if not line.strip("/"):
        return None
    line = _ESCAPED_SLASH.sub("/", _AFTER_STARS.sub(r"\1\2/*/", line))
    end = "/" if line.endswith("/") else "/?"
    segments = line.removesuffix("/").split("/")
    if len(segments) == 1:
        segments = ["**", segments[0] if segments[0].strip("*") else "*"]
    elif not segments[0]:
        del segments[0]
    groups = _groups(segments)
    if groups is None:
        return None
    parts = [groups[0]]
    parts += [f"(?>(?:[^/]+/)*?{group})" for group in groups[1:-1]]
    if len(groups) > 1:
        parts.append(f"(?:[^/]+/)*?{groups[-1]}" if groups[-1] else "(?:[^/]+/)+")
    return is_ignored, f"{''.join(parts)}{end}\\Z"


def _groups(segments: list[str]) -> list[str] | None:
    """The expressions of the segments between one ``**`` and the next; None where one fits nothing."""
    groups = [""]
    for number, segment in enumerate(segments):
        if len(segment) > 1 and not segment.strip("*"):
            if groups[-1] or number == 0:  # several in a row are one
                groups.append("")
            continue
        expression = _segment(segment)
        if expression is None:
            return None
        groups[-1] += expression
    return groups


def _segment(segment: str) -> str | None:
    """An expression for one name and the ``/`` after it; None where it fits nothing."""
    chunks = [""]
    place = 0
    while place < len(segment):
        character = segment[place]
        if character == "*":
            if chunks[-1] or len(chunks) == 1:
                chunks.append("")
            place += 1
            continue
        if character == "[":
            found = _class(segment, place)
            if found is None:
                return None
            chunks[-1] += found[0]
            place = found[1]
            continue
        if character == "\\":
            place += 1
            if place == len(segment):
                return None
        chunks[-1] += "[^/]" if character == "?" else re.escape(segment[place])
        place += 1
    if len(chunks) == 1:
        return f"{chunks[0]}/" if chunks[0] else None
    middle = "".join(f"(?>[^/]*?{chunk})" for chunk in chunks[1:-1])
    return f"(?!/){chunks[0]}{middle}(?>[^/]*{chunks[-1]}/)"


def _class(segment: str, start: int) -> tuple[str, int] | None:
    """The expression of ``[…]`` and where it ends; None where it has no end."""
    place = start + 1
    is_negated = segment[place : place + 1] in ("!", "^")
    place += is_negated
    first, items = place, ""
    while place < len(segment) and (segment[place] != "]" or place == first):
        named = re.compile(r"\[:(\w+):\]").match(segment, place)
        if named:
            items += _CLASSES.get(named[1], "")
            place = named.end()
            continue
        low, place = _character(segment, place)
        high = low
        if segment[place : place + 1] == "-" and segment[place + 1 : place + 2] not in ("", "]"):
            high, place = _character(segment, place + 1)
        if low <= high:
            items += f"{re.escape(low)}-{re.escape(high)}"
    if place >= len(segment):
        return None
    if is_negated:
        return f"[^/{items}]", place + 1
    return f"(?!/)[{items}]" if items else "(?!)", place + 1


def _character(segment: str, place: int) -> tuple[str, int]:
    if segment[place] == "\\" and place + 1 < len(segment):
        place += 1
    return segment[place], place + 1


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
