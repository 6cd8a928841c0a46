"""The program in the sandbox: one step, asked as JSON on stdin and answered as JSON on stdout."""

from __future__ import annotations

import base64
import contextlib
import cProfile
import gc
import json
import marshal
import os
import sys
import time
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .exemplifying import run_examples
from .observing import Call, watch_effects
from .placing import Place, UnplacedError, module_of, plain
from .proving import Compared, Subject
from .recording import MOST_CALLS, Recorded, Recorder
from .running import NoCommandError, Said, prepare_path, run_command
from .timing import pairs, peak_memory, sample
from .trying import attempt

_SAID = "tonggan-said.txt"
_GAIN = 1.02  # that a further rewrite must add
_KEPT = 3  # candidates of each size that are extended
_NUM_QUICK, _NUM_PAIRS = 7, 31
_MOST_PACKED = 1 << 20  # bytes of calls that are sent along to be made again


def main() -> None:
    """Read the request, do the step, print the answer as the last line."""
    request = json.load(sys.stdin)
    channel = os.dup(1)
    tree = os.path.realpath(Path.cwd())
    prepare_path(tree)
    answer: dict[str, Any] = {}
    with Said(_SAID) as said:
        try:
            answer = _STEPS[request["step"]](request, tree)
        except NoCommandError:
            answer = {"problem": "command"}
        except (Exception, SystemExit) as error:  # noqa: BLE001 - what the user's code leaves behind
            traceback.print_exc()
            answer = {"problem": f"{type(error).__name__}: {error}"[:300]}
    with os.fdopen(channel, "w") as out:
        out.write(json.dumps({**answer, "said": said.end()}) + "\n")
    os._exit(0)  # Threads that tests have left do not keep it.


def test(request: dict[str, Any], _tree: str) -> dict[str, Any]:
    """Outcomes of the tests."""
    return {"outcomes": run_command(request["tests"])}


def profile(request: dict[str, Any], tree: str) -> dict[str, Any]:
    """Outcomes of the tests, and the time of each function of the tree: file, line, calls, seconds."""
    profiler = cProfile.Profile()
    try:
        outcomes = profiler.runcall(run_command, request["tests"])
    finally:
        profiler.disable()
    functions = []
    for entry in profiler.getstats():
        if isinstance(entry.code, str):
            continue
        file = os.path.realpath(entry.code.co_filename)
        if file.startswith(tree + os.sep):
            name = os.path.relpath(file, tree)
            functions.append([name, entry.code.co_firstlineno, entry.callcount, entry.totaltime])
    return {"outcomes": outcomes, "functions": functions}


def prove(request: dict[str, Any], tree: str) -> dict[str, Any]:
    """Record the calls of the functions, then compare and time their candidates."""
    end = time.monotonic() + request["begin_within"]
    functions = request["functions"]
    records = [Recorded((f"{tree}/{each['path']}", each["line"])) for each in functions]
    outcomes = {}
    if request["tests"]:
        with Recorder(records):
            outcomes = run_command(request["tests"])
    problems = _record_inputs(request["inputs"], functions, records, tree)
    watch_effects()
    gc.freeze()  # What is there now is not looked through again before each measurement.
    answers = []
    for function, recorded in zip(functions, records, strict=True):
        try:
            if time.monotonic() < end:
                answer = _prove_one(function, recorded, tree, request["seconds"] / len(functions))
            else:
                answer = {"reason": "the time limit was reached before it was proven"}
        except UnplacedError as error:
            answer = {"reason": str(error)}
        answers.append({
            **answer, "name": function["name"], "path": function["path"], "num_recorded": len(recorded.calls),
            "num_seen": recorded.num_seen, "left_out": recorded.left_out,
        })  # fmt: skip
    return {"outcomes": outcomes, "functions": answers, "problems": problems}


def count(request: dict[str, Any], tree: str) -> dict[str, Any]:
    """Make calls again, for valgrind to count instructions; without a call, what is counted is all around them."""
    place = Place(module_of(f"{tree}/{request['path']}", tree), request["name"])
    function = place.put(place.build(request["source"], request["imports"]))
    calls = [Call(*each) for each in marshal.loads(base64.b64decode(request["calls"]))]  # noqa: S302
    sample(function if request["is_called"] else (lambda *_, **__: None), calls, request["repeats"])
    return {}


_STEPS = {
    "profile": profile, "test": test, "prove": prove, "count": count, "try": attempt, "examples": run_examples,
}  # fmt: skip


def _record_inputs(
    lines: list[tuple[int, str]], functions: list[dict[str, Any]], records: list[Recorded], tree: str
) -> list[str]:
    """Make the calls of a file of inputs, each in the module of the function that it begins with; those that fail."""
    problems = []
    for number, line in lines:
        name = line.partition("(")[0].strip()
        found = [each for each in functions if each["name"] in (name, name.rpartition(".")[2])]
        if not found:
            continue
        try:
            spaces = vars(module_of(f"{tree}/{found[0]['path']}", tree))
            with Recorder(records), contextlib.suppress(Exception):  # Calls that raise are inputs too.
                eval(line, spaces)  # noqa: S307 - it is what the sandbox is for
        except UnplacedError as error:
            problems.append(f"line {number}: {error}")
    return problems


