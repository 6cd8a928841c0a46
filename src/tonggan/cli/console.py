"""How the command line speaks: bars and remarks on stderr, results on stdout."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Any, TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars

from tonggan.cli.translation import shown
from tonggan.errors import InterruptedRunError
from tonggan.progress import Progress

_ItemT = TypeVar("_ItemT")

_SECONDS_BETWEEN_LINES = 10.0

stderr = Console(stderr=True, highlight=False)


class ConsoleProgress(Progress):
    """Shows bars on stderr when that is a terminal, with the time left and at the end the time taken; else lines.

    Where it is none, a line now and then says how far work is that takes long.
    """

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}
        self._said = time.monotonic()

    def say(self, text: str) -> None:
        self._said = time.monotonic()
        self._bars.console.print(escape(shown(text)), soft_wrap=True)

    def warn(self, text: str) -> None:
        self.say(text)

    def warn_of_data(self, text: str) -> None:
        self.say(text)

    def track(self, items: Iterable[_ItemT], *, label: str, total: int | None = None) -> Iterator[_ItemT]:
        if total is None and isinstance(items, Sized):
            total = len(items)
        task = self._task(label, total, anew=True)
        done = 0
        try:
            for item in items:
                done += 1
                yield item
                self._bars.advance(task)
                self._say_sometimes(label, done, total)
        finally:  # The bar ends here also where no total was known, or the rest was not needed.
            self._bars.update(task, completed=max(done, 1), total=max(done, 1))

    def update(self, label: str, *, done: float, total: float, note: str = "") -> None:
        self._bars.update(self._task(label, total), completed=done, total=total, note=escape(shown(note)))
        self._say_sometimes(label, done, total, note)

    def _say_sometimes(self, label: str, done: float, total: float | None, note: str = "") -> None:
        """How far the work is, where no bar shows it and nothing was said for a while."""
        if self._bars.disable and time.monotonic() - self._said >= _SECONDS_BETWEEN_LINES:
            far = f"{done / total:.0%}" if total else f"{done:,.0f}"
            self.say(f"{_opening(label)}: {far}{', ' if note else ''}{shown(note)}")

    def _task(self, label: str, total: float | None, *, anew: bool = False) -> TaskID:
        """The bar of ``label``: one, however often such work is done."""
        if label not in self._tasks:
            self._tasks[label] = self._bars.add_task(escape(_opening(label)), total=total, note="")
        elif anew:
            self._bars.reset(self._tasks[label], total=total)
        return self._tasks[label]


def _opening(label: str) -> str:
    """What work is called, in the reader's language, as a line begins."""
    said = shown(label)
    return said[:1].upper() + said[1:]


@contextmanager
def console_progress() -> Iterator[ConsoleProgress]:
    """A Progress whose bars are drawn until the block ends.

    Raises:
        InterruptedRunError: instead of KeyboardInterrupt, when Ctrl-C ends the block.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=16),
        TaskProgressColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[note]}", style="dim"),
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


def visible(text: str) -> str:
    """Control characters as pictures of them, one for one: what a repository holds must not steer the terminal."""
    pictures = {code: 0x2400 + code for code in range(32) if chr(code) != "\t"}
    return text.translate(pictures | dict.fromkeys(range(0x7F, 0xA0), 0xFFFD))
