"""What a review is worth: drift between code and docstrings that is put into packages, and packages as they are.

Run: python benchmarks/code_review.py drift [--seed 0] [--each 20]
     python benchmarks/code_review.py as-is [--sample 50]
     python benchmarks/code_review.py time
     python benchmarks/code_review.py diff --base HEAD~1

`drift` takes installed packages that no setting of a rule was chosen on, changes one thing in each of many functions
(the code, and for types the docstring), and reviews the package before and after. A change is found where a new finding
of a rule that is about such a change names the changed parameter or exception. Precision counts as wrong all other new
findings, and in its strict form also what was found in the same functions before the change. Which functions qualify is
decided by plain searches of the docstring's text, not by the parser of the review. `as-is` prints findings to be read
one by one; `time` reviews 10,000 lines; `diff` takes the time of `--diff` on the repository that one stands in.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import io
import random
import re
import resource
import subprocess
import sys
import sysconfig
import time
import tokenize
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tonggan.codelm.review import Finding, Repository, review
from tonggan.codelm.review.applying import apply
from tonggan.codelm.review.module import Function
from tonggan.codelm.review.reviewing import chosen_rules, read_repository

HELD_OUT = ("accelerate", "datasketch", "fsspec", "matplotlib", "peft", "PIL", "pooch", "scipy", "urllib3", "werkzeug")
AS_THEY_ARE = (*HELD_OUT, "audioread", "chardet", "httpx", "markdown", "music21", "narwhals", "numpy", "pandas",
               "sqlalchemy", "tqdm")  # fmt: skip
RULES = {
    "parameter renamed": ("docstring-unknown-parameter", "docstring-missing-parameter"),
    "parameter dropped": ("docstring-unknown-parameter",),
    "parameter added": ("docstring-missing-parameter",),
    "default changed": ("docstring-default",),
    "exception changed": ("docstring-raises",),
    "type swapped": ("docstring-type",),
}
EXCEPTIONS = ("ValueError", "TypeError", "KeyError", "IndexError", "OSError", "AttributeError", "RuntimeError")
TYPES = ("int", "str", "bool", "float", "list", "dict")
_APART = {"int": "str", "str": "int", "bool": "str", "float": "str", "list": "int", "dict": "bool"}


@dataclass(frozen=True)
class Change:
    """One thing that was changed: the lines of a function, and what a finding must name."""

    kind: str
    path: str
    start: int
    end: int
    lines: tuple[str, ...]
    names: tuple[str, ...]


def packages() -> Path:
    return Path(sysconfig.get_paths()["purelib"])


def folder_of(name: str) -> Path:
    spec = __import__("importlib.util", fromlist=["util"]).find_spec(name)
    return Path(spec.origin).parent


def docstring_of(function: Function) -> str:
    first = function.node.body[0]
    is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return first.value.value if is_text and isinstance(first.value.value, str) else ""


def tells(docstring: str, name: str) -> re.Match[str] | None:
    """A line of the docstring that opens with a parameter's name, in any style."""
    return re.search(
        rf"^[ \t]*(?::param\s+(?:[\w\[\], ]+\s+)?|@param\s+)?`*{re.escape(name)}`*\s*(?:\(|:|,|$)",
        docstring,
        re.MULTILINE,
    )


def arguments_of(function: Function) -> list[ast.arg]:
    """Named parameters without ``self`` and private ones."""
    given = function.node.args
    named = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    if function.owner and "staticmethod" not in function.decorators:
        named = named[1:]
    return [each for each in named if not each.arg.startswith("_")]


def with_signature(function: Function, arguments: ast.arguments) -> list[str] | None:
    """The lines of the function with other parameters, as many as before."""
    module, node = function.module, function.node
    lines = module.lines[node.lineno - 1 : node.end_lineno]
    opening = closing = None
    depth = 0
    try:
        for token in tokenize.generate_tokens(io.StringIO("\n".join(lines) + "\n").readline):
            if token.string == "(":
                opening = opening or token.end
                depth += 1
            elif token.string == ")":
                depth -= 1
                if depth == 0 and opening:
                    closing = token.start
                    break
    except (tokenize.TokenError, IndentationError):
        return None
    if opening is None or closing is None:
        return None
    (row, column), (last, end) = opening, closing
    head = lines[row - 1][:column] + ast.unparse(arguments)
    rest = lines[last - 1][end:]
    middle = [head + rest] if last == row else [head, *[""] * (last - row - 1), rest]
    return [*lines[: row - 1], *middle, *lines[last:]]


