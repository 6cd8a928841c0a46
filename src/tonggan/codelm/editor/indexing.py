"""Keeps the index of a repository up to date beside the editor: another process writes, this one reads.

Reading sources, parsing and embedding them takes a core for a while; in this process it would hold up every key.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tonggan.errors import CacheError, DataError, TongganError
from tonggan.processes import isolated_command
from tonggan.progress import Progress

if TYPE_CHECKING:
    from tonggan.codelm.search.code_index import CodeIndex

_NICENESS = 5  # of the process that writes: keys come first
_WORKER = "tonggan.codelm.editor.index_worker"
_MOST_LINES = 20  # of what that process says


class Indexing:
    """One index, and who refreshes it.

    Args:
        root: the repository.
        embedder: of the process that writes, as ``open_index`` takes it.
        open_index: opens the index, once to be read and once to write unsaved texts to it.
        progress: told what becomes ready, from any thread.
        wait: seconds from one refresh to the next, in which changes gather.
    """

    def __init__(
        self,
        root: Path,
        *,
        embedder: str | None,
        open_index: Callable[[], CodeIndex],
        progress: Progress,
        wait: float = 2.0,
    ) -> None:
        self._root = root
        self._embedder = embedder
        self._open_index = open_index
        self._progress = progress
        self._wait = wait
        self._index: CodeIndex | None = None
        self._writing: CodeIndex | None = None  # another handle, so that nobody who reads waits for it
        self._overlays: dict[str, str] = {}
        self._told: set[str] = set()
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
                with suppress(CacheError, DataError):  # another editor writes, or the folder is gone
                    self._writing = self._writing or self._open_index()
                    self._writing.refresh(overlays=overlays)
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
        try:
            index = self._open_index()
            if any(index.count().values()):
                self._index = index
                opened(index)
                self._progress.say("The previous index is ready.")
            while self._wanted.wait() and not self._closing.is_set():
                self._wanted.clear()
                is_done = self._refresh()
                if is_done and self._index is None:
                    self._index = index
                    opened(index)
                self._progress.say("The index is up to date." if is_done else "The index could not be refreshed.")
                if self._closing.wait(self._wait):
                    return
        except TongganError as error:
            self._progress.say(f"No search: {error}")

    def _refresh(self) -> bool:
        command = isolated_command(_WORKER, str(self._root), *([] if self._embedder is None else [self._embedder]))
        with self._refreshing, tempfile.TemporaryFile() as said:
            self._overlays = {}  # the other process reads what is on disk
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said)
            if self._closing.is_set():  # ``close`` may have looked before there was a process
                self._process.terminate()
            with suppress(OSError, AttributeError):  # it has ended already, or the system has no such priorities
                os.setpriority(os.PRIO_PROCESS, self._process.pid, _NICENESS)
            is_done = self._process.wait() == 0
            said.seek(0)
            self._tell(said.read().decode("utf-8", "replace").splitlines())
            return is_done

    def _tell(self, lines: list[str]) -> None:
        """What the other process said; it says the same at each refresh, so only what is new."""
        new = [line for line in lines if line.strip() and line not in self._told]
        self._told.update(new)
        for line in new[-_MOST_LINES:]:
            self._progress.say(line)
