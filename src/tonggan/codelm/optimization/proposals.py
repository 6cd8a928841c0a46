"""What an optimization gives: proposals with their evidence, and why there are no others."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tonggan.codelm.optimization.evidence import Speedup
from tonggan.codelm.optimization.steps import Proof
from tonggan.codelm.optimization.targets import Function, Target
from tonggan.codelm.optimization.versions import Candidate, module_with


@dataclass(frozen=True)
class Proposal:
    """A faster function.

    Attributes:
        function: as it is.
        candidate: what takes its place.
        proof: what was compared and measured.
        speedups: by workload: calls as recorded, and larger ones.
        on: the workload on which it is more than ``LEAST`` times as fast.
        instructions: how many times fewer it takes on that workload, where no interval of times exceeds ``LEAST``.
        num_tests: of the user's, whose outcomes are the same with it.
    """

    function: Function
    candidate: Candidate
    proof: Proof
    speedups: dict[str, Speedup]
    on: str
    instructions: float | None = None
    num_tests: int = 0

    @property
    def compared(self) -> dict[str, int]:
        """Calls that were compared."""
        trial = next(each for each in self.proof.trials if each.id == self.proof.chosen)
        return {"recorded": trial.recorded, "derived": trial.derived, "grown": trial.grown}

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "path": self.function.module.name,
            "line": self.function.line,
            "function": self.function.name,
            "rewrites": list(self.candidate.parts),
            "speedups": {name: asdict(each) for name, each in self.speedups.items()},
            "on": self.on,
            "instructions": self.instructions,
            "compared": {**self.compared, "tests": self.num_tests},
            "growth": [{"size": size, "before": before, "after": after} for size, before, after in self.proof.growth],
            "peak_memory": self.proof.memory,
        }


@dataclass
class Report:
    """What came of an optimization.

    Attributes:
        target: what was looked at.
        proposals: the fastest first.
        reasons: why nothing is proposed for a function, by its place.
        flaky: tests whose outcome changed from one run to the next, without any change.
        failed: tests that do not pass as the code is.
        problems: what else should be known.
        protection: what the kernel enforced.
    """

    target: Target
    proposals: list[Proposal] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)
    flaky: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    protection: tuple[str, ...] = ()

    def changed(self) -> dict[Path, bytes]:
        """The files with all proposals in them."""
        return changed_files(self.proposals)

    def patch(self) -> str:
        """All proposals as one unified diff, from the root of the tree."""
        modules = {each.function.module.path: each.function.module for each in self.proposals}
        parts = []
        for path, content in self.changed().items():
            module = modules[path]
            before = module.content.decode(module.tree.encoding).splitlines(keepends=True)
            after = content.decode(module.tree.encoding).splitlines(keepends=True)
            names = f"a/{module.name}", f"b/{module.name}"
            lines = difflib.unified_diff(before, after, *names)
            parts += [line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines]
        return "".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "root": str(self.target.root),
            "proposals": [each.to_dict() for each in self.proposals],
            "patch": self.patch(),
            "reasons": {**self.target.problems, **self.reasons},
            "flaky_tests": self.flaky,
            "failed_tests": self.failed,
            "problems": self.problems,
            "protection": list(self.protection),
        }


def changed_files(proposals: Sequence[Proposal]) -> dict[Path, bytes]:
    """The files of ``proposals`` with the candidates in place."""
    chosen: dict[Path, list[tuple[Function, Candidate]]] = {}
    for each in proposals:
        chosen.setdefault(each.function.module.path, []).append((each.function, each.candidate))
    return {path: module_with(pairs[0][0].module, pairs) for path, pairs in chosen.items()}
