"""Fixes that one rewrite makes, between two versions of code or in a history of git: what was wrong, what is right."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import starmap
from pathlib import Path
from typing import NamedTuple

from tonggan.codelm.git import run_git
from tonggan.codelm.review.learned.examples import read_example
from tonggan.codelm.review.learned.functions import Function, functions_of
from tonggan.codelm.review.learned.rewrites import LABELS, RewriteKind
from tonggan.codelm.review.learned.surroundings import ALONE
from tonggan.codelm.source_file import SourceFile

SAYS_FIX = re.compile(r"\b(?:fix\w*|bugs?|wrong\w*|mend\w*|correct\w*|repair\w*|broken|typos?|mistakes?|error)\b", re.I)
"""What a commit says that mends something."""
_MAX_TOKENS = 512
_LARGEST_CHANGE = 160  # characters from the first that a rewrite changes to the last
_MAX_LOG = 400_000_000  # bytes of a history's changes
_SECONDS = 300.0  # that git may take to print them
_ONE_LINE = re.compile(r"^@@ -\d+ \+\d+ @@.*\n-(.*)\n(?:\\ No newline.*\n)?\+(.*)$", re.MULTILINE)
_TOKEN = re.compile(r"\w+|[<>=!*/%&|+-]+|[^\w\s]")
_SYMBOLS = frozenset({*LABELS, "not"})
_BEHIND_DOT = re.compile(r"\.\w*$")
_NO_CODE: tuple[list[str], ...] = ([], ["from"], ["import"], ["def"], ["class"], ["__version__"])


class Fix(NamedTuple):
    """A function before and after a change that is one rewrite.

    Attributes:
        before: the function that was changed.
        after: its text since.
        answer: the number of the rewrite among those of ``before``.
        kind: of the rewrite.
        commit: that changed it; empty between two versions.
        subject: the first line of its message.
    """

    before: Function
    after: str
    answer: int
    kind: RewriteKind
    commit: str = ""
    subject: str = ""


def fixes_between(
    before: Iterable[Function], after: Iterable[Function], *, commit: str = "", subject: str = ""
) -> Iterator[Fix]:
    """The fixes among the functions that both versions have, by path and name, once each."""
    now = {(function.path, function.name): function.text for function in after}
    for function in before:
        text = now.get((function.path, function.name))
        if text is None or text == function.text or _change(function.text, text) > _LARGEST_CHANGE:
            continue
        alone = _rewrite(function._replace(around=ALONE), text)  # which takes less time than reading the whole file
        if alone is None and not _BEHIND_DOT.search(function.text[: _shared(function.text, text)]):
            continue
        found = _rewrite(function, text)
        if found is not None:
            yield Fix(function, text, *found, commit, subject)


def _rewrite(function: Function, text: str) -> tuple[int, RewriteKind] | None:
    """The number and the kind of the rewrite that makes ``text`` of a function."""
    example = read_example(function, max_tokens=_MAX_TOKENS)
    for number, rewrite in enumerate(example.rewrites if example else ()):
        if rewrite.apply(function.text) == text:
            return number, rewrite.kind
    return None


def _change(one: str, other: str) -> int:
    """How many characters there are from the first to the last in which two texts differ."""
    begin = _shared(one, other)
    end = _shared(one[begin:][::-1], other[begin:][::-1])
    return max(len(one), len(other)) - begin - end


def _shared(one: str, other: str) -> int:
    """The length of what both begin with."""
    differ = (place for place, (mine, theirs) in enumerate(zip(one, other, strict=False)) if mine != theirs)
    return next(differ, min(len(one), len(other)))


class Change(NamedTuple):
    """One file that a commit has changed.

    Attributes:
        commit: its hash.
        subject: the first line of its message.
        path: of the file, before and after.
        before: its text before.
        after: since.
    """

    commit: str
    subject: str
    path: str
    before: str
    after: str


def changes_of(root: Path, *, limit: int, is_small: bool = False) -> Iterator[Change]:
    """The changes of Python files by the newest commits of the git work tree at ``root`` that replace some line by one
    other, the newest first; none where there is no git.

    Args:
        root: of the work tree.
        limit: commits that are looked at, at most.
        is_small: whether the other must look as if one rewrite could have made it.

    Raises:
        DataError: git did not answer within bounds, or does not trust the repository.
    """
    log = run_git(
        root, "log", f"--max-count={limit}", "--no-merges", "--format=%x00%H %s", "--patch", "--unified=0", "HEAD",
        "--", "*.py", seconds=_SECONDS, max_bytes=_MAX_LOG,
    )  # fmt: skip
    for record in (log or b"").decode("utf-8", "replace").split("\0")[1:]:
        first, _, patch = record.partition("\n")
        commit, _, subject = first.partition(" ")
        for part in patch.split("\ndiff --git ")[1:] if "\ndiff" in patch else [patch]:
            path = _changed_path(part)
            replaced = _replaced(part) if path is not None else []
            if path is not None and (any(starmap(_may_be_rewrite, replaced)) if is_small else replaced):
                yield Change(
                    commit, subject, path, *(_text_at(root, f"{name}:{path}") for name in (f"{commit}^", commit))
                )


def fixes_of(root: Path, *, limit: int = 3000) -> Iterator[Fix]:
    """The fixes in the newest commits of the git work tree at ``root``, the newest first; none where there is no git.

    Args:
        root: of the work tree.
        limit: commits that are looked at, at most.

    Raises:
        DataError: git did not answer within bounds, or does not trust the repository.
    """
    for change in changes_of(root, limit=limit, is_small=True):
        versions = [functions_in(text, change.path) for text in (change.before, change.after)]
        yield from fixes_between(versions[0], versions[1], commit=change.commit, subject=change.subject)


def functions_in(text: str, path: str) -> list[Function]:
    """The functions of a text that stands at ``path``."""
    return functions_of(SourceFile(Path(path), path, "python", text, "", "\n"))


def _replaced(part: str) -> list[tuple[str, str]]:
    """The lines of a file's changes that were replaced by one other, and these."""
    return [(match[1], match[2]) for match in _ONE_LINE.finditer(part)]


