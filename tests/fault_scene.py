"""Work in a process of its own that is killed at one of its changes of files, or whose disk is full from there on.

What is counted is what Python does: opening to write, making, renaming and removing files and folders. Libraries that
write by themselves do so to a name that Python renames afterwards, or into a database with a journal.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

Fault = Literal["kill", "full"]

_CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate")
_TO_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
# Processes are forked from one that has imported what takes long.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["pytest", "torch._dynamo", "torch.utils.tensorboard", "sklearn.metrics", "matplotlib.pyplot", "pyarrow.parquet",
     "jinja2", "tokenizers", "gguf", "tantivy", "tree_sitter_language_pack", "detect_secrets", "datasketch",
     "tonggan.api", "tonggan.runs.fitting", "tonggan.codelm.training.train", "tonggan.codelm.corpus.build",
     "tonggan.codelm.search.code_index", "tonggan.language.gguf_export", "tonggan.language.native_engine",
     "tonggan.models.text_embedder", "compiled_templates"]
)  # fmt: skip


def run(work: Callable[[Path], Any], folder: Path, *, fault: Fault, place: int) -> str:
    """Do ``work(folder)``, whose ``place``-th change of a file in or at ``folder``, counted from 1, fails.

    Returns:
        ``done``, ``killed``, or the message of its error.
    """
    ours, theirs = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_work, args=(theirs, work, folder, fault, place))
    process.start()
    theirs.close()
    try:
        told = str(ours.recv())
    except EOFError:
        told = "killed"
    process.join()
    assert process.exitcode == (-signal.SIGKILL if told == "killed" else 0), f"exit code {process.exitcode} at {place}"
    return told


def outlive_each(work: Callable[[Path], Any], folder: Path, *, fault: Fault) -> list[str]:
    """Do ``work(folder)`` with its first change failing, again with its second one, and so on until one is done.

    Returns:
        What became of each of them; the last is ``done``.
    """
    told: list[str] = []
    while "done" not in told:
        told.append(run(work, folder, fault=fault, place=len(told) + 1))
        # Whatever else goes wrong would go wrong again, without end.
        assert told[-1] in ("done", "killed") or (fault == "full" and os.strerror(errno.ENOSPC) in told[-1]), told[-1]
    return told


def _work(theirs: Connection, work: Callable[[Path], Any], folder: Path, fault: Fault, place: int) -> None:
    import torch

    from tonggan.errors import TongganError

    torch.set_num_threads(1)
    _fail_at(place, folder=str(folder.resolve()), fault=fault)
    told = "done"
    try:
        work(folder)
    except TongganError as error:
        told = str(error)
    theirs.send(told)


def _fail_at(place: int, *, folder: str, fault: Fault) -> None:
    seen = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event == "open":
            path, _, flags = arguments
            if not flags & _TO_WRITE:
                return
        elif event in _CHANGES:
            path, flags = arguments[0], 0
        else:
            return
        if _is_below(folder, path, descriptor=arguments[-1] if event in ("os.remove", "os.rmdir") else -1):
            seen += 1
            if fault == "kill" and seen == place:
                os.kill(os.getpid(), signal.SIGKILL)
            if fault == "full" and seen >= place and event in ("open", "os.mkdir"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    sys.addaudithook(hook)


def _is_below(folder: str, path: Any, *, descriptor: int) -> bool:
    if not isinstance(path, str | bytes | os.PathLike):
        return False
    name = os.fsdecode(path)
    if descriptor >= 0:  # relative to an open folder
        name = os.path.join(os.readlink(f"/proc/self/fd/{descriptor}"), name)  # noqa: PTH115, PTH118
    return os.path.abspath(name).startswith(folder)  # noqa: PTH100
