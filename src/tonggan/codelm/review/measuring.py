"""What the rules of a review are worth on a repository's own history: fixes as known bugs, old code as clean.

Fixes are changes of a function that one rewrite makes, between two versions or in a history of git, and changes of one
line whose commit says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from tonggan.codelm.git import run_git
from tonggan.codelm.review.applying import apply
from tonggan.codelm.review.finding import Finding
from tonggan.codelm.review.learned.fixes import SAYS_FIX, Change, changes_of, fixes_between, functions_in
from tonggan.codelm.review.repository import Repository
from tonggan.codelm.review.reviewing import chosen_rules, read_repository, root_of, trees_kept, with_detector
from tonggan.errors import DataError
from tonggan.progress import Progress

FEW = 30
"""Fixes below which shares say little."""
_COMMITS = 2000  # the newest, that are looked at
_MOST_FIXES = 100
_MOST_IN_A_FILE = 3  # one-line changes of a commit in a file; more are a renaming


class KnownBug(NamedTuple):
    """One line that a commit has changed, taken for a bug before and for right since.

    Attributes:
        change: of the file.
        before: the line of the version before, from 1.
        after: that of the version since.
    """

    change: Change
    before: int
    after: int


@dataclass(frozen=True)
class RuleMeasure:
    """What one rule is worth, or all together.

    Attributes:
        rule: its name; ``all`` for all.
        found: fixes that it told before they were made, and no more since.
        recall: that share of the fixes; None where there are none.
        alarms: findings in code that was not changed for long.
        alarms_per_1000_lines: of that code; None where there is none.
        threshold: confidence above which there are at most as many alarms as the budget; 0 where all are within it.
        found_above: fixes that are found above it.
    """

    rule: str
    found: int
    recall: float | None
    alarms: int
    alarms_per_1000_lines: float | None
    threshold: float
    found_above: int


@dataclass(frozen=True)
class ReviewMeasure:
    """What a review is worth on a repository's history.

    Attributes:
        num_fixes: known bugs.
        num_functions: that count as clean.
        num_lines: of these.
        budget: alarms that are allowed.
        rules: those that told anything, the best first, and all together at the end.
    """

    num_fixes: int
    num_functions: int
    num_lines: int
    budget: int
    rules: tuple[RuleMeasure, ...]


@trees_kept()
def measure(
    paths: Sequence[Path],
    *,
    only: Sequence[str] = (),
    budget: int = 10,
    detector: Path | None = None,
    progress: Progress | None = None,
) -> ReviewMeasure:
    """Review the lines that one-line fixes changed, before and after, and the functions that long did not change.

    Args:
        paths: files and folders of one repository.
        only: names of the rules that are measured; all by default.
        budget: alarms in clean code that each rule, or all together, may have.
        detector: a file of ``tonggan code learn-bugs``.
        progress: told of each fix.

    Raises:
        ConfigError: there is no rule of a name.
        DataError: there is no history, git does not answer within bounds, or nothing is at a path.
    """
    progress = progress or Progress()
    names = chosen_rules(only, has_detector=detector is not None)
    commits = (run_git(root_of(paths), "log", f"--max-count={_COMMITS}", "--format=%H", "HEAD") or b"").split()
    if not commits:
        raise DataError(
            f"history of {root_of(paths)}", got="no commits of git", expected="a repository with some history",
            remedy="Run it where the code is developed",
        )  # fmt: skip
    repository = with_detector(read_repository(paths), detector)
    alarms, functions, lines = _alarms(repository, names, commits[len(commits) // 2].decode())
    bugs = [bug for bug in islice(known_bugs(repository.root), _MOST_FIXES) if bug.change.path in repository.reviewed]
    found: list[dict[str, float]] = [
        _found(bug, repository, names) for bug in progress.track(bugs, label="reviewing fixes")
    ]
    measures = [_measure(name, [name], found, alarms, lines, budget) for name in names]
    told = [each for each in measures if each.found or each.alarms]
    told.sort(key=lambda each: (-each.found, each.alarms, each.rule))
    return ReviewMeasure(
        len(bugs), functions, lines, budget, (*told, _measure("all", names, found, alarms, lines, budget))
    )


def known_bugs(root: Path) -> Iterator[KnownBug]:
    """The lines that the newest commits fixed: a function has one other line, and that is one small rewrite, or the
    commit says that it fixes something.
    """
    for change in changes_of(root, limit=_COMMITS):
        before, after = functions_in(change.before, change.path), functions_in(change.after, change.path)
        now = {function.name: function for function in after}
        found = []
        for function in before:
            other = now.get(function.name)
            places = _changed(function.text, other.text) if other is not None else []
            is_fix = len(places) == 1 and other is not None and (
                SAYS_FIX.search(change.subject) is not None or any(fixes_between([function], [other]))
            )  # fmt: skip
            if is_fix and other is not None:
                found.append(KnownBug(change, function.line + places[0], other.line + places[0]))
        if len(found) <= _MOST_IN_A_FILE:
            yield from found


def _changed(before: str, after: str) -> list[int]:
    """The lines from 0 in which two texts of as many lines differ by more than spaces."""
    old, new = before.split("\n"), after.split("\n")
    if len(old) != len(new):
        return []
    return [place for place, (one, other) in enumerate(zip(old, new, strict=True)) if one.split() != other.split()]


def _alarms(repository: Repository, names: Sequence[str], commit: str) -> tuple[list[Finding], int, int]:
    """Findings in functions that are as they were at ``commit``, and how many functions and lines these are."""
    clean: dict[str, set[int]] = {}
    count = 0
    for module in repository.reviewed_modules():
        content = run_git(repository.root, "cat-file", "blob", f"{commit}:{module.path}")
        then = {each.name: each.text for each in functions_in((content or b"").decode("utf-8", "replace"), module.path)}
        for function in functions_in(module.source.text, module.path):
            if then.get(function.name) == function.text:
                count += 1
                span = range(function.line, function.line + len(function.text.splitlines()))
                clean.setdefault(module.path, set()).update(span)
    found = [each for name in names for each in apply(name, repository)[0]]
    alarms = [each for each in found if each.start_line in clean.get(each.path, ())]
    return alarms, count, sum(map(len, clean.values()))


def _found(bug: KnownBug, repository: Repository, names: Sequence[str]) -> dict[str, float]:
    """The confidence of each rule that tells the line before the fix and not after it."""
    told: list[dict[str, float]] = []
    for text, line in ((bug.change.before, bug.before), (bug.change.after, bug.after)):
        version = repository.with_text(bug.change.path, text)
        told.append({
            name: max(each.confidence for each in here)
            for name in names
            if (here := [each for each in apply(name, version)[0] if _is_at(each, line)])
        })  # fmt: skip
    return {name: confidence for name, confidence in told[0].items() if name not in told[1]}


def _is_at(finding: Finding, line: int) -> bool:
    if finding.start_line <= line <= finding.end_line:
        return True
    return any(each.path == finding.path and each.line == line for each in finding.evidence)


def _measure(
    name: str,
    names: Sequence[str],
    found: Sequence[dict[str, float]],
    alarms: Sequence[Finding],
    lines: int,
    budget: int,
) -> RuleMeasure:
    confidences = sorted((each.confidence for each in alarms if each.rule in names), reverse=True)
    best = [max((told[each] for each in names if each in told), default=-1.0) for told in found]
    threshold = confidences[budget] if len(confidences) > budget else 0.0
    num_found = sum(confidence >= 0 for confidence in best)
    return RuleMeasure(
        name,
        num_found,
        num_found / len(found) if found else None,
        len(confidences),
        1000 * len(confidences) / lines if lines else None,
        threshold,
        sum(confidence > threshold for confidence in best),
    )