def copy_of(arguments: ast.arguments) -> ast.arguments:
    return ast.parse(f"def f({ast.unparse(arguments)}): ...").body[0].args


def named(function: Function, kind: str, lines: list[str] | None, *names: str) -> Iterator[Change]:
    node = function.node
    if lines is not None:
        yield Change(kind, function.module.path, node.lineno, node.end_lineno or 0, tuple(lines), names)


def renamed(function: Function, pool: list[str], rng: random.Random) -> Iterator[Change]:
    told = [each.arg for each in arguments_of(function) if tells(docstring_of(function), each.arg)]
    if not told:
        return
    old = rng.choice(told)
    new = rng.choice(pool)
    if re.search(rf"\b{new}\b", "\n".join(function.module.lines[function.node.lineno - 1 : function.node.end_lineno])):
        return
    arguments = copy_of(function.node.args)
    for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        each.arg = new if each.arg == old else each.arg
    lines = with_signature(function, arguments)
    if lines is None:
        return
    first = function.node.body[1].lineno if len(function.node.body) > 1 else None
    for node in ast.walk(function.node) if first else ():
        if isinstance(node, ast.Name) and node.id == old and node.lineno >= first:
            place = node.lineno - function.node.lineno
            lines[place] = re.sub(rf"(?<![\w.'\"]){old}(?![\w'\"]|\s*=[^=])", new, lines[place])
    yield from named(function, "parameter renamed", lines, old, new)


def dropped(function: Function, rng: random.Random) -> Iterator[Change]:
    told = [each.arg for each in arguments_of(function) if tells(docstring_of(function), each.arg)]
    if not told or function.node.args.kwarg or function.node.args.vararg:
        return  # who takes any name has not lost one
    old = rng.choice(told)
    arguments = copy_of(function.node.args)
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + arguments.defaults
    kept = [(each, value) for each, value in zip(positional, defaults, strict=True) if each.arg != old]
    keyword = [
        (each, value)
        for each, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if each.arg != old
    ]
    arguments.posonlyargs, arguments.args = [], [each for each, _ in kept]
    arguments.defaults = [value for _, value in kept if value is not None]
    arguments.kwonlyargs, arguments.kw_defaults = [each for each, _ in keyword], [value for _, value in keyword]
    yield from named(function, "parameter dropped", with_signature(function, arguments), old)


def added(function: Function, pool: list[str], rng: random.Random) -> Iterator[Change]:
    names = [each.arg for each in arguments_of(function)]
    docstring = docstring_of(function)
    if len(names) < 2 or not all(tells(docstring, name) for name in names):
        return
    new = rng.choice(pool)
    if new in names or re.search(rf"\b{new}\b", docstring):
        return
    arguments = copy_of(function.node.args)
    arguments.kwonlyargs.append(ast.arg(new))
    arguments.kw_defaults.append(ast.Constant(None))
    yield from named(function, "parameter added", with_signature(function, arguments), new)


def redefaulted(function: Function, rng: random.Random) -> Iterator[Change]:
    docstring = docstring_of(function)
    arguments = copy_of(function.node.args)
    positional = [*arguments.posonlyargs, *arguments.args][-len(arguments.defaults) or None :]
    pairs = [
        *zip(positional, arguments.defaults, strict=False),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]
    for each, value in rng.sample(pairs, len(pairs)):
        found = tells(docstring, each.arg)
        if found is None or not isinstance(value, ast.Constant) or value.value is None:
            continue
        entry = re.split(r"\n\s*\n|\n\s*:", docstring[found.start() : found.start() + 600])[0]
        if not re.search(
            rf"default\w*(?:\s*(?:=|:|is|to))*\s*[`'\"]*{re.escape(str(value.value))}\b", entry, re.IGNORECASE
        ):
            continue
        old = value.value
        value.value = (not old) if isinstance(old, bool) else old + 7 if isinstance(old, int | float) else f"{old}_new"
        yield from named(function, "default changed", with_signature(function, arguments), each.arg)
        return


