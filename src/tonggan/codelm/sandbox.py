"""Python code that nobody has read, run in a process of its own with little that it can reach.

Where it is Linux, the kernel enforces that it opens no socket (seccomp), writes only to its temporary folder (Landlock,
from Linux 5.13 on), starts no process, signals none, ends with the process that started it, and takes no more memory,
time and file size than it is given.
What it still can do: read whatever the user can read, fill the temporary folder's disk, use a processor for as long as
it is given, and attack the kernel itself. On other systems, or where a kernel refuses, the limits of memory and time
remain, and sockets and processes are refused inside Python only, which code that means harm gets around;
``Outcome.protection`` says what held. It is made for code that errs, such as a model's: for code from an enemy, use a
virtual machine.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_GUARD = Path(__file__).with_name("sandbox_guard.py")
_MOST_OUTPUT = 1 << 20  # bytes that are read of each stream
_GRACE = 0.5  # seconds of the wall clock beyond the limit, for starting Python


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    Attributes:
        status: passed where it ended with exit code 0, timeout where it was killed for its time, else failed.
        exit_code: negative for a signal.
        output: what it wrote to stdout.
        errors: what it wrote to stderr.
        seconds: that it took.
        protection: what the kernel enforced, out of files, network, processes.
    """

    status: Literal["passed", "failed", "timeout"]
    exit_code: int
    output: str
    errors: str
    seconds: float
    protection: tuple[str, ...]


def run_python(code: str, *, timeout: float = 5.0, max_memory: int = 1 << 30, stdin: str = "") -> Outcome:
    """Run ``code`` as a program of its own, with what is installed, in an empty temporary folder that is then deleted.

    Args:
        code: source of a program.
        timeout: seconds.
        max_memory: bytes of address space.
        stdin: what it can read.
    """
    with _temporary_folder() as root:
        (root / "work").mkdir()
        (root / "program.py").write_text(code, encoding="utf-8", errors="surrogatepass")
        work = str(root / "work")
        limits = {"folder": work, "memory": max_memory, "seconds": timeout}
        with (root / "output").open("wb") as output, (root / "errors").open("wb") as errors:
            start = time.monotonic()
            process = subprocess.Popen(
                [sys.executable, "-I", "-B", str(_GUARD), str(root / "program.py"), json.dumps(limits)],
                cwd=work,
                env={"PATH": os.defpath, "HOME": work, "TMPDIR": work, "LANG": "C.UTF-8"},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=errors,
                start_new_session=True,
            )
            is_late = _feed_and_wait(process, stdin, timeout=timeout + _GRACE)
            seconds = time.monotonic() - start
        written = _read(root / "errors")
        report, _, said = written.partition("\n")
        protection = tuple(report.removeprefix("guarded:").split()) if report.startswith("guarded:") else ()
        is_late = is_late or process.returncode == -signal.SIGXCPU
        status: Literal["passed", "failed", "timeout"] = "timeout" if is_late else "failed"
        if process.returncode == 0 and not is_late:
            status = "passed"
        return Outcome(status, process.returncode, _read(root / "output"), said, seconds, protection)


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    """An empty folder that is deleted whatever a program leaves in it: ``tempfile`` fails where it is deep."""
    root = Path(tempfile.mkdtemp(prefix="tonggan-sandbox-"))
    try:
        yield root
    finally:
        _delete(root)


def _delete(root: Path) -> None:
    """Folders inside folders are moved up one by one, for their paths may be longer than the system takes."""
    num_moved = 0
    while folders := [Path(entry) for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False)]:
        for folder in folders:
            folder.chmod(0o700)
            for entry in list(os.scandir(folder)):
                if entry.is_dir(follow_symlinks=False):
                    Path(entry).chmod(0o700)
                    num_moved += 1
                    Path(entry).rename(root / f"moved-{num_moved}")
                else:
                    Path(entry).unlink()
            folder.rmdir()
    shutil.rmtree(root)


def _feed_and_wait(process: subprocess.Popen[bytes], stdin: str, *, timeout: float) -> bool:
    """Whether it was killed for its time. What it may have started in its own session ends with it."""
    is_late = False
    try:
        process.communicate(stdin.encode(), timeout=timeout)
    except subprocess.TimeoutExpired:
        is_late = True
    finally:
        with suppress(ProcessLookupError):  # all have ended by themselves
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return is_late


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_MOST_OUTPUT).decode("utf-8", errors="replace")
