"""What part a unit plays in a repository: the code itself, its documents, its tests, or its history.

A question without another wish wants the code; commits and tests repeat its words and would crowd it out.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Literal, get_args

from tonggan.codelm.languages import PROSE, language_of
from tonggan.codelm.units import UnitKind

Role = Literal["code", "docs", "tests", "history"]
ROLES: tuple[Role, ...] = get_args(Role)

_TEST_FOLDERS = {"test", "tests", "__tests__", "spec", "specs", "testdata", "e2e"}
_TEST_FILE = re.compile(r"(test_.*|conftest|.*[._-](test|tests|spec)|.*(?<=[a-z0-9])(Test|Tests|Spec))")
_DOCUMENT_FOLDERS = {"doc", "docs", "example", "examples", "docs_src", "tutorial", "tutorials"}
_CHANGES = re.compile(r"(?i)(change(s|log)|history|news|release[-_ ]?notes|whatsnew)([._-].*)?")

_ASKED: dict[Role, re.Pattern[str]] = {
    "tests": re.compile(
        r"(?i)\b(unit |which |what |regression )tests?\b|\btests? (for|of|that|which)\b|\btested\b|测试"
    ),
    "history": re.compile(
        r"(?i)\b(commits?|changelog|history|changed|introduced|regressions?|when (was|were|did)|since (when|which))\b"
        r"|提交|历史|变更|更改记录"
    ),
    "docs": re.compile(r"(?i)\b(docs?|documentation|documented|tutorial|readme|guide|changelog)\b|文档|教程|说明"),
}


def role_of(kind: UnitKind, path: str) -> Role:
    """The part that a unit of ``kind`` in the file ``path`` (relative to the root; empty for a commit) plays."""
    if kind == "commit":
        return "history"
    place = PurePosixPath(path)
    folders = {folder.lower() for folder in place.parts[:-1]}
    in_tests = bool(folders & _TEST_FOLDERS)
    if language_of(path) in PROSE:
        return "history" if _CHANGES.fullmatch(place.name) else "tests" if in_tests else "docs"
    if in_tests or _TEST_FILE.fullmatch(place.stem):
        return "tests"
    return "docs" if folders & _DOCUMENT_FOLDERS else "code"


def roles_asked(question: str) -> set[Role]:
    """The roles other than code that ``question`` asks for by name."""
    return {role for role in ROLES if role in _ASKED and _ASKED[role].search(question)}
