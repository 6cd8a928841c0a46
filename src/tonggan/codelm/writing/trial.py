"""Candidates on trial: examples and tests in the sandbox, on copies of the tree."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from tonggan.codelm.inside import MEMORY, PROGRAM
from tonggan.codelm.sandbox import run_python
from tonggan.codelm.tree import copied_tree
from tonggan.codelm.writing.request import Request
from tonggan.errors import DataError

_STARTING = 5.0


class Check(BaseModel):
    """One example or test.

    Attributes:
        source: the example, or the test's name.
        passed: whether it did.
        got: what the function gave, or the test said.
        expected: by the example; empty for a test.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    source: str
    passed: bool
    got: str
    expected: str


class Output(BaseModel):
    """What a call gives.

    Attributes:
        call: as it is written.
        got: the result, or the exception, cut where it is long.
        digest: of all of it.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    call: str
    got: str
    digest: str


class Outcome(BaseModel):
    """What became of a candidate.

    Attributes:
        checks: in their order.
        outputs: what it gives for calls.
        problem: why there are no checks.
        said: the end of what was printed.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    checks: list[Check] = []
    outputs: list[Output] = []
    problem: str | None = None
    said: str = ""

    @property
    def num_passed(self) -> int:
        """Checks that passed."""
        return sum(check.passed for check in self.checks)

    @property
    def passed(self) -> bool:
        """Whether all did, and there were some."""
        return self.problem is None and bool(self.checks) and self.num_passed == len(self.checks)

    @property
    def failure(self) -> Check | None:
        """The first that failed."""
        return next((check for check in self.checks if not check.passed), None)


class Trial:
    """Tries candidates for one request.

    Args:
        request: with its checks.
        tree: the copy that each run copies again.
        seconds: that the tests may take.
        each: seconds that one example may take.
    """

    def __init__(self, request: Request, tree: Path, *, seconds: float, each: float) -> None:
        self._request = request
        self._tree = tree
        self._seconds = seconds
        self._each = each

    @classmethod
    @contextmanager
    def of(cls, request: Request, *, seconds: float, each: float = 2.0) -> Iterator[tuple[Trial, list[str]]]:
        """A trial on a copy of the request's tree, and what the copy lacks.

        Raises:
            DataError: the tree is larger than what is copied.
        """
        with copied_tree(request.root) as (tree, left_out):
            yield (
                cls(request, tree, seconds=seconds, each=each),
                [f"{name}: {reason}" for name, reason in left_out.items()],
            )

    def run(self, content: bytes, *, derived: int = 0, seconds: float = math.inf) -> Outcome:
        """What becomes of the file's ``content``.

        Args:
            content: of the file.
            derived: calls that are made besides those of the examples.
            seconds: that are left for the tests.

        Raises:
            DataError: the tests are no program of Python.
        """
        request = self._request
        file = self._tree / request.file
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        asked = {
            "step": "try", "path": request.file, "name": request.name, "tests": request.tests,
            "examples": [[each.source, each.got, each.expected] for each in request.examples],
            "sessions": request.sessions, "calls": request.calls if derived else [], "derived": derived,
            "seconds": self._each,
        }  # fmt: skip
        checks = len(request.examples) + sum(text.count(">>>") for text in request.sessions)
        limit = _STARTING + min(60.0, self._each * checks)
        limit += max(1.0, min(self._seconds, seconds)) if request.tests else 0.0
        done = run_python(PROGRAM, timeout=limit, max_memory=MEMORY, stdin=json.dumps(asked), tree=self._tree)
        lines = done.output.strip().splitlines()
        if done.status == "timeout":
            return Outcome(problem=f"no end within {done.seconds:.0f} s")
        if not lines:
            return Outcome(problem=f"the process ended before it answered: {done.errors[-300:].strip()}")
        try:
            outcome = Outcome.model_validate_json(lines[-1])
        except ValidationError:
            return Outcome(problem="an answer that cannot be read")
        if outcome.problem == "command":
            raise DataError(
                "command of --tests", got=f"'{request.tests}'",
                expected="a file, or 'pytest …', 'python -m MODULE …' or 'python FILE …'",
                remedy="Name a program of Python: the sandbox starts no other",
            )  # fmt: skip
        return outcome
