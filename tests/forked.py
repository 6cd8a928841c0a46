"""Python programs in processes of their own, forked from one that has imported libraries and Tonggan.

Arguments, environment, folder, path of modules, streams and exit code are those of ``python ...``; only the seconds
that torch and others take to be imported are saved. What is about a start itself is for ``subprocess``.

``python forked.py`` is the process that is forked, and from it another one that has imported Tonggan as well: requests
come to their sockets, in JSON beside open files.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import IO, TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    import pytest

LIBRARIES = (
    "torch", "torch._dynamo", "torch.distributed", "torch.utils.tensorboard", "sklearn.metrics", "sklearn.ensemble",
    "lightgbm", "matplotlib.pyplot", "pandas", "pyarrow.parquet", "pyarrow.csv", "PIL.Image", "cv2", "pydantic",
    "safetensors.torch", "safetensors.numpy", "typer", "rich.console", "jinja2", "yaml", "tokenizers", "filelock",
)  # fmt: skip
_OF_TONGGAN = ("tonggan.api", "tonggan.runs.fitting", "tonggan.cli.app")
PIPE = subprocess.PIPE

_cpu_seconds: list[float] = []


class Process:
    """A program that runs, as ``subprocess.Popen`` has it.

    Args:
        command: ``sys.executable`` with ``-c``, ``-m`` or a file, and arguments; with ``-I`` before them neither the
            folder nor ``PYTHONPATH`` is on the path of modules.
        env: this process's by default.
        cwd: the folder of this process by default.
        stdin: a file that it reads, or ``PIPE``; nothing by default.
        stdout: a file for what it prints; by default the attribute of that name has it.
        stderr: likewise, or ``PIPE``; that of this process by default.
        is_fresh: it imports Tonggan itself: another one than this, or one that finds other packages.

    Attributes:
        stdin: of a ``PIPE``, where to write to.
        stdout: what it prints, as text.
        stderr: likewise, of a ``PIPE``.
    """

    def __init__(
        self, command: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: str | Path | None = None,
        stdin: IO[Any] | int | None = None, stdout: IO[Any] | None = None, stderr: IO[Any] | int | None = None,
        is_fresh: bool = False,
    ) -> None:  # fmt: skip
        assert command[0] == sys.executable, command
        request = {
            "command": list(command[1:]),
            "environment": dict(os.environ if env is None else env),
            "folder": str(Path.cwd() if cwd is None else cwd),
        }
        status, theirs = os.pipe()
        reading, writing = os.pipe() if stdin == PIPE else (os.open(os.devnull, os.O_RDONLY), None)
        printed, printing = os.pipe()
        told, telling = os.pipe() if stderr == PIPE else (None, None)
        files = [reading if stdin in (None, PIPE) else stdin, printing if stdout is None else stdout]
        files += [2 if stderr is None else stderr if telling is None else telling, theirs]
        with tempfile.TemporaryFile() as content:
            content.write(json.dumps(request).encode())
            content.flush()
            numbers = [each if isinstance(each, int) else each.fileno() for each in (content, *files)]
            socket.send_fds(start()[is_fresh], [b"."], numbers)
            for each in (reading, printing, telling, theirs):
                if each is not None:
                    os.close(each)
            self._status = status
            self.pid = self._told()
        self.stdin = None if writing is None else os.fdopen(writing, "w")
        self.stdout = os.fdopen(printed)
        self.stderr = None if told is None else os.fdopen(told)
        self.returncode: int | None = None

    def wait(self) -> int:
        """Its exit code, once it has ended; minus the signal that has ended it."""
        if self.returncode is None:
            self.returncode = self._told()
            _cpu_seconds.append(self._told() / 1000)
            os.close(self._status)
        return self.returncode

    def poll(self) -> int | None:
        """The exit code, None as long as it runs."""
        has_ended = self.returncode is not None or select.select([self._status], [], [], 0)[0]
        return self.wait() if has_ended else None

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def communicate(self) -> tuple[str, str]:
        """All that it prints, and all that it says beside that in a ``PIPE``, once it has ended."""
        assert self.stderr is not None, "stderr is no PIPE"
        with ThreadPoolExecutor(1) as pool:
            beside = pool.submit(self.stderr.read)
            printed = self.stdout.read()
        self.wait()
        return printed, beside.result()

    def _told(self) -> int:
        """The next line of the process that keeps it, and not a byte more."""
        line = b""
        while not line.endswith(b"\n"):
            piece = os.read(self._status, 1)
            assert piece, "the process from which programs are forked has ended"
            line += piece
        return int(line)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *error: object) -> None:
        if self.stdin is not None:
            self.stdin.close()
        self.wait()
        self.stdout.close()
        if self.stderr is not None:
            self.stderr.close()


def run(
    command: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: str | Path | None = None, lines: str = "",
    is_fresh: bool = False,
) -> subprocess.CompletedProcess[str]:  # fmt: skip
    """Run ``command`` to its end, with all that it prints; it reads ``lines``."""
    with ExitStack() as stack:
        given, output, errors = (stack.enter_context(tempfile.TemporaryFile("w+")) for _ in range(3))
        given.write(lines)
        given.seek(0)
        streams = {"stdin": given, "stdout": output, "stderr": errors}
        with Process(command, env=env, cwd=cwd, is_fresh=is_fresh, **streams) as process:
            code = process.wait()
        printed = []
        for file in (output, errors):
            file.seek(0)
            printed.append(file.read())
    return subprocess.CompletedProcess(list(command), code, *printed)


def run_together(command: Sequence[str], *, number: int) -> list[subprocess.CompletedProcess[str]]:
    """Run ``command`` in ``number`` processes that train one model, as torchrun does: each has its rank."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    common = {"WORLD_SIZE": str(number), "LOCAL_WORLD_SIZE": str(number), "MASTER_ADDR": "127.0.0.1"}
    common |= {"MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    ranks = [{**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(number)]
    start()
    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(lambda env: run(command, env=env), ranks))


