"""The examples of docstrings and documents as they run today, beside what they show."""

from __future__ import annotations

import ast
import contextlib
import doctest
import functools
import io
import operator
import re
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .placing import UnplacedError, module_of
from .trying import LateError, Literals, alarm

_LONGEST = 600  # characters of an output
_LENIENT = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
_NUMBER = re.compile(r"-?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?")
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_NETWORK = {"socket.py", "ssl.py", "client.py", "request.py"}
_PROCESSES = {"subprocess.py", "popen_fork.py", "popen_spawn_posix.py", "popen_forkserver.py"}


def run_examples(request: dict[str, Any], tree: str) -> dict[str, Any]:
    """What became of each session of ``request``: how many of its examples ran, and how it ended.

    A session ends with the first example that fails or is left out, for what follows may need it; a document's goes on,
    since its blocks are often independent. A name that is missing and in ``known`` was only not imported.
    """
    end = time.monotonic() + float(request["seconds"])
    own = {path.stem for folder in (Path(tree), Path(tree) / "src") if folder.is_dir() for path in folder.iterdir()}
    known = own | set(request["known"])
    sessions = [_Session(each, tree, end, float(request["each"]), own, known) for each in request["sessions"]]
    return {"sessions": [session.run() for session in sessions]}


class _Session:
    """Examples that share their names."""

    def __init__(
        self, asked: dict[str, Any], tree: str, end: float, each: float, own: set[str], known: set[str]
    ) -> None:
        self._asked, self._tree, self._end, self._each, self._own, self._known = asked, tree, end, each, own, known
        self._results: list[list[Any]] = []  # number of the example, outcome, what was got or why it was left out

    def run(self) -> list[list[Any]]:
        names: dict[str, Any] = {"__name__": "__main__"}
        if self._asked["module"]:
            try:
                with alarm(max(self._each, 30.0)), contextlib.redirect_stdout(io.StringIO()):
                    names = dict(vars(module_of(str(Path(self._tree) / self._asked["module"]), self._tree)))
            except (UnplacedError, LateError) as error:
                reason = self._reason(error.__cause__ or error) or "module"
                return [[number, "left out", reason] for number in range(len(self._asked["examples"]))]
        for number, example in enumerate(self._asked["examples"]):
            outcome, got = self._outcome(example, names)
            self._results.append([number, outcome, got[:_LONGEST]])
            if outcome != "as shown" and self._asked["module"]:
                rest = range(number + 1, len(self._asked["examples"])) if outcome == "left out" else ()
                return self._results + [[each, "left out", got] for each in rest]
        return self._results

    def _outcome(self, example: dict[str, Any], names: dict[str, Any]) -> tuple[str, str]:
        if time.monotonic() > self._end:
            return "left out", "time"
        printed = io.StringIO()
        mode = "single" if example["is_session"] else "exec"
        try:
            with alarm(self._each), contextlib.redirect_stdout(printed):
                exec(compile(example["source"], "example", mode), names)  # noqa: S102 - it is what the sandbox is for
        except (Exception, SystemExit, LateError) as error:  # noqa: BLE001 - whatever an example raises
            return self._raised(error, example)
        got = printed.getvalue()
        if example["raises"] is not None or (example["want"] and not _agree(example, example["want"], got)):
            return "differs", got
        return "as shown", got

    def _raised(self, error: BaseException, example: dict[str, Any]) -> tuple[str, str]:
        told = "".join(traceback.format_exception_only(type(error), error))
        if example["raises"] is not None and _type_of(example["raises"]) == type(error).__name__:
            return "as shown", told
        if isinstance(error, SystemExit) and error.code in (None, 0):
            return "as shown", told
        reason = "file" if _misses_file(error, example["source"]) else self._reason(error)
        if reason is not None:
            return "left out", reason
        return ("differs" if example["raises"] is not None else "raises"), told

    def _reason(self, error: BaseException) -> str | None:
        """Why an error says nothing of the code: the sandbox, the machine or the page lacks what it needs."""
        for each in _chain(error):
            files = {Path(frame.filename).name for frame in traceback.extract_tb(each.__traceback__)}
            if isinstance(each, LateError):
                return "time"
            if isinstance(each, ModuleNotFoundError) and (each.name or "").partition(".")[0] not in self._own:
                return "package"
            if isinstance(each, ModuleNotFoundError) and not self._asked["module"]:
                return "name"  # a page may say how to write that module
            if files & _PROCESSES or isinstance(each, BrokenPipeError):
                return "processes"
            if isinstance(each, OSError) and (files & _NETWORK or isinstance(each, ConnectionError)):
                return "network"
            if isinstance(each, FileNotFoundError | EOFError | IsADirectoryError):
                return "file"
            if isinstance(each, PermissionError | MemoryError | BlockingIOError):
                return "refused"
            if isinstance(each, NameError) and not isinstance(each, UnboundLocalError):
                missing = next((got for _, outcome, got in self._results if outcome == "left out"), None)
                if missing is not None:  # what this needs may have been made there
                    return str(missing)
                if not self._asked["module"] or each.name in self._known:
                    return "name"
        return None


def _misses_file(error: BaseException, source: str) -> bool:
    """Whether an error names a path that the example has and that is not there."""
    try:
        names = {node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)}
    except (SyntaxError, ValueError):
        return False
    paths = {name for name in names if isinstance(name, str) and re.fullmatch(r"[\w-]*[./][\w./-]+", name)}
    return any(name in str(error) and not Path(name).exists() for name in paths)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__ or each.__context__


def _type_of(told: str) -> str:
    """The name of the error in a traceback's last line; what it says may have changed."""
    return told.partition(":")[0].strip().rpartition(".")[2]


def _agree(example: dict[str, Any], want: str, got: str) -> bool:
    flags = functools.reduce(operator.or_, (doctest.OPTIONFLAGS_BY_NAME.get(name, 0) for name in example["options"]), 0)
    want, got = _ADDRESS.sub("", want), _ADDRESS.sub("", got)
    return Literals().check_output(want, got, flags | _LENIENT) or _numbers_agree(want, got)


def _numbers_agree(want: str, got: str) -> bool:
    """Whether two outputs differ only in numbers, and in these by less than the last digit that is shown."""
    if [part.split() for part in _NUMBER.split(want)] != [part.split() for part in _NUMBER.split(got)]:
        return False
    for one, other in zip(_NUMBER.findall(want), _NUMBER.findall(got), strict=True):
        digits = len(one.partition("e")[0].partition(".")[2])
        exponent = int(one.lower().partition("e")[2] or 0)
        if abs(float(one) - float(other)) > (10.0 ** (exponent - digits) if "." in one or "e" in one.lower() else 0):
            return False
    return True
