"""One rule applied to a repository; where it raises, it is left out for the files that make it raise."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from itertools import islice

from tonggan.codelm.review.finding import Finding
from tonggan.codelm.review.registry import Rule, rules
from tonggan.codelm.review.repository import Repository

_MOST_FINDINGS = 10_000  # of one rule
_MOST_FAILURES = 10  # files of one rule, after which it is left out for all that are left


@dataclass(frozen=True)
class Failure:
    """A rule that was not applied.

    Attributes:
        rule: its name.
        path: of the file that it raised in; None where it is left out for all files, or all that were left.
        error: what it raised.
    """

    rule: str
    path: str | None
    error: str


def apply(name: str, repository: Repository) -> tuple[list[Finding], list[Failure]]:
    """What one rule finds, and where it was left out because it raised.

    A rule that raises is tried on halves of the files, and so on, until those are known that make it raise.
    """
    found: list[Finding] = []
    failures: list[Failure] = []
    waiting = [sorted(repository.reviewed)]
    while waiting:
        paths = waiting.pop()
        try:
            found += _found(rules()[name], repository, paths)
        except Exception as error:  # noqa: BLE001 - whatever a rule raises, also one of another package
            half = len(paths) // 2
            if len(failures) >= _MOST_FAILURES or (not failures and half and _always_raises(name, repository)):
                return found, [*failures, Failure(name, None, _told(error))]
            if half:
                waiting += [paths[half:], paths[:half]]
            else:
                failures.append(Failure(name, paths[0] if paths else None, _told(error)))
    return found, failures


def _found(rule: Rule, repository: Repository, paths: list[str]) -> list[Finding]:
    narrowed = repository  # which keeps what its rules have in common
    if len(paths) < len(repository.reviewed):
        narrowed = copy(repository)
        narrowed.reviewed = set(paths)
    findings = [each for each in islice(rule.check(narrowed), _MOST_FINDINGS) if each.path in narrowed.reviewed]
    for each in findings:
        if not 1 <= each.start_line <= each.end_line <= len(repository.lines_of(each.path)):
            raise ValueError(f"lines {each.start_line} to {each.end_line} of {each.path}, which are not in it")
    return findings


def _always_raises(name: str, repository: Repository) -> bool:
    try:
        _found(rules()[name], repository, [])
    except Exception:  # noqa: BLE001 - as above
        return True
    return False


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".strip(" :")