def instead_of_subprocess(module: str, patch: pytest.MonkeyPatch) -> None:
    """Programs that ``module`` starts are forked from now on."""
    in_its_place = SimpleNamespace(Popen=Process, run=lambda command, **_: run(command))
    patch.setattr(f"{module}.subprocess", in_its_place)


def seconds() -> float:
    """Of the processor, that programs which have been waited for here have taken."""
    return sum(_cpu_seconds)


@cache
def start() -> tuple[socket.socket, socket.socket]:
    """Start the processes that are forked, with Tonggan and without; processes that are forked from here share them."""
    pairs = [socket.socketpair() for _ in range(2)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    numbers = [theirs.fileno() for _, theirs in pairs]
    process = subprocess.Popen([sys.executable, __file__, *map(str, numbers)], pass_fds=numbers, env=environment)
    for _, theirs in pairs:
        theirs.close()

    def end() -> None:
        for ours, _ in pairs:
            ours.close()
        process.wait()

    atexit.register(end)
    return pairs[0][0], pairs[1][0]


def import_libraries() -> None:
    """Import them here, for the processes that are forked from this one."""
    for name in LIBRARIES:
        importlib.import_module(name)


def _start(knowing: socket.socket, fresh: socket.socket) -> None:
    import_libraries()
    mine, other, names = (knowing, fresh, _OF_TONGGAN) if os.fork() == 0 else (fresh, knowing, ())
    other.close()
    for name in names:
        importlib.import_module(name)
    gc.freeze()
    _serve(mine)


def _serve(requests: socket.socket) -> None:
    path = sys.path[1:]  # without the folder of this file
    while True:
        data, files, *_ = socket.recv_fds(requests, 1, 5)
        if not data:
            break
        if os.fork() == 0:
            requests.close()
            _keep(files, path)
        for file in files:
            os.close(file)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
    with suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def _keep(files: Sequence[int], path: Sequence[str]) -> None:
    """Fork the program, and write its number and its exit code, for whom it is no child of."""
    content, *streams, status = files
    ready, go = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(go)
        os.read(ready, 1)
        os.close(status)
        with os.fdopen(content, "rb") as file:
            file.seek(0)
            request = json.load(file)
        for place, stream in enumerate(streams):
            os.dup2(stream, place)
            os.close(stream)
        _become(request, path)
    os.write(status, f"{process}\n".encode())
    os.write(go, b".")
    for stream in streams:
        os.close(stream)
    _, ended, usage = os.wait4(process, 0)
    milliseconds = round(1000 * (usage.ru_utime + usage.ru_stime))
    os.write(status, f"{os.waitstatus_to_exitcode(ended)}\n{milliseconds}\n".encode())
    os._exit(0)


def _become(request: Mapping[str, Any], path: Sequence[str]) -> NoReturn:
    """Do what Python does with the command line, to its end."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    is_isolated = request["command"][0] == "-I"
    first, *arguments = request["command"][is_isolated:]
    added = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    start = {"-c": "", "-m": str(Path.cwd())}.get(first, str(Path(first).resolve().parent))
    sys.path[:] = list(path) if is_isolated else [start, *added, *path]
    sys.argv[:] = ["-c", *arguments[1:]] if first == "-c" else arguments if first == "-m" else [first, *arguments]
    if first == "-c":
        _end_after(lambda: exec(compile(arguments[0], "<string>", "exec"), {"__name__": "__main__"}))
    elif first == "-m":
        _end_after(lambda: runpy.run_module(arguments[0], run_name="__main__", alter_sys=True))
    else:
        _end_after(lambda: runpy.run_path(first, run_name="__main__"))


def _end_after(program: Callable[[], object]) -> NoReturn:
    """End as the interpreter does after ``program``, but without taking down what is imported, which takes a second.

    After Ctrl-C the interpreter ends it.
    """
    code: object = None
    try:
        program()
    except SystemExit as stop:
        code = stop.code
    except Exception:  # noqa: BLE001 - whatever the program raises
        sys.excepthook(*sys.exc_info())
        code = 1
    if code is not None and not isinstance(code, int):
        sys.stderr.write(f"{code}\n")
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # Nobody reads it.
        code = 120
    os._exit((code or 0) & 0xFF)


if __name__ == "__main__":
    _start(*(socket.socket(fileno=int(number)) for number in sys.argv[1:]))
