"""What is told of a run on its way: Progress for people, TensorBoard for curves. It decides nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

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
        self._writer = None
        self._updated = time.monotonic()
        if folder:
            from torch.utils.tensorboard import SummaryWriter

            with self._or_without():
                self._writer = SummaryWriter(str(folder), purge_step=step + 1)

    def log(self, values: Mapping[str, float], *, step: int) -> None:
        """Add a point to each named curve."""
        if self._writer:
            with self._or_without():
                for name, value in values.items():
                    self._writer.add_scalar(name, value, step)

    @property
    def due(self) -> bool:
        """Whether the last update was some time ago."""
        return time.monotonic() - self._updated >= _SECONDS_BETWEEN_UPDATES

    def update(self, done: float, *, note: str) -> None:
        """Show how far, from 0 to 1, the run is."""
        self._updated = time.monotonic()
        self.progress.update("training", done=min(done, 1.0), total=1.0, note=note)

    def close(self) -> None:
        """Write what is still in memory."""
        if self._writer:
            with self._or_without():
                self._writer.close()

    @contextmanager
    def _or_without(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._writer = None
            self.progress.say(
                f"TensorBoard's log cannot be written ({error.strerror}); the training goes on without it."
            )