def reraised(function: Function, rng: random.Random) -> Iterator[Change]:
    docstring = docstring_of(function)
    section = re.search(r"^\s*Raises?\s*:?\s*$.*|^\s*:raises?\b.*", docstring, re.DOTALL | re.MULTILINE)
    raised = Counter(
        node.exc.func.id
        for node in function.own_nodes
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name)
    )
    told = [name for name in raised if section and re.search(rf"\b{name}\b", section[0])]
    if not told or any(isinstance(node, ast.Try) for node in function.own_nodes):
        return
    old = rng.choice(sorted(told))
    new = rng.choice([each for each in EXCEPTIONS if each != old and each not in docstring])
    lines = function.module.lines[function.node.lineno - 1 : function.node.end_lineno]
    start = (function.node.body[0].end_lineno or 0) - function.node.lineno + 1
    lines[start:] = [re.sub(rf"\braise {old}\b", f"raise {new}", line) for line in lines[start:]]
    yield from named(function, "exception changed", lines, new)


def retyped(function: Function) -> Iterator[Change]:
    for each in arguments_of(function):
        kind = ast.unparse(each.annotation) if each.annotation else ""
        if kind not in TYPES:
            continue
        lines = function.module.lines[function.node.lineno - 1 : function.node.end_lineno]
        patterns = (
            rf"^(\s*`*{each.arg}`*\s*\(`*){kind}\b",
            rf"^(\s*{each.arg}\s*:\s*`*){kind}\b",
            rf"(:param ){kind}(?= {each.arg}:)",
        )
        for place, line in enumerate(lines):
            for pattern in patterns:
                new = re.sub(pattern, lambda found, kind=kind: found[1] + _APART[kind], line)
                if new != line and place > 0 and each.lineno != function.node.lineno + place:
                    lines[place] = new
                    yield from named(function, "type swapped", lines, each.arg)
                    return


KINDS: dict[str, Callable[[Function, list[str], random.Random], Iterator[Change]]] = {
    "parameter renamed": renamed,
    "parameter dropped": lambda function, _, rng: dropped(function, rng),
    "parameter added": added,
    "default changed": lambda function, _, rng: redefaulted(function, rng),
    "exception changed": lambda function, _, rng: reraised(function, rng),
    "type swapped": lambda function, *_: retyped(function),
}


def functions_of(repository: Repository) -> list[Function]:
    return [
        function
        for module in repository.reviewed_modules()
        for function in module.functions
        if len(docstring_of(function)) > 80
        and not module.is_test
        and not any("overload" in d for d in function.decorators)
    ]


def changes_in(repository: Repository, *, each: int, seed: int) -> list[Change]:
    """At most ``each`` changes of each kind, no two in one function or in one that is inside of the other."""
    functions = functions_of(repository)
    pool = sorted({
        argument.arg for function in functions for argument in arguments_of(function) if len(argument.arg) > 3
    })  # fmt: skip
    taken: set[tuple[str, int]] = set()
    found: list[Change] = []
    for kind, make in KINDS.items():
        rng = random.Random(f"{seed} {kind} {repository.root.name}")
        count = 0
        for function in rng.sample(functions, len(functions)):
            lines = {
                (function.module.path, line)
                for line in range(function.node.lineno, (function.node.end_lineno or 0) + 1)
            }
            if count == each:
                break
            for change in make(function, pool, rng) if pool and not lines & taken else ():
                if change.lines != tuple(function.module.lines[change.start - 1 : change.end]):
                    found.append(change)
                    taken |= lines
                    count += 1
    return found


def changed(repository: Repository, changes: list[Change]) -> Repository:
    """The repository with all changes made; each leaves the lines of others where they are."""
    files = []
    for module in repository.reviewed_modules():
        lines = list(module.lines)
        for change in changes:
            if change.path == module.path:
                assert len(change.lines) == change.end - change.start + 1
                lines[change.start - 1 : change.end] = change.lines
        text = "\n".join(lines)
        try:
            ast.parse(text)
        except SyntaxError as error:
            raise SystemExit(f"a change breaks {module.path}: {error}") from error
        files.append(
            replace(module.source, text=text, sha256=hashlib.sha256(text.encode("utf-8", "replace")).hexdigest())
        )
    return Repository(repository.root, files, former=repository)


