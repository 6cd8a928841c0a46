"""The tree of a project: its root, a copy for what is run, and files that are written whole or not at all."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tonggan.codelm.git import run_git
from tonggan.codelm.source_file import read_bytes, why_skipped
from tonggan.codelm.walk import NEVER_SOURCE, walk
from tonggan.errors import DataError
from tonggan.files import whole_file

_MARKS = ("pyproject.toml", "setup.py", "setup.cfg", "pytest.ini", "tox.ini")
_MOST_FILE, _MOST_ALL, _MOST_FILES = 20_000_000, 400_000_000, 20_000


def root_of(path: Path) -> Path:
    """The top of the work tree of git that ``path`` is in, else the next folder up with a project's files."""
    folder = path if path.is_dir() else path.parent
    try:
        top = run_git(folder, "rev-parse", "--show-toplevel")
    except DataError:
        top = None
    if top is not None and (root := Path(top.decode("utf-8", "surrogateescape").rstrip("\n"))).is_dir():
        return root.resolve()
    for each in (folder, *folder.parents):
        if any((each / mark).is_file() for mark in _MARKS):
            return each
    return folder


@contextmanager
def copied_tree(root: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """A copy of what is tracked or not ignored below ``root``, and what is left out with the reason.

    Hidden files that git does not track, such as ``.env``, are not copied; compiled extensions are, ignored or not.

    Raises:
        DataError: there is more than can be copied.
    """
    with tempfile.TemporaryDirectory(prefix="tonggan-tree-") as folder:
        left_out: dict[Path, str] = {}
        names: dict[str, str] = {}
        copy, total, number = Path(folder) / "tree", 0, 0
        copy.mkdir()
        for path in _files(root, left_out):
            content = read_bytes(path, _MOST_FILE)
            name = path.relative_to(root)
            if not isinstance(content, bytes):
                names[name.as_posix()] = why_skipped(*content)
                continue
            total, number = total + len(content), number + 1
            if total > _MOST_ALL or number > _MOST_FILES:
                raise DataError(
                    f"tree {root}",
                    got=f"more than {_MOST_ALL:,} bytes or {_MOST_FILES:,} files to copy for the tests",
                    expected="a project, in a folder of its own",
                    remedy="Run 'git init' in the project's folder, or let .gitignore name what the tests do not need",
                )
            place = copy / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        names |= {path.as_posix(): reason for path, reason in left_out.items()}
        yield copy, names


def _files(root: Path, left_out: dict[Path, str]) -> Iterator[Path]:
    seen = set()
    for path in walk(root, left_out=left_out):
        seen.add(path)
        yield path
    for folder in {path.parent for path in seen if path.suffix == ".py"}:
        if NEVER_SOURCE.isdisjoint(folder.parts[len(root.parts) :]):
            yield from (path for path in folder.glob("*.so") if path not in seen and not path.is_symlink())


def overwrite(changes: Mapping[Path, tuple[bytes, bytes]]) -> list[Path]:
    """Write each file whole: its content as it was read, and as it shall be. The files that were written.

    Raises:
        DataError: a file has changed since it was read, or has changes that git could not give back: none is written.
    """
    for path, (before, _) in changes.items():
        _check(path, before)
    for path, (_, content) in changes.items():
        mode = path.stat().st_mode
        with whole_file(path) as partial:
            partial.write_bytes(content)
            partial.chmod(mode)
    return list(changes)


def _check(path: Path, content: bytes) -> None:
    who = f"--apply to {path}"
    if path.is_symlink() or path.read_bytes() != content:
        raise DataError(who, got="a file that has changed since it was read", expected="it as it was measured",
                        remedy="Run the command again")  # fmt: skip
    if run_git(path.parent, "rev-parse", "--is-inside-work-tree") is None:
        return
    known = run_git(path.parent, "rev-parse", "--verify", "--quiet", f"HEAD:./{path.name}")
    if known is None or known.decode().strip() != _blob(content, known):
        raise DataError(who, got="changes that are not committed", expected="a file as git has it, so that it can be "
                        "given back", remedy="Commit or stash them first")  # fmt: skip


def _blob(content: bytes, known: bytes) -> str:
    """The name that git has for ``content``, by the hash function of the repository."""
    algorithm = hashlib.sha256 if len(known.strip()) == 64 else hashlib.sha1
    return algorithm(b"blob %d\0" % len(content) + content).hexdigest()
