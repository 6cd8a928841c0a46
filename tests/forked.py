"""Python programs in processes of their own, forked from one that has imported libraries, but nothing of Tonggan.

Arguments, environment, folder, path of modules, streams and exit code are those of ``python ...``; only the seconds
that torch and others take to be imported are saved. What is about a start itself is for ``subprocess``.

``python forked.py`` is the process that is forked: requests come to its socket, in JSON beside open files.
"""

from __future__ import annotations

import atexit
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
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
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


class Process:
    """A program that runs, as ``subprocess.Popen`` has it.

    Args:
        command: ``sys.executable`` with ``-c``, ``-m`` or a file, and arguments; with ``-I`` before them neither the
            folder nor ``PYTHONPATH`` is on the path of modules.
        env: this process's by default.
        cwd: the folder of this process by default.
        stdout: a file for what it prints; by default the attribute of that name has it.
        stderr: likewise, that of this process by default.

    Attributes:
        stdout: what it prints, as text.
    """

    def __init__(
        self, command: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: str | Path | None = None,
        stdout: IO[Any] | None = None, stderr: IO[Any] | None = None,
    ) -> None:  # fmt: skip
        assert command[0] == sys.executable, command
        request = {
            "command": list(command[1:]),
            "environment": dict(os.environ if env is None else env),
            "folder": str(Path.cwd() if cwd is None else cwd),
        }
        status, theirs = os.pipe()
        printed, writing = os.pipe()
        with open(os.devnull) as nothing:  # noqa: PTH123
            files = [nothing.fileno(), stdout.fileno() if stdout else writing, stderr.fileno() if stderr else 2, theirs]
            with tempfile.TemporaryFile() as content:
                content.write(json.dumps(request).encode())
                content.flush()
                socket.send_fds(start(), [b"."], [content.fileno(), *files])
                os.close(theirs)
                os.close(writing)
                self._status = status
                self.pid = self._told()
        self.stdout = os.fdopen(printed)
        self.returncode: int | None = None

    def wait(self) -> int:
        """Its exit code, once it has ended; minus the signal that has ended it."""
        if self.returncode is None:
            self.returncode = self._told()
            os.close(self._status)
        return self.returncode

    def poll(self) -> int | None:
        """The exit code, None as long as it runs."""
        has_ended = self.returncode is not None or select.select([self._status], [], [], 0)[0]
        return self.wait() if has_ended else None

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

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
        self.wait()
        self.stdout.close()


def run(
    command: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: str | Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``command`` to its end, with all that it prints."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        with Process(command, env=env, cwd=cwd, stdout=output, stderr=errors) as process:
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


@cache
def start() -> socket.socket:
    """Start the process that is forked; processes that are forked from here share it."""
    ours, theirs = socket.socketpair()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, __file__, str(theirs.fileno())]
    process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environment)
    theirs.close()

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def import_libraries() -> None:
    """Import them here, for the processes that are forked from this one."""
    for name in LIBRARIES:
        importlib.import_module(name)


def _serve(requests: socket.socket) -> None:
    import_libraries()
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
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    os.write(status, f"{code}\n".encode())
    os._exit(0)


def _become(request: Mapping[str, Any], path: Sequence[str]) -> NoReturn:
    """Do what Python does with the command line, to the end of the interpreter."""
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
        exec(compile(arguments[0], "<string>", "exec"), {"__name__": "__main__"})
    elif first == "-m":
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(first, run_name="__main__")
    sys.exit()


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