def found_in(repository: Repository) -> list[Finding]:
    names = [name for name in chosen_rules(()) if name.startswith("docstring-")]
    return [finding for name in names for finding in apply(name, repository)[0]]


def drift(arguments: argparse.Namespace) -> None:
    total: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    wrong: list[Finding] = []
    before_in = 0
    for name in arguments.packages or HELD_OUT:
        repository = read_repository([folder_of(name)])
        changes = changes_in(repository, each=arguments.each, seed=arguments.seed)
        before = {(finding.rule, finding.path, finding.message) for finding in found_in(repository)}
        old = found_in(repository)
        new = [
            each
            for each in found_in(changed(repository, changes))
            if (each.rule, each.path, each.message) not in before
        ]
        right: set[int] = set()
        for change in changes:
            hits = [
                index
                for index, each in enumerate(new)
                if each.path == change.path
                and change.start <= each.start_line <= change.end
                and each.rule in RULES[change.kind]
                and any(f"'{each_name}'" in each.message or each_name in each.message for each_name in change.names)
            ]
            right |= set(hits)
            total[change.kind]["changed"] += 1
            total[change.kind]["found"] += bool(hits)
            if not hits and arguments.verbose:
                print("missed", name, change.kind, change.path, change.start, change.names)
            before_in += sum(each.path == change.path and change.start <= each.start_line <= change.end for each in old)
        wrong += [each for index, each in enumerate(new) if index not in right]
        print(f"{name:12} {len(changes):4} changes, {len(right):4} right, {len(new) - len(right):3} wrong", flush=True)
    for kind, counts in total.items():
        share = counts["found"] / max(1, counts["changed"])
        print(f"{kind:20} {counts['found']:4} of {counts['changed']:4} found ({share:.1%})")
    num_right, num_changed = (
        sum(each["found"] for each in total.values()),
        sum(each["changed"] for each in total.values()),
    )
    strict = num_right / (num_right + len(wrong) + before_in)
    print(f"recall {num_right / num_changed:.1%} of {num_changed}")
    print(f"precision {num_right / (num_right + len(wrong)):.1%} ({len(wrong)} wrong)")
    print(f"precision {strict:.1%} with the {before_in} findings that were there before the changes counted as wrong")
    for each in wrong[: arguments.sample]:
        print("wrong", each.path, each.start_line, each.rule, each.message)


def as_is(arguments: argparse.Namespace) -> None:
    every: list[tuple[str, Finding]] = []
    for name in arguments.packages or AS_THEY_ARE:
        done = review([folder_of(name)])
        every += [(name, finding) for finding in done.findings]
        counts = Counter(finding.rule for finding in done.findings)
        print(
            f"{name:12} {done.num_lines:8,} lines {done.seconds:6.1f} s {len(done.findings):4} findings {dict(counts)}",
            flush=True,
        )
    rng = random.Random(arguments.seed)
    for name, each in rng.sample(every, min(arguments.sample, len(every))):
        print(f"\n{name}/{each.path}:{each.start_line} [{each.rule}] {each.confidence:.2f}\n  {each.message}")
        for reason in each.evidence:
            print(f"    {reason.path}:{reason.line} | {reason.text[:160]}")


def timed(_: argparse.Namespace) -> None:
    folder = folder_of("click")
    start = time.perf_counter()
    done = review([folder])
    print(f"{done.num_lines:,} lines in {time.perf_counter() - start:.1f} s: {len(done.findings)} findings")


def diff(arguments: argparse.Namespace) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "tonggan", "code", "review", ".", "--diff", arguments.base]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{said.splitlines()[-1]}: {seconds:.1f} s of processor time with the start of the program")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["drift", "as-is", "time", "diff"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--each", type=int, default=20, help="changes of each kind in each package")
    parser.add_argument("--packages", nargs="*", help="others than those held out, to choose settings on")
    parser.add_argument("--sample", type=int, default=50)
    parser.add_argument("--base", default="HEAD~1", help="commit that `diff` compares with")
    parser.add_argument("--verbose", action="store_true", help="name what was missed")
    arguments = parser.parse_args()
    {"drift": drift, "as-is": as_is, "time": timed, "diff": diff}[arguments.part](arguments)


if __name__ == "__main__":
    main()
