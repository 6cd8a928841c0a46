"""What came of it: all candidates, how far each came, and which is best. Nothing is written or run here."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tonggan.codelm.tree import overwrite
from tonggan.codelm.writing.candidate import Candidate
from tonggan.codelm.writing.request import Request
from tonggan.codelm.writing.trial import Outcome, Output

_REASONS = 8


@dataclass
class Tried:
    """One candidate, however often it was drawn.

    Attributes:
        candidate: the likeliest of those that are alike.
        count: draws that gave it.
        outcome: of its trial; None where there was none.
        agreement: share of all votes, over calls, that give what it gives.
    """

    candidate: Candidate
    count: int = 1
    outcome: Outcome | None = None
    agreement: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether all checks passed."""
        return self.outcome is not None and self.outcome.passed

    @property
    def outputs(self) -> list[Output]:
        """What it gives for calls; none where that was not asked."""
        return [] if self.outcome is None else self.outcome.outputs

    @property
    def reason(self) -> str:
        """Why it is not the answer; empty where it may be."""
        if self.candidate.refused is not None:
            return self.candidate.refused
        if self.outcome is None or self.outcome.passed:
            return ""
        failed = self.outcome.failure
        if failed is None:
            return self.outcome.problem or "no check was run"
        wanted = f", expected {failed.expected}" if failed.expected else ""
        return f"{failed.source}: got {failed.got}{wanted}"

    @property
    def merit(self) -> tuple[Any, ...]:
        """By which candidates are put in order, the greatest first."""
        stage = ("parse", "scope", "trial").index(self.candidate.stage)
        passed = self.outcome.num_passed / max(1, len(self.outcome.checks)) if self.outcome else 0.0
        logprob = -99.0 if self.candidate.logprob is None else self.candidate.logprob
        return self.passed, stage, passed, self.agreement, self.count, logprob


@dataclass
class Report:
    """All that was tried for a request.

    Attributes:
        request: what was asked.
        model: its name; empty where none was asked.
        tried: candidates, the best first.
        drawn: texts of the model.
        before: the checks of the file as it is; None where there are none.
        notes: what a user should know.
        seconds: it took.
    """

    request: Request
    model: str = ""
    tried: list[Tried] = field(default_factory=list)
    drawn: int = 0
    before: Outcome | None = None
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, candidate: Candidate) -> Tried | None:
        """A further candidate; None where one is alike, which then counts once more."""
        for each in self.tried:
            if candidate.key and each.candidate.key == candidate.key:
                each.count += 1
                if (candidate.logprob or -99.0) > (each.candidate.logprob or -99.0):
                    each.candidate = candidate
                return None
        made = Tried(candidate)
        self.tried.append(made)
        return made

    def rank(self) -> None:
        """Vote on what the calls give, put all in order, and note what a user should look at."""
        passed = [each for each in self.tried if each.passed]
        votes = [Counter[str]() for _ in range(max((len(each.outputs) for each in passed), default=0))]
        for each in passed:
            for place, output in enumerate(each.outputs):
                votes[place][output.digest] += each.count
        for each in passed:
            shares = [votes[place][out.digest] / votes[place].total() for place, out in enumerate(each.outputs)]
            each.agreement = sum(shares) / max(1, len(shares))
        self.tried.sort(key=lambda each: each.merit, reverse=True)
        if self.best is not None:
            self._note_other_results(self.best)
        else:
            self._note_constant_failures()

    def _note_other_results(self, best: Tried) -> None:
        """A call for which candidates that passed disagree."""
        others = [each for each in self.tried if each.passed and each is not best]
        for place, output in enumerate(best.outputs):
            other = next((each.outputs[place] for each in others if place < len(each.outputs)
                          and each.outputs[place].digest != output.digest), None)  # fmt: skip
            if other is not None:
                self.notes.append(
                    f"others that passed differ: {output.call} is {output.got} here and {other.got} there; an example "
                    "of it would decide which is right"
                )
                return

    def _note_constant_failures(self) -> None:
        """Checks that fail as they fail without any function, whatever was written."""
        outcomes = [each.outcome for each in self.tried if each.outcome is not None]
        for check in self.before.checks if self.before is not None and outcomes else ():
            if not check.passed and all(check in outcome.checks for outcome in outcomes):
                self.notes.append(f"fails the same way whatever is written: {check.source}: {check.got}")

    @property
    def best(self) -> Tried | None:
        """What is proposed: the best that passed; without checks the best that could be tried."""
        first = self.tried[0] if self.tried else None
        if first is None or first.candidate.refused is not None:
            return None
        return first if first.passed or not self.request.has_checks else None

    @property
    def counts(self) -> dict[str, int]:
        """How many came how far: draws, and of those that differ how many."""
        stages = [each.candidate.stage for each in self.tried]
        return {
            "drawn": self.drawn,
            "different": len(self.tried),
            "parsed": sum(stage != "parse" for stage in stages),
            "in_scope": sum(stage == "trial" for stage in stages),
            "passed": sum(each.passed for each in self.tried),
        }

    @property
    def reasons(self) -> Mapping[str, int]:
        """Why candidates failed, the most frequent reason first."""
        found = Counter[str]()
        for each in self.tried:
            if each.reason:
                found[each.reason] += each.count
        return dict(found.most_common(_REASONS))

    def patch(self, tried: Tried) -> str:
        """The change to the file as a unified diff."""
        request = self.request
        before = request.content.decode(request.encoding).replace("\r\n", "\n").splitlines(keepends=True)
        after = tried.candidate.text.splitlines(keepends=True)
        return "".join(difflib.unified_diff(before, after, f"a/{request.file}", f"b/{request.file}"))

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "file": self.request.file, "line": self.request.line, "function": self.request.name, "model": self.model,
            "patch": self.patch(self.best) if self.best else None, "counts": self.counts, "reasons": self.reasons,
            "notes": self.notes, "seconds": round(self.seconds, 1), "candidates": [_plain(each) for each in self.tried],
        }  # fmt: skip


def _plain(tried: Tried) -> dict[str, Any]:
    candidate, outcome = tried.candidate, tried.outcome
    return {
        "source": candidate.source, "count": tried.count, "logprob": candidate.logprob, "stage": candidate.stage,
        "passed": tried.passed, "agreement": round(tried.agreement, 3), "reason": tried.reason or None,
        "checks": [] if outcome is None else [check.model_dump() for check in outcome.checks],
    }  # fmt: skip


def apply(report: Report) -> list[Path]:
    """Write what is proposed to the file; the files that were written.

    Raises:
        DataError: the file has changed since it was read, or has changes that are not committed: it is not written.
    """
    best = report.best
    if best is None:
        return []
    request = report.request
    return overwrite({request.path: (request.content, request.encoded(best.candidate.text))})