def _prove_one(function: dict[str, Any], recorded: Recorded, tree: str, seconds: float) -> dict[str, Any]:
    if not recorded.calls:
        why = "; ".join(recorded.left_out) or "no call of it was recorded"
        return {"reason": why}
    place = Place(module_of(f"{tree}/{function['path']}", tree), function["name"])
    subject = Subject(place, place.build(function["source"], []))
    try:
        end = time.monotonic() + seconds / 3
        reason = subject.select(recorded.calls[:MOST_CALLS], end=end)
        return {"reason": reason} if reason is not None else _Search(subject, function, seconds).answer()
    finally:
        place.put(place.original)


class _Search:
    """The fastest few of each number of families are extended by one more."""

    def __init__(self, subject: Subject, function: dict[str, Any], seconds: float) -> None:
        self._subject = subject
        self._candidates = {tuple(each["parts"]): each for each in function["candidates"]}
        self._end = time.monotonic() + seconds
        self._built: dict[tuple[str, ...], Any] = {}
        self._trials: list[dict[str, Any]] = []

    def answer(self) -> dict[str, Any]:
        """What was tried, and the evidence for the best."""
        speeds: dict[tuple[str, ...], float] = {}
        best: tuple[str, ...] | None = None
        extended: list[tuple[str, ...]] = [()]
        for size in range(1, 1 + max(len(parts) for parts in self._candidates)):
            level = [each for each in self._candidates if len(each) == size and each[:-1] in extended]
            for parts in level:
                whole = (parts[0].partition("#")[0],)
                is_needless = "#" in parts[-1] and whole in speeds  # All of its sites are right.
                if is_needless or (speeds and time.monotonic() > self._end) or not self._prove(parts):
                    continue
                speeds[parts] = self._speed(parts)
                if best is None or speeds[parts] > speeds[best] * (_GAIN if len(parts) > len(best) else 1.0):
                    best = parts
            extended = sorted((each for each in level if each in speeds), key=speeds.__getitem__)[-_KEPT:]
        if best is None:
            return {"trials": self._trials}
        return {"trials": self._trials, "chosen": self._candidates[best]["id"], **self._evidence(best)}

    def _prove(self, parts: tuple[str, ...]) -> bool:
        candidate = self._candidates[parts]
        compared = Compared()
        try:
            self._built[parts] = self._subject.place.build(candidate["source"], candidate["imports"])
            found = self._subject.prove(self._built[parts], compared)
        except UnplacedError as error:
            found = str(error)
        self._trials.append({"id": candidate["id"], "difference": found, **asdict(compared)})
        return found is None

    def _speed(self, parts: tuple[str, ...]) -> float:
        """How much faster than the original, by a few pairs on recorded and larger calls."""
        product = 1.0
        for calls in self._workloads().values():
            ratios = sorted(first / max(second, 1e-9) for first, second in self._pairs(parts, calls, _NUM_QUICK, 0.5))
            product *= ratios[len(ratios) // 2]
        return product

    def _workloads(self) -> dict[str, list[Call]]:
        found = {"recorded": self._subject.timed}
        if self._subject.large:
            found["grown"] = self._subject.large[-1:]
        return found

    def _pairs(self, parts: tuple[str, ...], calls: list[Call], num: int, seconds: float) -> list[tuple[float, float]]:
        put = self._subject.place.put
        first, second = self._subject.original, self._built[parts]
        return pairs(lambda: put(first), lambda: put(second), calls, num_pairs=num, seconds=seconds)

    def _evidence(self, best: tuple[str, ...]) -> dict[str, Any]:
        subject = self._subject
        growth = []
        for call in [*subject.calls[-1:], *subject.large]:
            times = sorted(self._pairs(best, [call], 5, 2.0))
            size = max((len(each) for each in call.arguments if hasattr(each, "__len__")), default=0)
            growth.append([size, *times[len(times) // 2]])
        last = (subject.large or subject.calls)[-1]
        memory = [peak_memory(plain(each), last, seconds=10.0) for each in (subject.original, self._built[best])]
        measured = {name: self._pairs(best, calls, _NUM_PAIRS, 4.0) for name, calls in self._workloads().items()}
        packed = {name: found for name, calls in self._workloads().items() if (found := _packed(calls)) is not None}
        return {"growth": growth, "memory": memory, "pairs": measured, "packed": packed}


def _packed(calls: list[Call]) -> str | None:
    """Calls of plain values as text, from which another process makes them again; None for others."""
    parts = [each.packed for each in calls]
    if any(part is None for part in parts) or sum(len(part or b"") for part in parts) > _MOST_PACKED:
        return None
    return base64.b64encode(marshal.dumps([(each.arguments, each.keywords) for each in calls])).decode()
