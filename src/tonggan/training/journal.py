"""What is told of a run on its way: Progress for people, TensorBoard for curves. It decides nothing."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tonggan.progress import Progress

_SECONDS_BETWEEN_UPDATES = 0.5


class Journal:
    """The account of one process's run. Where curves cannot be written, it says so once and goes on without them.

    Args:
        folder: receives TensorBoard's log; None for a process that keeps none.
        progress: is told how far the run is.
        step: where the run starts; what an interrupted run logged after it is replaced.
    """

    def __init__(self, folder: Path | None, *, progress: Progress, step: int) -> None:
        self.progress = progress
        self._curves: _Curves | None = None
        self._updated = time.monotonic()
        if folder:
            with self._or_without():
                self._curves = _Curves(folder, step=step + 1)

    def log(self, values: Mapping[str, float], *, step: int) -> None:
        """Add a point to each named curve."""
        if self._curves:
            with self._or_without():
                self._curves.add(values, step=step)

    @property
    def due(self) -> bool:
        """Whether the last update was some time ago."""
        return time.monotonic() - self._updated >= _SECONDS_BETWEEN_UPDATES

    def update(self, done: float, *, note: str) -> None:
        """Show how far, from 0 to 1, the run is."""
        self._updated = time.monotonic()
        self.progress.update("training", done=min(done, 1.0), total=1.0, note=note)

    def close(self) -> None:
        """Write no more."""
        if self._curves:
            with self._or_without():
                self._curves.close()

    @contextmanager
    def _or_without(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._curves = None
            self.progress.say(
                f"TensorBoard's log cannot be written ({error.strerror}); the training goes on without it."
            )


class _Curves:
    """A log as TensorBoard reads it, written at once: its own writer does that in a thread, which tells of a full disk
    by a traceback.

    Args:
        folder: of the log.
        step: that comes first; what an earlier log of the folder says of it and of later ones no longer counts.

    Raises:
        OSError: the folder cannot be written, or the disk is full. So does every call.
    """

    def __init__(self, folder: Path, *, step: int) -> None:
        from tensorboard.compat.proto.event_pb2 import SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time_ns():019d}.{socket.gethostname()}.{os.getpid()}"
        # Without a buffer, of which something would be left to write when the disk is full.
        self._records: Any = RecordWriter((folder / name).open("wb", buffering=0))
        self._write(file_version="brain.Event:2")
        self._write(step=step, session_log=SessionLog(status=SessionLog.START))

    def add(self, values: Mapping[str, float], *, step: int) -> None:
        """A point of each named curve."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        points = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._write(step=step, summary=Summary(value=points))

    def _write(self, **said: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._records.write(Event(wall_time=time.time(), **said).SerializeToString())

    def close(self) -> None:
        self._records.close()
