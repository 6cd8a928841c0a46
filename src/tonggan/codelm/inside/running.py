"""Runs what the user calls tests, in this process: pytest, ``python -m MODULE`` and ``python FILE``."""

from __future__ import annotations

import io
import os
import runpy
import shlex
import sys
import traceback
from pathlib import Path
from typing import Any

_MOST_TESTS = 20_000
_MOST_MESSAGES, _LONGEST_MESSAGE = 20, 300


class NoCommandError(Exception):
    """A command that is no program of Python."""


def prepare_path(tree: str) -> None:
    """Let modules be found as they are in a development install: in the tree, or in its ``src``."""
    for folder in (Path(tree) / "src", Path(tree)):
        if folder.is_dir():
            sys.path.insert(0, str(folder))


def run_command(command: str, *, messages: dict[str, str] | None = None) -> dict[str, str]:
    """Outcome of each test by its name; of a program, which names none, that of the whole.

    Args:
        command: of Python.
        messages: gets what tests say that fail, by their names.

    Raises:
        NoCommandError: ``command`` is no program of Python.
    """
    words = shlex.split(command)
    if words and Path(words[0]).name.startswith("python"):
        words = words[1:]
        if words[:1] == ["-m"] and len(words) > 1:
            return (
                _run_pytest(words[2:], messages) if words[1] == "pytest" else _run(words[1], words[1:], is_module=True)
            )
        if words and not words[0].startswith("-"):
            return _run(words[0], words, is_module=False)
    elif words and Path(words[0]).name in ("pytest", "py.test"):
        return _run_pytest(words[1:], messages)
    elif words and words[0].endswith(".py"):
        return _run(words[0], words, is_module=False)
    raise NoCommandError(command)


class _Outcomes:
    """A plugin of pytest."""

    def __init__(self, messages: dict[str, str] | None) -> None:
        self.found: dict[str, str] = {}
        self._messages = {} if messages is None else messages

    def pytest_runtest_logreport(self, report: Any) -> None:
        if len(self.found) < _MOST_TESTS and (report.when == "call" or report.outcome != "passed"):
            self.found[report.nodeid] = report.outcome
            self._keep(report.nodeid, report)

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            name = f"{report.nodeid} (collection)"
            self.found[name] = "failed"
            self._keep(name, report)

    def _keep(self, name: str, report: Any) -> None:
        if report.failed and len(self._messages) < _MOST_MESSAGES:
            crash = getattr(report.longrepr, "reprcrash", None)
            whole = str(report.longrepr)
            errors = " ".join(line[2:].strip() for line in whole.splitlines() if line.startswith("E "))
            said = crash.message if crash is not None else errors or whole[-_LONGEST_MESSAGE:]
            self._messages[name] = " ".join(said.split())[:_LONGEST_MESSAGE]


def _run_pytest(options: list[str], messages: dict[str, str] | None) -> dict[str, str]:
    import pytest

    plugin = _Outcomes(messages)
    code = pytest.main(["-p", "no:cacheprovider", *options], plugins=[plugin])
    if not plugin.found:
        return {"pytest": f"exit code {int(code)}"}
    return plugin.found


def _run(name: str, words: list[str], *, is_module: bool) -> dict[str, str]:
    before = sys.argv
    sys.argv = list(words)
    try:
        if is_module:
            runpy.run_module(name, run_name="__main__", alter_sys=True)
        else:
            sys.path.insert(0, str(Path(name).resolve().parent))
            runpy.run_path(name, run_name="__main__")
    except SystemExit as stop:
        return {"program": "passed" if stop.code in (None, 0) else f"exit code {stop.code}"[:100]}
    except Exception:  # noqa: BLE001 - the user's own
        traceback.print_exc()
        return {"program": "failed"}
    finally:
        sys.argv = before
    return {"program": "passed"}


class Said:
    """What was printed while a block ran; the end of it is kept for the user."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._kept: list[int] = []

    def __enter__(self) -> Said:
        sys.stdout.flush()
        sys.stderr.flush()
        self._kept = [os.dup(1), os.dup(2)]
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, 1)
        os.dup2(file, 2)
        os.close(file)
        return self

    def __exit__(self, *_: object) -> None:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOBase) and not stream.closed:
                stream.flush()
        for number, kept in zip((1, 2), self._kept, strict=True):
            os.dup2(kept, number)
            os.close(kept)

    def end(self, most: int = 2000) -> str:
        """The last characters."""
        return Path(self._path).read_text(encoding="utf-8", errors="replace")[-most:]
