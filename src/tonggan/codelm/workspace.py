"""What an editor has open: unsaved texts, and where they were last changed. It reads no index and asks no model."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tonggan.codelm.source_file import MAX_BYTES, read_bytes

if TYPE_CHECKING:
    from tonggan.codelm.search.code_index import CodeIndex

_MOST_EDITS = 20
_MERGED_LINES = 10  # changes this near to one another are one edit
_KEPT_FILES = 64


@dataclass(frozen=True)
class Edit:
    """Where a text was changed.

    Attributes:
        path: of the file.
        line: its first changed line, from 0.
        time: when, in seconds since the epoch.
    """

    path: Path
    line: int
    time: float


class Workspace:
    """The files below a folder as an editor shows them: buffers where they are open, else what is on disk.

    Threads may use it at the same time. Files outside the folder may be opened, too.

    Args:
        root: the repository.
        index: of the repository; None where there is none.
    """

    def __init__(self, root: Path, *, index: CodeIndex | None = None) -> None:
        self.root = root.resolve()
        self.index = index
        self._buffers: OrderedDict[Path, str] = OrderedDict()  # the last used one is last
        self._edits: list[Edit] = []
        self._files: OrderedDict[Path, tuple[tuple[int, int], str | None]] = OrderedDict()
        self._lock = threading.Lock()

    def open(self, path: Path, text: str) -> None:
        """A buffer is shown, or shown again with another text."""
        path = path.resolve()
        with self._lock:
            self._buffers[path] = text
            self._buffers.move_to_end(path)

    def change(self, path: Path, text: str) -> None:
        """A buffer's text is another one now; a buffer that was not open is."""
        path = path.resolve()
        with self._lock:
            former = self._buffers.get(path)
            if former is not None and former != text:
                self._remember(Edit(path, _first_changed_line(former, text), time.time()))
            self._buffers[path] = text
            self._buffers.move_to_end(path)

    def close(self, path: Path) -> None:
        """A buffer is shown no more: what is on disk counts."""
        with self._lock:
            self._buffers.pop(path.resolve(), None)

    def text_of(self, path: Path) -> str | None:
        """A file as the editor shows it; None where it is missing, too long, or no text."""
        path = path.resolve()
        with self._lock:
            if path in self._buffers:
                return self._buffers[path]
            known = self._files.get(path)
        try:
            status = path.stat()
        except OSError:
            return None
        stamp = (status.st_mtime_ns, status.st_size)
        if known is not None and known[0] == stamp:
            return known[1]
        text = _read(path)
        with self._lock:
            self._files[path] = (stamp, text)
            while len(self._files) > _KEPT_FILES:
                self._files.popitem(last=False)
        return text

    @property
    def open_files(self) -> list[Path]:
        """Files that are open, the last used one first."""
        with self._lock:
            return list(reversed(self._buffers))

    @property
    def recent_edits(self) -> list[Edit]:
        """Where files were changed, the last change first."""
        with self._lock:
            return list(reversed(self._edits))

    def overlays(self) -> dict[str, str]:
        """Unsaved texts below the folder by relative path, as an index takes them."""
        with self._lock:
            return {
                path.relative_to(self.root).as_posix(): text
                for path, text in self._buffers.items()
                if path.is_relative_to(self.root)
            }

    def name_of(self, path: Path) -> str:
        """How a file is called: its path from the folder on, or the whole one where it is outside."""
        path = path.resolve()
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.as_posix()

    def _remember(self, edit: Edit) -> None:
        near = (
            self._edits and self._edits[-1].path == edit.path and abs(self._edits[-1].line - edit.line) < _MERGED_LINES
        )
        if near:
            self._edits.pop()
        self._edits = [*self._edits[1 - _MOST_EDITS :], edit]


def _first_changed_line(before: str, after: str) -> int:
    """By halving, for this runs at every key."""
    low, high = 0, min(len(before), len(after))
    while low < high:
        middle = (low + high + 1) // 2
        if before.startswith(after[low:middle], low):
            low = middle
        else:
            high = middle - 1
    return after.count("\n", 0, low)


def _read(path: Path) -> str | None:
    content = read_bytes(path, MAX_BYTES)
    if not isinstance(content, bytes) or b"\0" in content:
        return None
    return content.decode("utf-8", errors="replace").removeprefix("\ufeff")
