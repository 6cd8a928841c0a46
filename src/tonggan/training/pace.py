"""How fast a training goes, and with that how much there is time for under a limit.

Every measurement corrects the plan, in both directions: another program may come and go. Whatever is measured, the
evaluations leave most of the time to the steps. It ends nothing itself, and without a limit nothing depends on it.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from tonggan.training.budget import Budget, describe_seconds

_RECENT_STEPS = 20
_KNOWN_SECONDS = 1.0
# The part of the time that the last evaluation, and each one on the way since the one before, may take at most.
_EVALUATION_SHARE = 0.25
# The part of the limit that the steps get even where preparing the data has left nothing.
_LEAST_TRAINING = 0.05
# The part of the limit by which the last evaluation may pass the time kept for it, before it stops at fewer rows.
_OVERRUN = 0.02
_SHORT_SECONDS = 10.0  # of all trainings without a limit
# The part of the time that may go into measuring what follows.
_REVISION_SHARE = 0.05


@dataclass(frozen=True)
class Following:
    """The work of a run after a training, as far as the training has to know.

    Attributes:
        closing: measures how many seconds it takes at the present pace; under a limit that is reserved, and measured
            again on the way.
        trainings: further ones of the same length that may follow, for the prediction of the time.
    """

    closing: Callable[[], float] | None = None
    trainings: int = 0


class Pace:
    """The clocks of a training.

    Args:
        budget: its limit, less what is reserved, ends the training.
        total_steps: of all epochs.
        evaluate_every: steps between two evaluations.
        following: what comes after the training.

    Attributes:
        started: seconds of the budget at the first step.
    """

    def __init__(self, budget: Budget, *, total_steps: int, evaluate_every: int, following: Following) -> None:
        self.budget, self.total_steps, self.evaluate_every = budget, total_steps, evaluate_every
        self.following = following
        self.started = budget.elapsed
        self._steps: deque[float] = deque(maxlen=_RECENT_STEPS)
        self._is_warm = False
        self._evaluation = (0.0, 0.0)
        self._evaluated = budget.elapsed
        self._revised, self._revision, self._is_final = budget.elapsed, 0.0, False

    # What is measured.

    def step_took(self, seconds: float) -> None:
        """A step took so long; the first one, which also allocates, counts until there is another."""
        if len(self._steps) == 1 and not self._is_warm:
            self._steps.clear()
            self._is_warm = True
        self._steps.append(seconds)

    def is_known(self, *, soon: bool) -> bool:
        """Whether enough steps were timed to tell the cost, or at least one where it is to be told ``soon``."""
        enough = len(self._steps) == _RECENT_STEPS or sum(self._steps) > _KNOWN_SECONDS
        return self._is_warm and (soon or enough)

    def evaluation_took(self, seconds: float, *, share: float) -> None:
        """An evaluation of a ``share`` of the validation part took so long."""
        self._evaluation = (seconds / share, self.seconds_per_step)

    def evaluated(self) -> None:
        """An evaluation has just ended."""
        self._evaluated = self.budget.elapsed

    def revise(self, *, at_end: bool) -> None:
        """Measure what follows once more, and reserve that: where it costs little on the way, and once ``at_end``."""
        closing = self.following.closing
        if closing is None or self.budget.seconds is None or self._is_final:
            return
        if at_end and not self._revision:  # A first time takes longer, and there was none for it.
            return
        since = self.budget.elapsed - self._revised
        if not at_end and since * _REVISION_SHARE < self._revision:
            return
        start, self._is_final = time.monotonic(), at_end
        self.budget.reserve(closing())
        self._revision, self._revised = time.monotonic() - start, self.budget.elapsed

    # What follows from it.

    @property
    def seconds_per_step(self) -> float:
        """Of late; zero before the first."""
        return median(self._steps) if self._steps else 0.0

    @property
    def evaluation_seconds(self) -> float:
        """What an evaluation takes at the present pace, of which the steps tell more often than evaluations do."""
        seconds, per_step = self._evaluation
        return seconds * self.seconds_per_step / per_step if per_step else seconds

    def done(self, step: int) -> float:
        """The part of the training that is done; a step counts as its middle, so that none has a rate of zero."""
        # Where the number of steps is an estimate, there may be more than it says.
        by_steps = (min(step, self.total_steps - 1) + 0.5) / self.total_steps
        if self.budget.seconds is None:
            return by_steps
        span, elapsed = self._last_step - self.started, self.budget.elapsed
        # Of long steps there must be time for a whole one.
        is_long = self.seconds_per_step > _OVERRUN * self.budget.seconds
        if span <= 0 or (is_long and elapsed + self.seconds_per_step > self._last_step):
            return 1.0
        return max(by_steps, (elapsed - self.started) / span)

    @property
    def evaluation_end(self) -> float:
        """Seconds of the budget at which an evaluation stops at the rows so far."""
        if self.budget.seconds is None:
            return math.inf
        return max(self.budget.end, self._last_step) + _OVERRUN * self.budget.seconds

    @property
    def evaluation_share(self) -> float:
        """What an evaluation on the way would take of the time since the last one, over what it may."""
        if self.budget.seconds is None:
            return 0.0
        return self.evaluation_seconds / max(self.budget.elapsed - self._evaluated, 1e-9) / _EVALUATION_SHARE

    def plan(self, step: int) -> str:
        """In words: steps, seconds, and seconds of the whole run, unless measuring those takes longer than waiting."""
        left, per_step, evaluation = self.total_steps - step, self.seconds_per_step, self.evaluation_seconds
        seconds = left * per_step + math.ceil(left / self.evaluate_every) * evaluation
        steps = f"{self.total_steps:,} steps"
        allowed = self.budget.end - self.budget.elapsed
        if seconds > allowed:
            affordable = int(max(0.0, self._last_step - self.budget.elapsed) / per_step)
            steps = f"about {min(self.total_steps, step + affordable):,} of {steps}"
            seconds = max(0.0, allowed)
        said = f"{steps}, about {describe_seconds(seconds)}"
        followed = (1 + self.following.trainings) * seconds
        if self.following.closing is None or (self.budget.seconds is None and followed < _SHORT_SECONDS):
            return said
        closing = self.following.closing() if self.budget.seconds is None else self.budget.seconds - self.budget.end
        whole = self.budget.elapsed + followed + closing
        whole = whole if self.budget.seconds is None else min(whole, self.budget.seconds)
        return f"{said}; the whole run with all that follows about {describe_seconds(whole)}"

    @property
    def _last_step(self) -> float:
        """Seconds of the budget at which the last evaluation begins."""
        end, limit = self.budget.end, self.budget.seconds or 0.0
        planned = end - min(self.evaluation_seconds, _EVALUATION_SHARE * max(0.0, end - self.started))
        return max(planned, self.started + _LEAST_TRAINING * limit)
