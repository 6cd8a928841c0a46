"""Time and memory of a run: how much is allowed, used and predicted. It stops nothing itself."""

from __future__ import annotations

import math
import resource
import sys
import time

import torch


class Budget:
    """A time limit.

    Args:
        seconds: wall-clock time for the whole run; None sets no limit.
        started: ``time.monotonic()`` of its beginning, now by default.
    """

    def __init__(self, seconds: float | None = None, *, started: float | None = None) -> None:
        self.seconds = seconds
        self._started = time.monotonic() if started is None else started
        self._earlier = 0.0
        self._reserved = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds used so far, those of an interrupted run that this one resumes included."""
        return self._earlier + time.monotonic() - self._started

    @property
    def end(self) -> float:
        """The elapsed seconds at which the work before the reserve must be done; infinite without a limit."""
        return math.inf if self.seconds is None else max(0.0, self.seconds - self._reserved)

    @property
    def left(self) -> float:
        """The seconds until the limit; infinite without one."""
        return math.inf if self.seconds is None else max(0.0, self.seconds - self.elapsed)

    def reserve(self, seconds: float) -> None:
        """Keep ``seconds`` for what follows, instead of those that were kept before."""
        self._reserved = seconds

    def restore(self, elapsed: float) -> None:
        """Count ``elapsed`` seconds of the interrupted run as used."""
        self._earlier = elapsed


def peak_memory(device: torch.device) -> int:
    """Bytes: the most that this process has held on a CUDA ``device``, or else in main memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def describe_seconds(seconds: float) -> str:
    """A duration as a person says it: ``45 s``, ``3 min 10 s``, ``2 h 5 min``."""
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def describe_bytes(size: int) -> str:
    """An amount of memory as a person says it: ``850 MB``, ``2.4 GB``."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{math.ceil(size / 1e6)} MB"
