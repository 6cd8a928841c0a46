"""The steps that run in the sandbox, asked from outside; what comes back is checked, for user code was near it."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tonggan.codelm.inside import COUNTED_PROGRAM, MEMORY, PROGRAM
from tonggan.codelm.optimization.targets import Function
from tonggan.codelm.optimization.versions import Candidate
from tonggan.codelm.sandbox import run_python
from tonggan.errors import DataError

_STARTING = 10.0  # seconds
_PROVING = 4.0  # times as long as one run of the tests may be proven
_LEAST = 1.0  # second, without which nothing answers
_COUNTED, _COUNTING = 0.02, 30.0  # seconds that counted calls take by themselves, and that valgrind may take for them
_MOST_REPEATS = 2000

_AnswerT = TypeVar("_AnswerT", bound="Answer")


class Answer(BaseModel):
    """What every step says.

    Attributes:
        said: the end of what the tests printed.
        problem: why the step was not done.
        outcomes: of each test, by its name.
        protection: what the kernel enforced.
    """

    model_config = ConfigDict(extra="forbid", strict=True)
    said: str = ""
    problem: str | None = None
    outcomes: dict[str, str] = {}
    protection: tuple[str, ...] = ()


class Profile(Answer):
    """Time of the functions: file, first line, calls, seconds with all that they call."""

    functions: list[tuple[str, int, int, float]] = []


class Trial(BaseModel):
    """How one candidate fared: how it differs, and how many calls were compared."""

    model_config = ConfigDict(extra="forbid", strict=True)
    id: int
    difference: str | None
    recorded: int
    derived: int
    grown: int


class Proof(BaseModel):
    """What was found about one function; the fields are those of ``inside.session``."""

    model_config = ConfigDict(extra="forbid", strict=True)
    name: str
    path: str
    num_recorded: int
    num_seen: int
    left_out: dict[str, int]
    reason: str | None = None
    trials: list[Trial] = []
    chosen: int | None = None
    growth: list[tuple[int, float, float]] = []
    memory: list[int] = []
    pairs: dict[str, list[tuple[float, float]]] = Field(default_factory=dict)
    packed: dict[str, str] = {}


class Proofs(Answer):
    """Of all functions, and the lines of inputs that could not be run."""

    functions: list[Proof] = []
    problems: list[str] = []


class Sandbox:
    """Runs the steps in copies of one tree.

    Args:
        tree: the copy that each run copies again.
        tests: the command; None where there are only inputs.
        seconds: that one run of the tests may take, and that proving may take besides.
        end: of ``time.monotonic()``, at which all must be done.
    """

    def __init__(self, tree: Path, tests: str | None, *, seconds: float, end: float) -> None:
        self._tree, self._tests, self._seconds, self._end = tree, tests, seconds, end
        self._reserve = 0.0  # seconds that the tests want once more when all is proven

    @property
    def left(self) -> float:
        """Seconds until the end."""
        return max(0.0, self._end - time.monotonic())

    def profile(self) -> Profile:
        """Run the tests under the profiler."""
        start = time.monotonic()
        profile = self._ask(Profile, {"step": "profile"})
        self._reserve = time.monotonic() - start
        return profile

    def test(self) -> Answer:
        """Run the tests."""
        return self._ask(Answer, {"step": "test"})

    def prove(self, work: Sequence[tuple[Function, Sequence[Candidate]]], inputs: Sequence[tuple[int, str]]) -> Proofs:
        """Record calls, compare and time all candidates."""
        functions = [
            {
                "path": function.module.name, "name": function.name, "line": function.line,
                "source": Candidate((), function.node, ()).source,
                "candidates": [
                    {"id": number, "parts": each.parts, "source": each.source, "imports": each.imports}
                    for number, each in enumerate(candidates)
                ],
            }
            for function, candidates in work
        ]  # fmt: skip
        seconds = min(_STARTING + _PROVING * self._seconds, self.left - self._reserve)
        return self._ask(
            Proofs,
            {
                "step": "prove", "functions": functions, "inputs": inputs, "seconds": self._seconds,
                "begin_within": seconds / 2,  # a function that has been begun is done to its end
            },
            seconds=seconds,
        )  # fmt: skip

    def instructions(self, function: Function, candidate: Candidate, proof: Proof, workload: str) -> float | None:
        """How many times fewer instructions ``candidate`` takes for the calls of ``workload``: the least of two counts.

        None where valgrind is not installed, takes too long, or the calls hold other values than plain ones.
        """
        if workload not in proof.packed or shutil.which("valgrind", path=os.defpath) is None:
            return None
        seconds = sorted(before for before, _ in proof.pairs[workload])[len(proof.pairs[workload]) // 2]
        request = {
            "path": function.module.name, "name": function.name, "calls": proof.packed[workload],
            "repeats": max(1, min(_MOST_REPEATS, int(_COUNTED / max(seconds, 1e-9)))),
        }  # fmt: skip
        original = Candidate((), function.node, ())
        found = []
        for _ in range(2):
            counts = []
            for each, is_called in ((original, False), (original, True), (candidate, True)):
                asked = {**request, "source": each.source, "imports": each.imports, "is_called": is_called}
                if (counted := self._count(asked)) is None:
                    return None
                counts.append(counted)
            around, before, after = counts
            found.append((before - around) / max(after - around, 1))
        return min(found)

    def _count(self, request: dict[str, Any]) -> int | None:
        """Instructions of one process that makes the calls of ``request``; None where it fails."""
        outcome = run_python(
            COUNTED_PROGRAM,
            timeout=max(_LEAST, min(_COUNTING, self.left - self._reserve)),
            max_memory=2 * MEMORY,
            stdin=json.dumps({**request, "step": "count", "tests": self._tests}),
            tree=self._tree,
        )
        counted = re.findall(r"^==\d+== Collected : (\d+)$", outcome.output, re.MULTILINE)
        answers = [line for line in outcome.output.splitlines() if line.startswith("{")]
        is_done = outcome.status == "passed" and counted and answers and '"problem"' not in answers[-1]
        return int(counted[-1]) if is_done else None

    def _ask(self, kind: type[_AnswerT], request: dict[str, Any], *, seconds: float | None = None) -> _AnswerT:
        seconds = _STARTING + self._seconds if seconds is None else seconds
        outcome = run_python(
            PROGRAM,
            timeout=max(_LEAST, min(seconds, self.left)),
            max_memory=MEMORY,
            stdin=json.dumps({**request, "tests": self._tests}),
            tree=self._tree,
        )
        lines = outcome.output.strip().splitlines()
        if outcome.status == "timeout":
            raise _failed(request, f"no end within {outcome.seconds:.0f} s", "Name fewer tests, or raise --time-limit")
        if not lines:
            got = f"a process that ended with exit code {outcome.exit_code} before it answered: {outcome.errors[-300:]}"
            raise _failed(request, got, "Name tests that do not end the process")
        try:
            answer = kind.model_validate_json(lines[-1])
        except ValidationError as error:
            raise _failed(request, "an answer that cannot be read", "Look at what the tests print") from error
        answer.protection = outcome.protection
        if answer.problem == "command":
            raise DataError(
                "command of --tests",
                got=f"'{self._tests}'",
                expected="'pytest …', 'python -m MODULE …' or 'python FILE …'",
                remedy="Name a program of Python: the sandbox starts no other",
            )
        if answer.problem is not None:
            raise _failed(request, answer.problem, "Run the tests alone first")
        return answer


def _failed(request: dict[str, Any], got: str, remedy: str) -> DataError:
    return DataError(f"sandbox ({request['step']})", got=got, expected="an answer of the sandbox", remedy=remedy)
