"""Fixes that were made: changes of a function that one rewrite makes, between two versions or in a history of git."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from tonggan.codelm.git import run_git
from tonggan.codelm.review.learned.examples import read_example
from tonggan.codelm.review.learned.functions import Function, functions_of
from tonggan.codelm.review.learned.rewrites import RewriteKind
from tonggan.codelm.source_file import SourceFile

_MAX_TOKENS = 512
_LARGEST_GAIN = 60  # characters by which a rewrite, such as of a name, may lengthen a function
_MAX_LOG = 400_000_000  # bytes of a history's changes
_SECONDS = 300.0  # that git may take to print them
_HUNK = re.compile(r"^@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@", re.MULTILINE)


class Fix(NamedTuple):
    """A function before and after a change that is one rewrite.

    Attributes:
        before: the function that was changed.
        after: its text since.
        answer: the number of the rewrite among those of ``before``.
        kind: of the rewrite.
        commit: that changed it; empty between two versions.
    """

    before: Function
    after: str
    answer: int
    kind: RewriteKind
    commit: str = ""


def fixes_between(before: Iterable[Function], after: Iterable[Function], *, commit: str = "") -> Iterator[Fix]:
    """The fixes among the functions that both versions have, by path and name, once each."""
    now = {(function.path, function.name): function.text for function in after}
    for function in before:
        text = now.get((function.path, function.name))
        if text is None or text == function.text or abs(len(text) - len(function.text)) > _LARGEST_GAIN:
            continue
        example = read_example(function.text, max_tokens=_MAX_TOKENS)
        for number, rewrite in enumerate(example.rewrites if example else ()):
            if rewrite.apply(function.text) == text:
                yield Fix(function, text, number, rewrite.kind, commit)
                break


def fixes_of(root: Path, *, limit: int = 3000) -> Iterator[Fix]:
    """The fixes in the newest commits of the git work tree at ``root``, the newest first; none where there is no git.

    Only commits that replace some line by one other are looked at.

    Args:
        root: of the work tree.
        limit: commits that are looked at, at most.

    Raises:
        DataError: git did not answer within bounds, or does not trust the repository.
    """
    log = run_git(
        root, "log", f"--max-count={limit}", "--no-merges", "--format=%x00%H", "--patch", "--unified=0", "HEAD", "--",
        "*.py", seconds=_SECONDS, max_bytes=_MAX_LOG,
    )  # fmt: skip
    for record in (log or b"").decode("utf-8", "replace").split("\0")[1:]:
        commit, _, patch = record.partition("\n")
        for part in patch.split("\ndiff --git ")[1:] if "\ndiff" in patch else [patch]:
            path = _changed_path(part)
            if path is not None and any(hunk[0] is None and hunk[1] is None for hunk in _sizes(part)):
                versions = [_functions_at(root, f"{name}:{path}", path) for name in (f"{commit}^", commit)]
                yield from fixes_between(versions[0], versions[1], commit=commit)


def _sizes(part: str) -> list[tuple[str | None, str | None]]:
    """Of each hunk how many lines it takes and gives; None for one."""
    return [(match[1], match[2]) for match in _HUNK.finditer(part)]


def _changed_path(part: str) -> str | None:
    """The path of a file that is there before and after under one name."""
    names = [re.search(rf"^{mark} {side}/(.+)$", part, re.MULTILINE) for mark, side in (("---", "a"), (r"\+\+\+", "b"))]
    before, after = (None if match is None else match[1].rstrip("\t") for match in names)
    return before if before == after else None


def _functions_at(root: Path, revision: str, path: str) -> list[Function]:
    content = run_git(root, "cat-file", "blob", revision)
    if content is None:
        return []
    text = content.decode("utf-8", "replace").replace("\r\n", "\n")
    return functions_of(SourceFile(root / path, path, "python", text, "", "\n"))
