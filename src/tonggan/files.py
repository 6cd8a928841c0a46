"""Files that appear whole or not at all, whatever kills the process or fills the disk; how paths are spelled here."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def path_here(written: str, folder: str | Path) -> str:
    """A path within ``folder`` as it is spelled here: backslashes of Windows are slashes where a file is found so."""
    if "\\" not in written or os.path.exists(os.path.join(folder, written)):  # noqa: PTH110, PTH118 - for many cells
        return written
    spelled = written.replace("\\", "/")
    return spelled if os.path.exists(os.path.join(folder, spelled)) else written  # noqa: PTH110, PTH118


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A place beside ``path`` to write to; when the block ends well, what is there takes the place of ``path``.

    The content reaches the disk before its name does. When the block fails, an older file at ``path`` stays as it was.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        yield partial
        flush(partial)
        partial.replace(path)
        flush(path.parent)  # The renaming too must reach the disk.
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder beside ``path`` to fill; when the block ends well, it takes the place of ``path``.

    Raises:
        OSError: the folder cannot be written, the disk is full, or ``path`` is a folder that is not empty.
    """
    path = path.absolute()
    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
    partial.mkdir(parents=True)
    try:
        yield partial
        for file in partial.rglob("*"):
            flush(file)
        partial.replace(path)
        flush(path.parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def flush(path: Path) -> None:
    """Let a file, or the names in a folder, reach the disk.

    Raises:
        OSError: they cannot.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
