"""Python code that nobody has read, run in a process of its own with little that it can reach.

Where it is Linux, the kernel enforces that it opens no socket, starts no process, signals none and sets no priority
(seccomp, on x86-64 and ARM64), holds no right of root (capabilities), writes only to its temporary folder and reads
only there and what is installed (Landlock, from Linux 5.13 on), ends with the process that started it, and takes no
more memory, time and file size than it is given. Where the system lets its users make namespaces, it sees no other
process, network, host name or shared memory at all.
What it still can do: read installed packages, fill the temporary folder's disk, use a processor for as long as it is
given, and attack the kernel itself. On other systems, or where a kernel refuses, the limits of memory and time remain,
and sockets and processes are refused inside Python only, which code that means harm gets around; ``Outcome.protection``
says what held, and root is refused. It is made for code that errs, such as a model's: for code from an enemy, use a
virtual machine.
"""

from __future__ import annotations

import fcntl
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

from tonggan.errors import ConfigError

_PREFIX = "tonggan-sandbox-"
_ABANDONED = 60  # seconds after which a folder that nobody has locked is in nobody's use
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
        protection: what the kernel enforced, out of namespaces, files, network, processes.
    """

    status: Literal["passed", "failed", "timeout"]
    exit_code: int
    output: str
    errors: str
    seconds: float
    protection: tuple[str, ...]


def run_python(
    code: str, *, timeout: float = 5.0, max_memory: int = 1 << 30, stdin: str = "", tree: Path | None = None
) -> Outcome:
    """Run ``code`` as a program of its own, with what is installed, in a temporary folder that is then deleted.

    Args:
        code: source of a program.
        timeout: seconds.
        max_memory: bytes of address space.
        stdin: what it can read.
        tree: a folder of plain files whose copy the temporary folder holds; it is empty otherwise.

    Raises:
        ConfigError: the user is root, and the kernel does not take root's rights from the program.
    """
    with _temporary_folder() as root:
        if tree is None:
            (root / "work").mkdir()
        else:
            shutil.copytree(tree, root / "work", symlinks=True)
        (root / "program.py").write_text(code, encoding="utf-8", errors="surrogatepass")
        work = str(root / "work")
        limits = {"folder": work, "memory": max_memory, "seconds": timeout, "parent": os.getpid()}
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
        if report == "refused:":
            raise ConfigError(
                "sandbox",
                got="the user root, on a system whose kernel takes no rights from a program",
                expected="another user, or Linux with seccomp on x86-64 or ARM64",
                remedy="Run as an ordinary user",
            )
        protection = tuple(report.removeprefix("guarded:").split()) if report.startswith("guarded:") else ()
        is_late = is_late or process.returncode == -signal.SIGXCPU
        status: Literal["passed", "failed", "timeout"] = "timeout" if is_late else "failed"
        if process.returncode == 0 and not is_late:
            status = "passed"
        return Outcome(status, process.returncode, _read(root / "output"), said, seconds, protection)


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    """An empty folder that is deleted whatever a program leaves in it: ``tempfile`` fails where it is deep."""
    _delete_abandoned()
    root = Path(tempfile.mkdtemp(prefix=_PREFIX))
    held = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield root
    finally:
        os.close(held)
        _delete(root)


def _delete_abandoned() -> None:
    """Delete what processes that were killed have left; a folder that is in use is locked."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):  # It belongs to another user, or has just gone.
            held = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                status = os.fstat(held)
                if status.st_uid == os.getuid() and time.time() - status.st_mtime > _ABANDONED:
                    _delete(folder)
            finally:
                os.close(held)


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
