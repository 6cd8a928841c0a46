"""The one place where git is called: a closed list of questions to it, none of which starts a program of a repository.

A repository that was copied from elsewhere has a ``.git/config`` of its making, and git runs what it names: monitors,
hooks, signers, transports for objects that were promised, filters, pagers. Git is asked here with the environment and
the configuration of nobody, with those settings overruled, with no protocol allowed, and within bounds.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from tonggan.errors import DataError

Question = Literal["cat-file", "check-ignore", "log", "ls-files", "ls-tree", "merge-base", "rev-parse"]

_SECONDS = 20.0
_MAX_BYTES = 256_000_000
_CHUNK = 1 << 20
_MAX_SAID = 4000  # bytes of git's complaint that are kept
_NOT_TRUSTED = b"dubious ownership"

# What a repository's configuration could start, or read without end. Values on the command line come after all files.
_OVERRULED = {
    "core.alternateRefsCommand": "false",
    "core.askPass": "",
    "core.attributesFile": os.devnull,
    "core.editor": "false",
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.pager": "cat",
    "core.sshCommand": "false",
    "credential.helper": "",
    "diff.external": "",
    "diff.orderFile": os.devnull,
    "gpg.openpgp.program": "false",
    "gpg.program": "false",
    "gpg.ssh.defaultKeyCommand": "",
    "gpg.ssh.program": "false",
    "gpg.x509.program": "false",
    "i18n.logOutputEncoding": "utf-8",
    "log.mailmap": "false",
    "log.showSignature": "false",
    "maintenance.auto": "false",
    "safe.bareRepository": "explicit",  # a folder of the repository that looks like one is none
    "submodule.recurse": "false",
}
_OPTIONS: dict[Question, tuple[str, ...]] = {
    "cat-file": (),
    "check-ignore": (),
    "log": ("--no-show-signature", "--no-ext-diff", "--no-textconv", "--no-mailmap", "--no-notes", "--no-color"),
    "ls-files": (),
    "ls-tree": (),
    "merge-base": (),
    "rev-parse": (),
}
_ENVIRONMENT = {
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_ASKPASS": "",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_SSH_COMMAND": "false",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",  # its complaints are read here
    "SSH_ASKPASS": "",
}


def run_git(
    folder: Path, question: Question, *arguments: str, seconds: float = _SECONDS, max_bytes: int = _MAX_BYTES
) -> bytes | None:
    """What git answers in ``folder``; None where there is no repository, no answer, or no git. It changes nothing.

    The user's own configuration of git is not read, except for the files of ignored names in its usual place.

    Args:
        folder: where it is asked.
        question: the command of git.
        arguments: of the command.
        seconds: that it may take.
        max_bytes: that it may print.

    Raises:
        DataError: it took too long or said too much, or the repository belongs to another user.
    """
    settings = [part for name, value in _OVERRULED.items() for part in ("-c", f"{name}={value}")]
    command = ["git", "--no-pager", *settings, "-C", str(folder), question, *_OPTIONS[question], *arguments]
    who = f"git {question} in {folder}"
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError), _started(command) as process:
        output, said = _read(process, who, seconds=seconds, max_bytes=max_bytes)
        if process.returncode == 0:
            return output
        if _NOT_TRUSTED in said:
            raise DataError(
                who,
                got="a repository that belongs to another user, which git does not trust",
                expected="one of this user's",
                remedy="Make it yours (chown -R) if you trust it; 'safe.directory' is not read here",
            )
    return None


@contextmanager
def _started(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a group of its own, all of which is gone in the end."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment | _ENVIRONMENT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def _read(process: subprocess.Popen[bytes], who: str, *, seconds: float, max_bytes: int) -> tuple[bytes, bytes]:
    """All that it prints, and the beginning of its complaint."""
    assert process.stdout is not None
    assert process.stderr is not None
    output, said = bytearray(), bytearray()
    end = time.monotonic() + seconds
    with selectors.DefaultSelector() as ready:
        for pipe in (process.stdout, process.stderr):
            ready.register(pipe, selectors.EVENT_READ)
        while ready.get_map():
            events = ready.select(max(0.0, end - time.monotonic()))
            if not events:
                raise _limit(who, f"no answer within {seconds:g} s")
            for key, _ in events:
                chunk = os.read(key.fd, _CHUNK)
                if not chunk:
                    ready.unregister(key.fileobj)
                elif key.fileobj is process.stdout:
                    output += chunk
                else:
                    said += chunk[: _MAX_SAID - len(said)]
            if len(output) > max_bytes:
                raise _limit(who, f"more than {max_bytes:,} bytes")
    try:
        process.wait(max(0.1, end - time.monotonic()))
    except subprocess.TimeoutExpired as error:
        raise _limit(who, f"no end within {seconds:g} s") from error
    return bytes(output), bytes(said)


def _limit(who: str, got: str) -> DataError:
    return DataError(
        who,
        got=got,
        expected="an answer within bounds",
        remedy="Look for a pipe or a device among the repository's .gitignore and .git files; git itself waits for it",
    )
