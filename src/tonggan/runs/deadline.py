"""Ends the reading of files when a run's time limit is over, for without all of them there is nothing to train on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from tonggan.errors import ConfigError
from tonggan.progress import Progress
from tonggan.training import Budget
from tonggan.training.budget import describe_seconds

_ItemT = TypeVar("_ItemT")


class Deadline(Progress):
    """Passes on to ``progress`` what work that has no model yet tells, as long as ``budget`` lasts."""

    def __init__(self, progress: Progress, *, budget: Budget) -> None:
        self.progress = progress
        self.budget = budget

    def say(self, text: str) -> None:
        self.progress.say(text)

    def warn(self, text: str) -> None:
        self.progress.warn(text)

    def warn_of_data(self, text: str) -> None:
        self.progress.warn_of_data(text)

    def track(self, items: Iterable[_ItemT], *, label: str, total: int | None = None) -> Iterator[_ItemT]:
        return self.progress.track(items, label=label, total=total)

    def update(self, label: str, *, done: float, total: float, note: str = "") -> None:
        """Pass it on.

        Raises:
            ConfigError: the time is over and the job is not done.
        """
        self.progress.update(label, done=done, total=total, note=note)
        if self.budget.left == 0 and done < total:
            assert self.budget.seconds is not None
            raise ConfigError(
                f"time limit of {describe_seconds(self.budget.seconds)}",
                got=f"{label}: {done:,.0f} of {total:,.0f} rows when it was over",
                expected="time to read every file once, and to train",
                remedy="Allow more time, or repeat the command, which does not read again what has been read",
            )
