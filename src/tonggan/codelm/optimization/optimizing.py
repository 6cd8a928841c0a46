"""Functions made faster: profiled, rewritten, proven equal on what was run, timed, and proposed with the evidence."""

from __future__ import annotations

import ast
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tonggan.codelm.optimization.evidence import speedup
from tonggan.codelm.optimization.proposals import Proposal, Report, changed_files
from tonggan.codelm.optimization.steps import Proof, Sandbox
from tonggan.codelm.optimization.targets import Function, Target, find_target
from tonggan.codelm.optimization.versions import Candidate, candidates_of
from tonggan.codelm.source_file import read_bytes, why_skipped
from tonggan.codelm.tree import copied_tree, overwrite
from tonggan.errors import DataError
from tonggan.progress import Progress

LEAST = 1.1
"""What the lower end of the interval must exceed, or else the ratio of instructions."""
_SLOWER = 0.95  # of the speed before: what recorded calls may lose where larger ones gain
_MOST_FUNCTIONS = 12
_ROUNDS = 3  # in which a test must change each time
_RUNS = 5  # of the tests, for which there is time
_MOST_INPUTS = 10_000_000  # bytes

_Work = list[tuple[Function, list[Candidate]]]


def optimize(
    target: str,
    *,
    tests: str | None = None,
    inputs: Path | None = None,
    time_limit: float = 600.0,
    progress: Progress | None = None,
) -> Report:
    """Look for faster versions of the functions of ``target``; nothing of the tree is changed.

    Args:
        target: ``FILE``, ``FILE:FUNCTION`` or ``FOLDER``.
        tests: a command of Python; None for pytest where there are tests and no ``inputs``.
        inputs: a file with one call in each line, such as ``unique([1, 2, 1])``.
        time_limit: seconds for all of it, a fifth for one run of the tests; functions that are not reached are named.
        progress: is told what is being done.

    Raises:
        DataError: the target cannot be read, or neither tests nor inputs run.
    """
    end = time.monotonic() + time_limit
    progress = progress or Progress()
    found = find_target(target)
    lines = _read_inputs(inputs)
    if tests is None and not lines:
        tests = _tests_of(found)
    report = Report(found, problems=_calls_of_others(lines, found))
    with copied_tree(found.root) as (tree, left_out):
        report.problems += [f"{name} is not in the copy: {reason}" for name, reason in left_out.items()]
        sandbox = Sandbox(tree, tests, seconds=time_limit / _RUNS, end=end)
        outcomes: dict[str, str] = {}
        hot = found.functions
        if tests is not None:
            progress.say("Profiling the tests")
            profile = sandbox.profile()
            outcomes, report.protection = profile.outcomes, profile.protection
            hot = _hottest(found, profile.functions, report, has_inputs=bool(lines))
            if not any(outcome == "passed" for outcome in outcomes.values()):
                raise DataError(
                    f"tests {tests}", got=f"no test that passes: {profile.said[-600:].strip()}",
                    expected="tests that pass as the code is", remedy="Fix them first",
                )  # fmt: skip
        work = _candidates(hot, report)
        if not work:
            return report
        progress.say(f"Proving {sum(len(each) for _, each in work)} candidates for {len(work)} functions")
        proofs = sandbox.prove(work, lines)
        report.protection = proofs.protection
        report.problems += proofs.problems
        _judge_tests(report, outcomes, proofs.outcomes)
        judged = [_judge(*pair, report, sandbox) for pair in zip(work, proofs.functions, strict=True)]
        proposals = [each for each in judged if each is not None]
        report.proposals = _tested(proposals, tree, sandbox, report, outcomes, progress) if tests else proposals
    report.proposals.sort(key=lambda each: each.speedups[each.on].low, reverse=True)
    return report


