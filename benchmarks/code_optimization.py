"""What ``tonggan code optimize`` finds: thirty slow functions with known better forms, and students' programs.

``slow``: each function of ``benchmarks/slow_functions.py``, against the form that is known to be better.

``refactory``: right programs of the Refactory data (data.zip of its folder in TONGGAN_MIRROR), the slowest quartile of
each question, measured on its tests and on two longer lists. Each proposal is then compared with its program on
inputs that the optimization never saw. Rewrites were chosen on questions 1 to 3; 4 and 5 are for the final numbers.

Run: python benchmarks/code_optimization.py slow
     TONGGAN_MIRROR=… python benchmarks/code_optimization.py refactory 4 5 [--most N]
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import random
import tempfile
import time
import zipfile
from pathlib import Path

import slow_functions
from tonggan.codelm import inside, optimization
from tonggan.codelm.sandbox import run_python
from tonggan.errors import TongganError

INSIDE = Path(inside.__file__).parent
LOAD = f"""
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location(
    "tonggan_inside", {str(INSIDE / "__init__.py")!r}, submodule_search_locations=[{str(INSIDE)!r}]
)
sys.modules["tonggan_inside"] = importlib.util.module_from_spec(spec)
from tonggan_inside.observing import Call, contrast, observe
from tonggan_inside.timing import pairs
request = json.load(sys.stdin)
"""
NAMES = ["unique_day", "unique_month", "contains_unique_day"]
MONTHS = ["January", "March", "May", "July"]


def slow() -> None:
    """How much faster each slow function becomes, beside its known better form."""
    num_found = 0
    print(f"{'function':16} {'as recorded':>22} {'larger':>9} {'known form':>11}  rewrites")
    for name, calls in slow_functions.CALLS.items():
        with tempfile.TemporaryDirectory() as folder:
            source = inspect.getsource(getattr(slow_functions, f"slow_{name}"))
            program, inputs = Path(folder, "slow.py"), Path(folder, "calls.txt")
            program.write_text(f"{slow_functions.IMPORTS}\n\n{source}", encoding="utf-8")
            inputs.write_text("".join(f"slow_{name}({call})\n" for call in calls), encoding="utf-8")
            report = optimization.optimize(f"{program}:slow_{name}", inputs=inputs, time_limit=150.0)
        known = f"{known_ratio(name, calls):.1f}x"
        if not report.proposals:
            print(f"{name:16} {'-':>22} {'':>9} {known:>11}  {next(iter(report.reasons.values()))[:150]}", flush=True)
            continue
        proposal = report.proposals[0]
        num_found += 1
        each, larger = proposal.speedups["recorded"], proposal.speedups.get("grown")
        told = f"{each.ratio:.1f}x ({each.low:.1f} to {each.high:.1f})"
        other = "" if larger is None else f"{larger.ratio:.1f}x"
        print(f"{name:16} {told:>22} {other:>9} {known:>11}  {' + '.join(proposal.candidate.parts)}", flush=True)
    print(f"{num_found} of {len(slow_functions.CALLS)} are proposed faster")


def known_ratio(name: str, calls: list[str]) -> float:
    """How many times faster the known form is on the same calls; both must give the same."""
    source = "".join(inspect.getsource(getattr(slow_functions, f"{kind}_{name}")) for kind in ("slow", "better"))
    imports = slow_functions.IMPORTS + "import heapq\nfrom collections import Counter, defaultdict, deque\n"
    program = f"""{LOAD}
spaces = {{}}
exec(request["source"], spaces)
calls = [Call(eval(f"({{call}},)", spaces), {{}}) for call in request["calls"]]
first, second = spaces["slow_{name}"], spaces["better_{name}"]
for call in calls:
    found = contrast(observe(first, call, seconds=5), observe(second, call, seconds=5))
    if found and "numpy" not in found and "float" not in found:
        sys.exit(f"they differ: {{found}}")
