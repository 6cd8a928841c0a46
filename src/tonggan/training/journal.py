"""What is told of a run on its way: Progress for people, TensorBoard for curves. It decides nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from tonggan.errors import TrainingError
from tonggan.progress import Progress

_SECONDS_BETWEEN_UPDATES = 0.5


class Journal:
    """The account of one process's run.

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

            try:
                self._writer = SummaryWriter(str(folder), purge_step=step + 1)
            except OSError as error:
                raise TrainingError(
                    f"log {folder}",
                    got=error.strerror or str(error),
                    expected="to write it",
                    remedy="Free disk space or choose a folder that can be written, then run the same command to resume",
                ) from error

    def log(self, values: Mapping[str, float], *, step: int) -> None:
        """Add a point to each named curve."""
        if self._writer:
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
            self._writer.close()
