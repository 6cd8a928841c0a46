"""Tests in several processes, forked from one that has collected them all, each with a file of tests at a time.

What collecting takes, above all the import of every library that a test uses, is spent once, and once in memory.
``--processes`` says how many.
"""

from __future__ import annotations

import gc
import marshal
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol
from filelock import FileLock

# Bytes of the place of a file among all.
_PLACE = 4


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--processes", type=int, default=1, help="share the files of tests among so many processes")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    option = session.config.option
    if option.processes == 1 or option.collectonly or session.testsfailed:
        return None  # as without this module
    files: dict[Any, list[pytest.Item]] = {}
    for item in session.items:
        files.setdefault(item.path, []).append(item)
    session.config._tmp_path_factory.getbasetemp()  # in which all processes make their folders
    with Workers(session, list(files.values()), number=min(option.processes, len(files))) as workers:
        workers.follow()
    return True


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that ``make`` fills for all processes, in the first of them that asks for it; not to be changed."""
    folder = factory.getbasetemp() / "made_once" / name
    folder.mkdir(parents=True, exist_ok=True)
    is_made = folder.with_suffix(".made")
    with FileLock(folder.with_suffix(".lock")):
        if not is_made.exists():
            make(folder)
            is_made.touch()
    return folder


class Workers:
    """The processes. At the end of a ``with`` they are stopped, each after the test that it runs.

    Args:
        session: hears of each test as if it had run here.
        files: of each file its tests.
        number: of processes.
    """

    def __init__(self, session: pytest.Session, files: Sequence[Sequence[pytest.Item]], *, number: int) -> None:
        self._session = session
        queue, filling = os.pipe()
        self._go_on, self._stop = os.pipe()
        os.write(filling, b"".join(place.to_bytes(_PLACE) for place in range(len(files))))
        os.close(filling)
        sys.stdout.flush()
        gc.freeze()
        self._processes: dict[Connection, int] = {}
        for _ in range(number):
            reports, sending = Pipe(duplex=False)
            process = os.fork()
            if process == 0:
                os.close(self._stop)
                _Worker(session, sending, stop=self._go_on).run(files, queue)
            sending.close()
            self._processes[reports] = process
        os.close(queue)
        gc.unfreeze()

    def __enter__(self) -> Workers:
        return self

    def follow(self) -> None:
        """Pass on what the processes send, until all have ended."""
        running: dict[Connection, dict[str, Any]] = {}
        while self._processes:
            for reports in wait(list(self._processes)):
                assert isinstance(reports, Connection)
                try:
                    name, said = marshal.loads(reports.recv_bytes())
                except EOFError:
                    self._end(reports, running.pop(reports, None))
                    continue
                if name == "pytest_runtest_logstart":
                    running[reports] = said
                elif name == "pytest_runtest_logfinish":
                    del running[reports]
                self._tell(name, said)
                if self._session.shouldfail:
                    raise self._session.Failed(self._session.shouldfail)
                if self._session.shouldstop:
                    raise self._session.Interrupted(self._session.shouldstop)

    def _tell(self, name: str, said: dict[str, Any]) -> None:
        config = self._session.config
        if "report" in said:
            said["report"] = config.hook.pytest_report_from_serializable(config=config, data=said["report"])
        if "warning_message" in said:
            text, category, *where = said["warning_message"]
            said["warning_message"] = warnings.WarningMessage(text, type(category, (Warning,), {}), *where)
            config.hook.pytest_warning_recorded.call_historic(kwargs=said)
        else:
            getattr(config.hook, name)(**said)

    def _end(self, reports: Connection, test: dict[str, Any] | None) -> None:
        """A process has ended, in the middle of ``test`` if there is one."""
        reports.close()
        code = os.waitstatus_to_exitcode(os.waitpid(self._processes.pop(reports), 0)[1])
        if code == 0:
            return
        if test is None:
            raise self._session.Failed(f"a process that runs tests has ended with {code}")
        said = f"the process has ended with {code}; what follows in this file has not run"
        report = pytest.TestReport(**test, keywords={}, outcome="failed", longrepr=said, when="call")
        self._session.config.hook.pytest_runtest_logreport(report=report)

    def __exit__(self, *error: object) -> None:
        os.close(self._stop)
        os.close(self._go_on)
        for reports, process in self._processes.items():
            with suppress(EOFError):
                while True:
                    reports.recv_bytes()
            os.waitpid(process, 0)


class _Worker:
    """What runs in a process: a plugin that sends what is to be told."""

    def __init__(self, session: pytest.Session, sending: Connection, *, stop: int) -> None:
        self._session = session
        self._sending = sending
        self._stop = stop

    def run(self, files: Sequence[Sequence[pytest.Item]], queue: int) -> None:
        """Run one file after the other that no other process has, and end."""
        code = 1
        try:
            config = self._session.config
            capture = config.pluginmanager.getplugin("capturemanager")
            capture.suspend_global_capture(in_=True)
            shared, capture._global_capturing = capture._global_capturing, None
            capture.start_global_capturing()
            own = capture._global_capturing
            for theirs, ours in ((shared.out, own.out), (shared.err, own.err)):
                if theirs and ours:  # The files belong to all processes, and libraries have kept sys.stderr.
                    os.dup2(ours.tmpfile.fileno(), theirs.tmpfile.fileno())
            capture.suspend_global_capture()
            config.pluginmanager.register(self)
            with suppress(KeyboardInterrupt):
                self._run(files, queue)
            self._session._setupstate.teardown_exact(None)
            code = 0
        finally:
            if code:
                sys.excepthook(*sys.exc_info())
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _run(self, files: Sequence[Sequence[pytest.Item]], queue: int) -> None:
        following = _next(files, queue)
        while following and not wait([self._stop], 0):
            item, *rest = following
            following = rest or _next(files, queue)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following[0] if following else None)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        config = item.config
        test = {"nodeid": item.nodeid, "location": item.location}
        self._send("pytest_runtest_logstart", test)
        for report in runtestprotocol(item, log=False, nextitem=nextitem):
            data = config.hook.pytest_report_to_serializable(config=config, report=report)
            self._send("pytest_runtest_logreport", {"report": data})
        self._send("pytest_runtest_logfinish", test)
        return True

    def pytest_warning_recorded(
        self, warning_message: warnings.WarningMessage, when: str, nodeid: str, location: Any
    ) -> None:
        if when != "runtest":
            return  # It was told before the fork.
        one = warning_message
        warning = (str(one.message), one.category.__name__, one.filename, one.lineno)
        said = {"warning_message": warning, "when": when, "nodeid": nodeid, "location": location}
        self._send("pytest_warning_recorded", said)

    def _send(self, name: str, said: dict[str, Any]) -> None:
        with suppress(BrokenPipeError):  # Nobody listens any more.
            self._sending.send_bytes(marshal.dumps((name, said)))


def _next(files: Sequence[Sequence[pytest.Item]], queue: int) -> Sequence[pytest.Item]:
    place = os.read(queue, _PLACE)
    return files[int.from_bytes(place)] if place else ()
