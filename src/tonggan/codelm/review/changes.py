"""Which lines of a work tree are new since a commit, without git's own comparison, which would run filters."""

from __future__ import annotations

import hashlib
import os
from difflib import SequenceMatcher
from pathlib import Path

from tonggan.codelm.git import run_git
from tonggan.codelm.source_file import MAX_BYTES, read_bytes
from tonggan.errors import ConfigError

_SUFFIXES = (".py", ".md", ".markdown", ".rst")


def changed_lines(root: Path, base: str) -> dict[str, set[int]]:
    """The changed lines of each file by its path, counted from 1; where lines are gone, those around the place.

    Args:
        root: of the repository.
        base: a commit, branch or tag; what counts is where the present one left it.

    Raises:
        ConfigError: git knows no such commit, or there is no repository.
    """
    commit = _ask(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{base}^{{commit}}")
    if not commit:
        raise ConfigError(
            "--diff", got=f"'{base}'", expected="a commit, branch or tag of this repository", remedy="See: git log"
        )
    start = _ask(root, "merge-base", commit, "HEAD") or commit
    tree = run_git(root, "ls-tree", "-r", "-z", "--full-tree", start) or b""
    former = dict(_entry(line) for line in tree.split(b"\0") if b" blob " in line)
    tracked = run_git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard") or b""
    found: dict[str, set[int]] = {}
    for name in map(os.fsdecode, tracked.split(b"\0")):
        content = read_bytes(root / name, MAX_BYTES) if name.endswith(_SUFFIXES) else None
        if isinstance(content, bytes) and former.get(name) != _digest(content, former.get(name, "")):
            old = run_git(root, "cat-file", "blob", former[name]) if name in former else b""
            found[name] = _new_lines(_lines(old or b""), _lines(content))
    return found


def _ask(root: Path, question: str, *arguments: str) -> str:
    answer = run_git(root, question, *arguments)  # type: ignore[arg-type]
    return (answer or b"").decode("ascii", "replace").strip()


def _entry(line: bytes) -> tuple[str, str]:
    head, _, name = line.partition(b"\t")
    return os.fsdecode(name), head.split()[2].decode("ascii")


def _digest(content: bytes, like: str) -> str:
    """The name that git gives a file's content, with the hash that the repository uses."""
    kind = "sha256" if len(like) == 64 else "sha1"
    return hashlib.new(kind, b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _lines(content: bytes) -> list[bytes]:
    return content.replace(b"\r\n", b"\n").split(b"\n")


def _new_lines(old: list[bytes], new: list[bytes]) -> set[int]:
    first = 0
    while first < min(len(old), len(new)) and old[first] == new[first]:
        first += 1
    last = 0
    while last < min(len(old), len(new)) - first and old[-1 - last] == new[-1 - last]:
        last += 1
    matcher = SequenceMatcher(None, old[first : len(old) - last], new[first : len(new) - last])
    found: set[int] = set()
    for tag, _, _, start, end in matcher.get_opcodes():
        if tag == "delete":
            found |= {first + start, first + start + 1}
        elif tag != "equal":
            found |= set(range(first + start + 1, first + end + 1))
    return found
