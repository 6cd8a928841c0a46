"""How the command line speaks: bars and remarks on stderr, results on stdout."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Any, TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars

from tonggan.errors import InterruptedRunError
from tonggan.progress import Progress

_ItemT = TypeVar("_ItemT")

stderr = Console(stderr=True, highlight=False)


class ConsoleProgress(Progress):
    """Shows bars with the time left on stderr when that is a terminal, and plain lines otherwise."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def say(self, text: str) -> None:
        self._bars.console.print(escape(text), soft_wrap=True)

    def track(self, items: Iterable[_ItemT], *, label: str, total: int | None = None) -> Iterator[_ItemT]:
        if total is None and isinstance(items, Sized):
            total = len(items)
        yield from self._bars.track(items, total=total, description=escape(label))

    def update(self, label: str, *, done: float, total: float, note: str = "") -> None:
        if label not in self._tasks:
            self._tasks[label] = self._bars.add_task(escape(label), total=total)
        text = f"{label}  {note}" if note else label
        self._bars.update(self._tasks[label], completed=done, total=total, description=escape(text))


@contextmanager
def console_progress() -> Iterator[ConsoleProgress]:
    """A Progress whose bars are drawn until the block ends.

    Raises:
        InterruptedRunError: instead of KeyboardInterrupt, when Ctrl-C ends the block.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=stderr, disable=not stderr.is_terminal) as bars:
        try:
            yield ConsoleProgress(bars)
        except KeyboardInterrupt as stop:
            raise InterruptedRunError(
                "command",
                got="a request to stop (Ctrl-C)",
                expected="to run to the end",
                remedy="Run the same command again: what was read, decoded and trained so far is kept",
            ) from stop


def print_json(value: Any) -> None:
    """One JSON object on stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")


def print_line(text: str = "") -> None:
    """One line of a result on stdout."""
    sys.stdout.write(text + "\n")
