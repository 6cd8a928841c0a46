"""Keeps the index of a repository up to date beside the editor: another process writes, this one reads.

Reading sources, parsing and embedding them takes a core for a while; in this process it would hold up every key.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tonggan.errors import CacheError, TongganError
from tonggan.progress import Progress

if TYPE_CHECKING:
    from tonggan.codelm.search.code_index import CodeIndex

_NICENESS = 10  # of the process that writes: keys come first


class Indexing:
    """One index, and who refreshes it.

    Args:
        root: the repository.
        open_index: opens the index to be read; called once, after the first refresh.
        progress: told what becomes ready, from any thread.
        wait: seconds in which further changes join a refresh.
    """

    def __init__(
        self,
        root: Path,
        *,
        open_index: Callable[[Path], CodeIndex],
        progress: Progress,
        wait: float = 2.0,
    ) -> None:
        self._root = root
        self._open_index = open_index
        self._progress = progress
        self._wait = wait
        self._index: CodeIndex | None = None
        self._overlays: dict[str, str] = {}
        self._refreshing = threading.Lock()  # of this process; that of the index keeps other processes out
        self._wanted = threading.Event()
        self._closing = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, opened: Callable[[CodeIndex], None]) -> None:
        """Refresh now and whenever it is asked for, in a thread; ``opened`` gets the index once it can be read."""
        self._wanted.set()
        threading.Thread(target=self._work, args=(opened,), name="tonggan-index", daemon=True).start()

    def request(self) -> None:
        """Files have changed: refresh soon."""
        self._wanted.set()

    def current(self, overlays: Mapping[str, str]) -> CodeIndex | None:
        """The index, with unsaved texts in it so far as nobody else is writing it; None until it can be read.

        Args:
            overlays: texts by relative path, which differ from what is on disk.
        """
        index = self._index
        if index is not None and overlays != self._overlays and self._refreshing.acquire(blocking=False):
            try:
                with suppress(CacheError):  # another editor's process is writing: the last state will do
                    index.refresh(overlays=overlays)
                    self._overlays = dict(overlays)
            finally:
                self._refreshing.release()
        return index

    def close(self) -> None:
        """Stop refreshing; what the other process has not committed is done at the next start."""
        self._closing.set()
        self._wanted.set()
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()

    def _work(self, opened: Callable[[CodeIndex], None]) -> None:
        while self._wanted.wait() and not self._closing.is_set():
            if self._index is not None and self._closing.wait(self._wait):
                return
            self._wanted.clear()
            done = self._refresh()
            if self._index is None:
                try:
                    self._index = self._open_index(self._root)
                except TongganError as error:
                    self._progress.say(f"No search: {error}")
                    return
                opened(self._index)
                self._progress.say("The index is ready." if done else "The index is that of an earlier day.")

    def _refresh(self) -> bool:
        with self._refreshing:
            self._overlays = {}  # the other process reads what is on disk
            command = [sys.executable, "-m", "tonggan.codelm.editor.index_worker", str(self._root)]
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            with suppress(OSError, AttributeError):  # it has ended already, or the system has no such priorities
                os.setpriority(os.PRIO_PROCESS, self._process.pid, _NICENESS)
            return self._process.wait() == 0
