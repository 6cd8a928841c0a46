"""A new function on trial: examples, sessions of an interpreter, the user's tests, and what it gives for calls."""

from __future__ import annotations

import ast
import contextlib
import doctest
import functools
import hashlib
import io
import itertools
import operator
import re
import signal
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .deriving import derive, groups
from .observing import Call
from .placing import UnplacedError, module_of
from .running import run_command

_LONGEST = 300  # characters of a value that is shown
_ITEMS = 100  # of a generator that are compared


class LateError(BaseException):
    """A check has taken its time."""


def attempt(request: dict[str, Any], tree: str) -> dict[str, Any]:
    """Checks with what was got and expected, and a fingerprint of what each call gives.

    After a check that takes longer than ``seconds`` there are no others.
    """
    checks: list[dict[str, Any]] = []
    outputs: list[dict[str, str]] = []
    seconds = float(request["seconds"])
    if request["examples"] or request["sessions"] or request["calls"]:
        try:
            module = module_of(str(Path(tree) / request["path"]), tree)
        except UnplacedError as error:
            return {"checks": [_check(f"module {request['path']}", str(error), "", passed=False)]}
        names = {module.__name__.rpartition(".")[2]: module, **module.__dict__}
        try:
            for source, got, expected in request["examples"]:
                _run_example(source, got, expected, dict(names), seconds, checks)
            for session in request["sessions"]:
                _run_session(session, dict(names), seconds, checks)
        except LateError:
            return {"checks": checks}
        outputs = _outputs(module, request, seconds)
    if request["tests"]:
        messages: dict[str, str] = {}
        outcomes = run_command(request["tests"], messages=messages)
        for name, outcome in outcomes.items():
            said = messages.get(name, outcome).replace(f"{tree}/", "")
            checks.append(_check(name, said, "", passed=outcome in ("passed", "skipped", "xfailed")))
    return {"checks": checks, "outputs": outputs}


def _check(source: str, got: str, expected: str, *, passed: bool) -> dict[str, Any]:
    return {"source": source[:_LONGEST], "passed": passed, "got": got[:_LONGEST], "expected": expected[:_LONGEST]}


def _run_example(
    source: str, got: str, expected: str, names: dict[str, Any], seconds: float, checks: list[dict[str, Any]]
) -> None:
    def run() -> dict[str, Any]:
        if not got:
            value = _evaluated(source, names)
            return _check(source, _shown(value), "a true value", passed=bool(value))
        left = _evaluated(got, names)
        right = _evaluated(expected, names)
        return _check(source, _shown(left), _shown(right), passed=bool(left == right))

    made = _within(seconds, run)
    checks.append(made if isinstance(made, dict) else _check(source, made, expected, passed=False))
    _stop_if_late(made, seconds)


def _evaluated(expression: str, names: dict[str, Any]) -> Any:
    return eval(compile(expression, "example", "eval"), names)  # noqa: S307 - it is what the sandbox is for


def _within(seconds: float, run: Callable[[], Any]) -> Any:
    """What ``run`` gives; a text where it fails or takes longer."""
    try:
        with alarm(seconds):
            return run()
    except LateError:
        return _late(seconds)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - what is on trial may raise all
        return f"{type(error).__name__}: {error}"[:_LONGEST]


def _late(seconds: float) -> str:
    return f"no end within {seconds:g} s"


def _stop_if_late(made: Any, seconds: float) -> None:
    if made == _late(seconds):
        raise LateError


@contextlib.contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Inside, ``LateError`` is raised after ``seconds``."""

    def ring(_number: int, _frame: types.FrameType | None) -> None:
        raise LateError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _shown(value: Any) -> str:
    return repr(value)[:_LONGEST]


class Literals(doctest.OutputChecker):
    """What is written otherwise, as by other quotes, is the same where both are literals of one value."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        if super().check_output(want, got, optionflags):
            return True
        try:
            one, other = ast.literal_eval(want.strip()), ast.literal_eval(got.strip())
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return False
        return type(one) is type(other) and bool(one == other)


def _run_session(text: str, names: dict[str, Any], seconds: float, checks: list[dict[str, Any]]) -> None:
    """Each example of a text as an interpreter would run it, one after another."""
    for example in doctest.DocTestParser().get_examples(text):
        printed = io.StringIO()
        made = _within(seconds, functools.partial(_run_line, example.source, names, printed))
        got = f"{made}\n" if made is not None else printed.getvalue()
        want = example.exc_msg if made is not None and example.exc_msg is not None else example.want
        flags = functools.reduce(operator.or_, (flag for flag, is_set in example.options.items() if is_set), 0)
        if want or made is not None:
            passed = Literals().check_output(want, got, flags) and (made is None) == (example.exc_msg is None)
            shown = got.strip() or "nothing"
            checks.append(_check(example.source.strip(), shown, example.want.strip(), passed=passed))
        _stop_if_late(made, seconds)


def _run_line(source: str, names: dict[str, Any], printed: io.StringIO) -> None:
    with contextlib.redirect_stdout(printed):
        exec(compile(source, "example", "single"), names)  # noqa: S102 - it is what the sandbox is for


def _outputs(module: types.ModuleType, request: dict[str, Any], seconds: float) -> list[dict[str, str]]:
    """What the function gives for the calls, and for others that are derived from them."""
    function = module.__dict__.get(request["name"])
    calls = [each for text in request["calls"] if (each := _literal_call(text)) is not None]
    if not callable(function) or not calls:
        return []
    derived = derive(groups(calls)[0], most=request["derived"]) if request["derived"] else []
    found = []
    for call in itertools.chain(calls, derived):
        given = _within(min(1.0, seconds), functools.partial(_result, function, call.copied()))
        text = re.sub(r" at 0x[0-9a-f]+", "", repr(given))
        arguments = [*map(repr, call.arguments), *(f"{name}={value!r}" for name, value in call.keywords.items())]
        shown = f"{request['name']}({', '.join(arguments)})"
        given = text[1:-1] if isinstance(given, list) else given
        digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]
        found.append({"call": shown[:_LONGEST], "got": given[:_LONGEST], "digest": digest})
    return found


def _result(function: Callable[..., Any], call: Call) -> list[Any]:
    """What a call gives, in a list so that no text stands for an error; of a generator the first items."""
    value = function(*call.arguments, **call.keywords)
    return [list(itertools.islice(value, _ITEMS)) if isinstance(value, Iterator) else value]


def _literal_call(text: str) -> Call | None:
    node = ast.parse(text, mode="eval").body
    if not isinstance(node, ast.Call):
        return None
    arguments = tuple(ast.literal_eval(each) for each in node.args)
    return Call(arguments, {each.arg: ast.literal_eval(each.value) for each in node.keywords if each.arg})
