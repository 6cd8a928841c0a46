"""How many threads a step uses, chosen by timing: beside another program that computes, fewer are often faster.

It changes PyTorch's own number of threads, and leaves it to the caller to set back what was before.
"""

from __future__ import annotations

from collections import deque
from statistics import median

import torch

_TIMED_STEPS, _TIMED_SECONDS = 5, 1.0  # of a trial of one number; two steps at least
_RECENT_STEPS = 10
_CHANGE = 1.3  # the factor by which steps are slower or faster before numbers are tried again
_HOPELESS = 1.5  # so much slower than the best number, still fewer threads are not tried
_GAIN = 0.95  # fewer threads are taken where a step takes at most this part of the time
_SHARE = 0.25  # of the time goes to trials at most


class ThreadTuner:
    """Tries all threads that PyTorch has been given, half of them, and so on, and keeps the fastest number.

    Args:
        longest: seconds; longer steps are too few to try anything with, and keep all threads.

    Attributes:
        threads: how many are used now.
    """

    def __init__(self, *, longest: float) -> None:
        self.longest = longest
        self.most = self.threads = torch.get_num_threads()
        self._recent: deque[float] = deque(maxlen=_RECENT_STEPS)
        self._reference = 0.0
        self._since_trial = 0.0
        self._trial: dict[int, list[float]] | None = None
        self._trial_seconds = 0.0
        if self.most > 1:
            self._begin()

    @property
    def is_settled(self) -> bool:
        """Whether no numbers are being tried."""
        return self._trial is None

    def took(self, seconds: float) -> None:
        """Learn that a step took so long with the threads there are."""
        if self.most == 1:
            return
        if self._trial is not None:
            if seconds > self.longest and self.threads == self.most:
                self._settle(self.most, seconds)
                return
            times = self._trial[self.threads]
            times.append(seconds)
            self._trial_seconds += seconds
            if len(times) >= _TIMED_STEPS or (len(times) > 1 and sum(times) > _TIMED_SECONDS):
                self._next()
            return
        self._recent.append(seconds)
        self._since_trial += seconds
        if len(self._recent) == _RECENT_STEPS and self._since_trial * _SHARE > self._trial_seconds:
            now = median(self._recent)
            if not self._reference / _CHANGE <= now <= self._reference * _CHANGE:
                self._begin()

    def _begin(self) -> None:
        self._trial, self._trial_seconds = {}, 0.0
        self._use(self.most)

    def _next(self) -> None:
        assert self._trial is not None
        medians = {threads: median(times) for threads, times in self._trial.items()}
        if self.threads > 1 and medians[self.threads] < _HOPELESS * min(medians.values()):
            self._use(self.threads // 2)
            return
        best = self.most
        for threads, seconds in medians.items():  # from many threads to few
            if seconds < _GAIN * medians[best]:
                best = threads
        self._settle(best, medians[best])

    def _settle(self, threads: int, seconds: float) -> None:
        self._reference, self._since_trial, self._trial = seconds, 0.0, None
        self._recent.clear()
        self._use(threads)

    def _use(self, threads: int) -> None:
        self.threads = threads
        torch.set_num_threads(threads)
        if self._trial is not None:
            self._trial[threads] = []