def _may_be_rewrite(old: str, new: str) -> bool:
    """Whether the tokens in which two lines differ look as if one rewrite had made them, outside of texts and comments.

    This is quick, so that few files need be parsed.
    """
    one, other = _TOKEN.findall(old), _TOKEN.findall(new)
    first = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    left, mine, theirs = one[:first], one[first:], other[first:]
    while mine and theirs and mine[-1] == theirs[-1]:
        mine, theirs = mine[:-1], theirs[:-1]
    if "#" in left or any(left.count(quote) % 2 for quote in "'\"") or left[:1] in _NO_CODE:
        return False
    if len(mine) == len(theirs) > 2:
        return Counter(mine) == Counter(theirs)
    was, now = " ".join(mine), " ".join(theirs)
    if was.isidentifier() and now.isidentifier() and not {was, now} & {"not", "and", "or", "is", "in"}:
        return True
    if was.isdecimal() and now.isdecimal():
        return abs(int(was) - int(now)) == 1
    return all(not each or each in _SYMBOLS for each in (was, now))


def _changed_path(part: str) -> str | None:
    """The path of a file that is there before and after under one name."""
    names = [re.search(rf"^{mark} {side}/(.+)$", part, re.MULTILINE) for mark, side in (("---", "a"), (r"\+\+\+", "b"))]
    before, after = (None if match is None else match[1].rstrip("\t") for match in names)
    return before if before == after else None


def _text_at(root: Path, revision: str) -> str:
    content = run_git(root, "cat-file", "blob", revision)
    return (content or b"").decode("utf-8", "replace").replace("\r\n", "\n")
