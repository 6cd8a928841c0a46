"""How long work says how far it is: silent, to the logger ``tonggan``, or as a line that is written over.

Nothing here is global: whoever starts the work passes one down. The command line has one with bars.
"""

from __future__ import annotations

import logging
import sys
import time
import warnings
from collections.abc import Iterable, Iterator, Sized
from pathlib import Path
from types import FrameType
from typing import TextIO, TypeVar

from tonggan.errors import DataWarning

_ItemT = TypeVar("_ItemT")
_logger = logging.getLogger("tonggan")
_SECONDS_BETWEEN = 0.5


class Progress:
    """Receives what a long job does. This base shows nothing; what is said goes to the logger ``tonggan``."""

    def say(self, text: str) -> None:
        """One line that a user should read."""
        _logger.info(text)

    def warn(self, text: str) -> None:
        """One line about what may be wrong, which is shown even where nothing else is."""
        _logger.warning(text)

    def warn_of_data(self, text: str) -> None:
        """One finding of the data doctor; in Python a ``DataWarning`` at the caller's own line."""
        warnings.warn(text, DataWarning, stacklevel=_depth_of_caller())

    def track(self, items: Iterable[_ItemT], *, label: str, total: int | None = None) -> Iterator[_ItemT]:
        """Yield ``items``, counted out of ``total`` under ``label``."""
        yield from items

    def update(self, label: str, *, done: float, total: float, note: str = "") -> None:
        """A job that is not a loop over items stands at ``done`` of ``total``."""

    def scored(self, label: str, number: int, score: float) -> None:
        """The ``number``-th look at what is learned under ``label`` gave a validation score."""


class LineProgress(Progress):
    """Shows how far the work is in one line that is written over: in terminals, and in notebooks without widgets.

    Args:
        stream: where to write; the standard error by default.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._width = 0
        self._shown = 0.0

    def say(self, text: str) -> None:
        super().say(text)
        if not _logger.isEnabledFor(logging.INFO):  # else the logger shows it
            self._write(text, end="\n")

    def warn(self, text: str) -> None:
        self.close()
        super().warn(text)

    def warn_of_data(self, text: str) -> None:
        self.close()
        super().warn_of_data(text)

    def track(self, items: Iterable[_ItemT], *, label: str, total: int | None = None) -> Iterator[_ItemT]:
        if total is None and isinstance(items, Sized):
            total = len(items)
        try:
            for done, item in enumerate(items):
                self.update(label, done=done, total=total or 0)
                yield item
        finally:
            self.close()

    def update(self, label: str, *, done: float, total: float, note: str = "") -> None:
        now = time.monotonic()
        if now - self._shown >= _SECONDS_BETWEEN:
            self._shown = now
            far = f"{done / total:4.0%}" if total else f"{done:,.0f}"
            self._write(f"{label} {far} {note}".rstrip())

    def close(self) -> None:
        """Clear the line."""
        self._write("", end="\r")

    def _write(self, text: str, *, end: str = "") -> None:
        self._stream.write("\r" + text.ljust(self._width) + end)
        self._stream.flush()
        self._width = 0 if end else len(text)


def _depth_of_caller() -> int:
    """How many calls above whoever asks the first file is that is not of this package."""
    package = str(Path(__file__).parent)
    frame: FrameType | None = sys._getframe(1)
    depth = 1
    while frame is not None and frame.f_code.co_filename.startswith(package):
        frame = frame.f_back
        depth += 1
    return depth


def someone_watches() -> bool:
    """Whether the standard error is seen while it is written: by a terminal, or in a notebook."""
    shell = sys.modules.get("IPython")
    kernel = shell is not None and type(shell.get_ipython()).__name__ == "ZMQInteractiveShell"
    return kernel or bool(getattr(sys.stderr, "isatty", lambda: False)())


def chosen_progress(progress: Progress | bool | None) -> Progress:
    """What shows progress: the given one, lines where it is True, and by default where somebody watches."""
    if isinstance(progress, Progress):
        return progress
    return LineProgress() if progress or (progress is None and someone_watches()) else Progress()