times = pairs(lambda: first, lambda: second, calls, num_pairs=9, seconds=3.0)
print(json.dumps(sorted(one / other for one, other in times)[len(times) // 2]))
"""
    request = json.dumps({"source": imports + source, "calls": calls})
    outcome = run_python(program, timeout=60, max_memory=8 << 30, stdin=request)
    if outcome.status != "passed":
        raise SystemExit(f"{name}: {outcome.errors}")
    return float(outcome.output)


def refactory(questions: list[int], most: int | None) -> None:
    """How many of the slowest quarter of right programs are made faster, and whether any behaves differently."""
    archive = Path(os.environ["TONGGAN_MIRROR"]) / "refactory" / "data.zip"
    for question in questions:
        programs, calls = read_question(archive, question)
        slowest = slowest_quarter(question, programs, calls)
        if most is not None:
            slowest = random.Random(question).sample(slowest, min(most, len(slowest)))
        found, kept, start = {}, {}, time.monotonic()
        for number, name in enumerate(slowest):
            report = optimized(programs[name], calls)
            if report is not None and report.proposals:
                found[name] = report.proposals
                kept[name] = next(iter(report.changed().values())).decode()
            told = "; ".join(f"{'+'.join(each.candidate.parts)} {each.speedups[each.on].low:.2f}x on {each.on}"
                             for each in found.get(name, ()))  # fmt: skip
            why = "" if report is None or name in found else " | ".join(report.reasons.values())
            print(f"  {number + 1}/{len(slowest)} {name}: {told or why[:140]}", flush=True)
        share = len(found) / max(1, len(slowest))
        recorded = sum(any(each.on == "recorded" for each in proposals) for proposals in found.values())
        print(
            f"question {question}: {len(programs)} right programs, {len(slowest)} of the slowest quarter, "
            f"{len(found)} faster ({share:.0%}; {recorded} on the calls as given), {time.monotonic() - start:.0f} s"
        )
        differing = differences(question, {name: (programs[name], kept[name]) for name in kept})
        for within in (True, False):
            names = sorted({name for name, is_within, _ in differing if is_within is within})
            what = "as the task has them" if within else "that the task rules out"
            print(f"question {question}: {len(names)} behave differently on new inputs {what}: {names}", flush=True)
        for name, is_within, what in differing:
            print(f"    {name} ({'within' if is_within else 'outside'}): {what}")


def read_question(archive: Path, question: int) -> tuple[dict[str, str], list[str]]:
    """Programs by name, with what they may import, and the calls of the tests."""
    with zipfile.ZipFile(archive) as file:
        texts = {name: file.read(name).decode("utf-8", "replace") for name in file.namelist()
                 if name.startswith(f"data/question_{question}/") and name.endswith((".py", ".txt"))}  # fmt: skip
    given = next((text for name, text in texts.items() if name.endswith("code/global.py")), "")
    programs = {Path(name).stem: f"{given}\n\n{text}\n" for name, text in texts.items() if "/code/correct/" in name}
    calls = [text.strip() for name, text in sorted(texts.items()) if "/ans/input_" in name]
    return programs, calls + longer_calls(question)


def longer_calls(question: int) -> list[str]:
    """Two calls on longer lists for each function, without equal elements."""
    generator, found = random.Random(question), []
    for length in (30, 100):
        numbers = generator.sample(range(1000), length)
        if question == 1:
            found.append(f"search({generator.randrange(1000)}, {sorted(numbers)})")
        elif question == 2:
            days = tuple((generator.choice(MONTHS), str(generator.randrange(1, 29))) for _ in range(length))
            found += [
                f"unique_day('17', {days})",
                f"unique_month('May', {days})",
                f"contains_unique_day('May', {days})",
            ]
        elif question == 3:
            found.append(f"remove_extras({[number % (length // 2) for number in numbers]})")
        elif question == 4:
            found.append(f"sort_age({[(generator.choice('MF'), number) for number in numbers]})")
        else:
            found.append(f"top_k({numbers}, {length // 3})")
    return found


def slowest_quarter(question: int, programs: dict[str, str], calls: list[str]) -> list[str]:
    """Names of the programs that take the longest on all calls; those that fail or do not end are left out."""
    program = f"""{LOAD}
import contextlib, io, time
times = {{}}
for name, source in request["programs"].items():
    try:
        spaces = {{}}
        with contextlib.redirect_stdout(io.StringIO()):
            exec(source, spaces)
            seconds = []
            for _ in range(3):
                total = 0.0
                for line in request["calls"]:
                    function = spaces[line.partition("(")[0]]
                    arguments = eval("(" + line.partition("(")[2][:-1] + ",)", spaces)
                    start = time.perf_counter()
                    found = observe(function, Call(arguments, {{}}), seconds=2)
                    total += time.perf_counter() - start
                    assert found.end == "returned"
                seconds.append(total)
        times[name] = min(seconds)
    except BaseException:
        pass
print(json.dumps(times))
"""
    request = json.dumps({"programs": programs, "calls": calls})
    outcome = run_python(program, timeout=900, max_memory=4 << 30, stdin=request)
    if outcome.status != "passed":
        raise SystemExit(f"question {question}: {outcome.errors[-500:]}")
    times = json.loads(outcome.output)
    order = sorted(times, key=times.__getitem__, reverse=True)
    return order[: len(order) // 4]


def optimized(program: str, calls: list[str]) -> optimization.Report | None:
    """The report of one program."""
    with tempfile.TemporaryDirectory() as folder:
        file, inputs = Path(folder, "program.py"), Path(folder, "calls.txt")
        file.write_text(program, encoding="utf-8")
        inputs.write_text("\n".join(calls), encoding="utf-8")
        try:
            return optimization.optimize(str(file), inputs=inputs, time_limit=100.0)
        except TongganError as error:
            print(f"    {error}"[:200])
            return None


def differences(question: int, programs: dict[str, tuple[str, str]]) -> list[tuple[str, bool, str]]:
    """Programs that behave differently on new inputs: the name, whether the task allows the input, and how."""
    program = f"""{LOAD}
import contextlib, io
found = []
for name, (before, after) in request["programs"].items():
    spaces = [{{}}, {{}}]
    with contextlib.redirect_stdout(io.StringIO()):
        exec(before, spaces[0])
        exec(after, spaces[1])
    for is_within, called, arguments in request["inputs"]:
        call = Call(tuple(eval(arguments)), {{}})
        first = observe(spaces[0][called], call, seconds=5)
        if first.end in ("stopped", "exhausted"):
            continue
        what = contrast(first, observe(spaces[1][called], call, seconds=5))
        if what:
            found.append((name, is_within, f"{{called}}{{arguments[:100]}}: {{what[:150]}}"))
            if is_within or sum(each[0] == name for each in found) > 2:
                break
print(json.dumps(found))
"""
    request = json.dumps({"programs": programs, "inputs": new_inputs(question)})
    outcome = run_python(program, timeout=900, max_memory=4 << 30, stdin=request)
    if outcome.status != "passed":
        raise SystemExit(f"question {question}: {outcome.errors[-500:]}")
    return [(name, is_within, what) for name, is_within, what in json.loads(outcome.output)]


def new_inputs(question: int) -> list[tuple[bool, str, str]]:
    """Inputs from another generator than Hypothesis: whether the task allows them, the function, the arguments."""
    generator = random.Random(1000 + question)
    found: list[tuple[bool, str, str]] = []
    for index in range(400):
        length = generator.choice([0, 1, 2, 3, 5, 8, 13, 40, 150])
        is_within = index < 300
        numbers = (
            generator.sample(range(-500, 500), length) if is_within else [generator.randrange(6) for _ in range(length)]
        )
        if question == 1:
            kind = generator.choice([tuple, list])
            found.append((is_within, "search", repr((generator.randrange(-500, 500), kind(sorted(numbers))))))
        elif question == 2:
            days = tuple((generator.choice(MONTHS), str(generator.randrange(1, 29))) for _ in range(length))
            wanted = str(generator.randrange(1, 29)), generator.choice(MONTHS), generator.choice(MONTHS)
            found += [(True, name, repr((each, days))) for name, each in zip(NAMES, wanted, strict=True)]
        elif question == 3:
            found.append((True, "remove_extras", repr(([number % generator.randrange(1, 30) for number in numbers],))))
        elif question == 4:
            found.append((is_within, "sort_age", repr(([(generator.choice("MF"), number) for number in numbers],))))
        else:
            # Equal elements are allowed here, more than there are is not.
            most = length if is_within else length + 3
            values = [number % generator.choice([3, 10, 1000]) for number in numbers]
            found.append((is_within, "top_k", repr((values, generator.randrange(most + 1)))))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("slow", "refactory"))
    parser.add_argument("questions", nargs="*", type=int)
    parser.add_argument("--most", type=int, help="programs of each question, chosen at random")
    options = parser.parse_args()
    if options.part == "slow":
        slow()
    else:
        refactory(options.questions or [4, 5], options.most)


if __name__ == "__main__":
    main()
