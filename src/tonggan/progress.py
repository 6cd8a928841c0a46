"""How long work tells of itself: a silent base that libraries use, which the command line replaces by bars.

It shows nothing itself and holds no global state: whoever starts the work passes one down.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

_ItemT = TypeVar("_ItemT")


class Progress:
    """Receives what a long job does. This base is silent; subclasses show it."""

    def say(self, text: str) -> None:
        """One line that a user should read."""

    def track(self, items: Iterable[_ItemT], *, label: str, total: int | None = None) -> Iterator[_ItemT]:
        """Yield ``items``, counted out of ``total`` under ``label``."""
        yield from items

    def update(self, label: str, *, done: float, total: float, note: str = "") -> None:
        """A job that is not a loop over items stands at ``done`` of ``total``."""