def apply(report: Report) -> list[Path]:
    """Write the proposals of ``report``; the files that were written.

    Raises:
        DataError: a file has changed since it was read, or has changes that are not committed: none is written.
    """
    before = {each.function.module.path: each.function.module.content for each in report.proposals}
    return overwrite({path: (before[path], content) for path, content in report.changed().items()})


def _read_inputs(path: Path | None) -> list[tuple[int, str]]:
    """The calls in a file, with their line numbers; empty lines and comments are passed over."""
    if path is None:
        return []
    content = read_bytes(path, _MOST_INPUTS)
    if not isinstance(content, bytes):
        raise _wrong_inputs(path, why_skipped(*content))
    found = []
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        try:
            call = ast.parse(line, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            call = None
        if not isinstance(call, ast.Call):
            raise _wrong_inputs(path, f"line {number}: {line[:80]}")
        found.append((number, line))
    if not found:
        raise _wrong_inputs(path, "no call")
    return found


def _calls_of_others(lines: Sequence[tuple[int, str]], target: Target) -> list[str]:
    """What is said of inputs that are passed over, as nothing that they call is looked at."""
    names = {each.name for each in target.functions}
    called = [(number, line.partition("(")[0].strip()) for number, line in lines]
    return [
        f"line {number} of the inputs calls none of the functions that are looked at: {name[:80]}"
        for number, name in called
        if names.isdisjoint((name, name.rpartition(".")[2]))
    ]


def _wrong_inputs(path: Path, got: str) -> DataError:
    return DataError(
        f"inputs {path}", got=got, expected="a call of a function of the target in each line, e.g. unique([1, 2, 1])",
        remedy="Write one call in each line",
    )  # fmt: skip


def _tests_of(target: Target) -> str:
    """The command that runs the tests of a tree.

    Raises:
        DataError: there seem to be none.
    """
    patterns = ("test_*.py", "*_test.py", "tests/**/test_*.py", "tests/**/*_test.py", "test/**/test_*.py")
    if any(next(iter(target.root.glob(pattern)), None) for pattern in patterns):
        return "pytest -q"
    raise DataError(
        f"tests of {target.root}", got="no file test_*.py, and no --inputs", expected="tests, or inputs to compare on",
        remedy="Name a command with --tests, or a file of calls with --inputs",
    )  # fmt: skip


def _hottest(
    target: Target, profile: Sequence[tuple[str, int, int, float]], report: Report, *, has_inputs: bool
) -> list[Function]:
    """The functions that take the most time, and those that inputs may call."""
    seconds = {(path, line): time for path, line, _, time in profile}
    timed = [(seconds.get((each.module.name, each.line), 0.0), each) for each in target.functions]
    timed.sort(key=lambda pair: pair[0], reverse=True)
    hot = [each for spent, each in timed if spent > 0]
    for spent, each in timed:
        if spent == 0 and not has_inputs:
            report.reasons[each.place] = "no test calls it"
    return hot + ([each for spent, each in timed if spent == 0] if has_inputs else [])


def _candidates(functions: Sequence[Function], report: Report) -> _Work:
    work: _Work = []
    for function in functions:
        candidates = candidates_of(function) if len(work) < _MOST_FUNCTIONS else []
        if candidates:
            work.append((function, candidates))
        else:
            few = len(work) < _MOST_FUNCTIONS
            report.reasons[function.place] = "no rewrite fits" if few else f"{_MOST_FUNCTIONS} functions are hotter"
    return work


def _judge_tests(report: Report, first: Mapping[str, str], second: Mapping[str, str]) -> None:
    """Note the tests that fail, and those whose outcome changed between two runs of the same code."""
    report.flaky = sorted(_other_outcomes(first, second, report))
    report.failed = sorted(
        name for name, outcome in first.items() if outcome not in ("passed", "skipped") and name not in report.flaky
    )


def _judge(work: tuple[Function, list[Candidate]], proof: Proof, report: Report, sandbox: Sandbox) -> Proposal | None:
    """The proposal for a function, where the evidence is enough; else the reason is noted."""
    function, candidates = work
    reason = proof.reason
    differences = "; ".join(sorted({each.difference for each in proof.trials if each.difference}))
    if reason is None and proof.chosen is None:
        reason = f"no rewrite was equal: {differences}"
    if reason is not None or proof.chosen is None:
        report.reasons[function.place] = str(reason)
        return None
    speedups = {name: speedup(pairs) for name, pairs in proof.pairs.items()}
    on = next((name for name, each in speedups.items() if each.low > LEAST), None)
    noisy = next((name for name, each in speedups.items() if each.ratio > 1 and each.high > LEAST), None)
    fewer = None
    if on is None and noisy is not None:  # Times do not tell: how many instructions it takes is the same each time.
        fewer = sandbox.instructions(function, candidates[proof.chosen], proof, noisy)
        on = noisy if fewer is not None and fewer > LEAST else None
    if on is None or speedups["recorded"].ratio < _SLOWER:
        told = ", ".join(f"{each.ratio:.2f} ({each.low:.2f} to {each.high:.2f}) on {name} calls"
                         for name, each in speedups.items())  # fmt: skip
        told += "" if fewer is None else f", {fewer:.2f} times fewer instructions"
        others = f"; others were not equal: {differences}" if differences else ""
        report.reasons[function.place] = f"not certainly {LEAST} times as fast: {told}{others}"
        return None
    return Proposal(function, candidates[proof.chosen], proof, speedups, on, fewer)


def _tested(
    proposals: Sequence[Proposal], tree: Path, sandbox: Sandbox, report: Report, outcomes: Mapping[str, str],
    progress: Progress,
) -> list[Proposal]:  # fmt: skip
    """The proposals with which the tests give what they gave: all at once, or else one by one."""
    if not proposals:
        return []
    progress.say("Running the tests with the proposals in place")
    for group in ([list(proposals)], [[each] for each in proposals]):
        kept = []
        for some in group:
            found = _changes(some, tree, sandbox, report, outcomes)
            if found is None:
                kept += [replace(each, num_tests=len(outcomes) - len(report.flaky)) for each in some]
            elif len(some) == 1:
                late = "the time limit was reached before the tests had run with it"
                report.reasons[some[0].function.place] = f"a test changes with it: {found}" if sandbox.left else late
        if kept or len(proposals) == 1:
            return kept
    return []


def _changes(
    proposals: Sequence[Proposal], tree: Path, sandbox: Sandbox, report: Report, outcomes: Mapping[str, str]
) -> str | None:
    """A test whose outcome is another with ``proposals`` in the copy of the tree, each time that it is tried."""
    changed: set[str] | None = None
    for _ in range(_ROUNDS):
        try:
            found = _outcomes_with(proposals, tree, sandbox, report)
        except DataError as error:
            return error.got
        others = _other_outcomes(outcomes, found, report)
        changed = others if changed is None else changed & others
        if not changed:
            return None
        # A test may have changed by itself.
        report.flaky += sorted(_other_outcomes(outcomes, sandbox.test().outcomes, report))
        changed -= set(report.flaky)
    return min(changed) if changed else None


def _outcomes_with(proposals: Sequence[Proposal], tree: Path, sandbox: Sandbox, report: Report) -> dict[str, str]:
    files = {tree / path.relative_to(report.target.root): content for path, content in changed_files(proposals).items()}
    before = {path: path.read_bytes() for path in files}
    try:
        for path, content in files.items():
            path.write_bytes(content)
        return sandbox.test().outcomes
    finally:
        for path, content in before.items():
            path.write_bytes(content)


def _other_outcomes(first: Mapping[str, str], second: Mapping[str, str], report: Report) -> set[str]:
    """Tests, other than those that are known to be flaky, that do not give the same."""
    return {name for name in {*first, *second} - set(report.flaky) if first.get(name) != second.get(name)}
