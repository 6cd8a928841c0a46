"""Suggestions that survive typing: whoever types what was suggested is shown the rest of it, and no model is asked."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

from tonggan.codelm.completion.document import Suggestion

_MOST_TYPED = 400  # characters

_Key = tuple[Path, int]


class SuggestionCache:
    """The last answers. Threads may use it at the same time.

    Args:
        size: how many are kept.
    """

    def __init__(self, *, size: int = 32) -> None:
        self._size = size
        self._entries: OrderedDict[_Key, tuple[str, str, list[Suggestion]]] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, path: Path, *, before: str, after: str, suggestions: list[Suggestion]) -> None:
        """Keep what was answered between two texts; nothing is an answer, too."""
        with self._lock:
            self._entries[path, len(before)] = (before, after, suggestions)
            self._entries.move_to_end((path, len(before)))
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)

    def get(self, path: Path, *, before: str, after: str) -> list[Suggestion] | None:
        """What is left of an answer after it was typed in part; None where nothing is known."""
        with self._lock:
            entries = list(reversed(self._entries.items()))
        for (place, _), (start, end, suggestions) in entries:
            if place != path or end != after or not before.startswith(start):
                continue
            typed = before[len(start) :]
            if not typed:
                return suggestions
            if len(typed) > _MOST_TYPED:
                continue
            left = [
                replace(each, text=each.text[len(typed) :], start=each.start + len(typed), end=each.end + len(typed))
                for each in suggestions
                if each.text.startswith(typed) and len(each.text) > len(typed)
            ]
            if left:
                return left
        return None
