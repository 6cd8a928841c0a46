"""The work after training under a time limit: what to keep for it, and how much of it there is time for.

Whoever sets no limit gets every row measured and every draw made. Under one, what is measured is a fair part, and its
size is chosen when its turn comes, from what the same work has just taken on a few rows: another program may want the
processor at any time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tonggan.data.dataset import Dataset
from tonggan.errors import ConfigError
from tonggan.evaluation.audit import audit
from tonggan.evaluation.bootstrap import REPEATS, seconds_per_draw
from tonggan.evaluation.predict import Measured, measure_rows
from tonggan.models import Model
from tonggan.progress import Progress
from tonggan.tasks import Task
from tonggan.training import Budget
from tonggan.training.budget import describe_seconds

# Alone on the machine: writing the report and the bundle, the calibration, and the end of the process.
_WRITING_SECONDS = 1.0
_PROBED_SECONDS = 0.03
# However long all this takes, training keeps at least this part of what preparing the data has left.
_LEAST_TRAINING = 0.5
# The part of the limit by which the audit may pass it, so that a small error costs no rows.
_SLACK = 0.02
# The parts of the time left that predicting, and then drawing for the intervals, may take.
_PREDICTING, _DRAWING = 0.5, 0.5
_FEWEST_DRAWS, _FEWEST_AUDITED_ROWS = 100, 100
_BLOCK_SIZE = 32
_DRAWN_ROWS = 5_000
# Rows on which work is tried; the larger number only where the smaller one was soon done.
_TRIED_ROWS, _TRIED_SECONDS = (16, 128), 0.5


class Closing:
    """The measuring of a trained model, within what ``budget`` leaves.

    Attributes:
        model: that is measured; another one of the same parts may take its place once it is trained.

    Args:
        model: trained or not.
        task: that it was trained for.
        parts: what it is measured on; the last one is the final one, and is audited.
        budget: whose limit counts.
        seed: of the rows that are chosen.
        audits: whether subsets and audit follow the measuring, with intervals.
    """

    def __init__(
        self,
        model: Model,
        task: Task,
        parts: Mapping[str, Dataset],
        *,
        budget: Budget,
        seed: int,
        audits: bool = True,
    ) -> None:
        self.audits = audits
        self.model, self.task, self.parts = model, task, parts
        self.budget, self.seed = budget, seed
        self._rehearsal: _Rehearsal | None = None
        self._slower = 1.0  # than at the rehearsal
        self._writing = _WRITING_SECONDS

    def estimate(self) -> float:
        """Seconds that all of it takes at the present pace; under a limit never so many that training has too few.

        All is tried once; later, how long a few rows take to predict tells how the pace has changed. That holds for a
        model that is not trained yet, too: what is measured depends on the rows.
        """
        if self._rehearsal is None:
            self._rehearsal = self._rehearse()
        else:
            self._slower = self._probe() / self._rehearsal.probe
        self._writing = _WRITING_SECONDS * _crowding()
        seconds = self._writing + self._slower * self._rehearsal.seconds
        return min(seconds, (1 - _LEAST_TRAINING) * self.budget.left)

    def measure(self, progress: Progress) -> dict[str, Measured]:
        """What the model is worth on each of the parts; where time is short, on a random part of their rows."""
        if self.budget.seconds is None:
            return {name: self._measure(part, progress=progress) for name, part in self.parts.items()}
        measured = {}
        ends = np.cumsum([len(part) for part in self.parts.values()])
        start, share = self.budget.elapsed, max(0.0, _PREDICTING * self._seconds_left)
        expected = 0.0
        for (name, part), end in zip(self.parts.items(), ends / ends[-1], strict=True):
            shuffled = part.take(_blocks_in_random_order(len(part), seed=self.seed))
            enough = partial(_is_past, self.budget, start + share * float(end))
            measured[name] = self._measure(shuffled, progress=progress, enough=enough)
            if len(measured[name]) < len(part):
                progress.say(
                    f"The time limit leaves {len(measured[name]):,} of {len(part):,} {name} rows to be measured."
                )
            if self._rehearsal:
                expected += self._rehearsal.predict[name](len(measured[name]))
        if expected:
            self._slower = (self.budget.elapsed - start) / expected
        return measured

    def draws(self, measured: Mapping[str, Measured]) -> int:
        """How many bootstrap draws of all that is ``measured`` there is time for, at least 100."""
        if self.budget.seconds is None:
            return REPEATS
        seconds = sum(seconds_per_draw(part.measure) for part in measured.values())
        return int(np.clip(_DRAWING * self._seconds_left / seconds, _FEWEST_DRAWS, REPEATS))

    def audited(self) -> Dataset:
        """The rows of the final part that subsets table and audit can take, at least 100."""
        final, most = list(self.parts.values())[-1], self.task.max_audited_rows
        if self.budget.seconds is None:
            return final.sample(most, seed=self.seed)
        left = self._seconds_left + _SLACK * self.budget.seconds
        # Without a rehearsal there was no time for one, and there is none for more.
        rows = min(len(final), most) if self._rehearsal else _FEWEST_AUDITED_ROWS
        while self._rehearsal and rows > _FEWEST_AUDITED_ROWS and self._slower * self._rehearsal.audit(rows) > left:
            rows = max(_FEWEST_AUDITED_ROWS, int(0.9 * rows))
        return final.sample(rows, seed=self.seed)

    def is_late(self) -> bool:
        """Whether there is time for nothing but writing."""
        return self._seconds_left <= 0

    def _measure(
        self, part: Dataset, *, progress: Progress | None = None, enough: Callable[[], bool] = lambda: False
    ) -> Measured:
        return measure_rows(self.model, self.task, part, progress=progress, enough=enough)

    def _audit(self, part: Dataset) -> object:
        # Of the columns as many as there is time for are looked at, however many that are.
        enough = partial(_is_past, self.budget, self.budget.elapsed + _TRIED_SECONDS)
        return audit(self.model, self.task, part, seed=self.seed, enough=enough)

    def _rehearse(self) -> _Rehearsal:
        final = list(self.parts.values())[-1]
        audited: Callable[[int], float] = _takes_nothing
        if self.audits:
            self._audit(_first(final, rows=_TRIED_ROWS[0]))  # which also loads what all of it needs
            audited = _try(self._audit, final)
        seconds = audited(min(len(final), self.task.max_audited_rows))
        first = self._measure(_first(final, rows=_TRIED_ROWS[-1])).measure
        predict = {}
        for name, part in self.parts.items():
            predict[name] = _try(self._measure, part)
            rows = min(len(part), _DRAWN_ROWS)  # a draw takes some time for itself: no few rows tell of many
            drawn = first.take(np.arange(rows) % len(first))
            seconds += predict[name](len(part))
            if self.audits:
                seconds += REPEATS * seconds_per_draw(drawn) / rows * len(part)
        return _Rehearsal(seconds, predict, audited, probe=self._probe())

    def _probe(self) -> float:
        start = time.monotonic()
        self._measure(_first(list(self.parts.values())[-1], rows=_TRIED_ROWS[-1]))
        return time.monotonic() - start

    @property
    def _seconds_left(self) -> float:
        """The time for predicting, drawing and the audit."""
        return self.budget.left - self._writing


@dataclass(frozen=True)
class _Rehearsal:
    """How long everything takes, tried on a few rows.

    Attributes:
        seconds: all of it, on all rows.
        predict: by part, seconds for a number of rows.
        audit: seconds for a number of rows.
        probe: seconds for the rows that tell of the pace.
    """

    seconds: float
    predict: Mapping[str, Callable[[int], float]]
    audit: Callable[[int], float]
    probe: float


def _first(dataset: Dataset, *, rows: int) -> Dataset:
    return dataset.take(np.arange(min(len(dataset), rows)))


def _try(work: Callable[[Dataset], object], dataset: Dataset) -> Callable[[int], float]:
    """Do ``work`` on a few rows of ``dataset``, and tell from that how long it takes of a number of them.

    The time of more rows than were tried grows in proportion to those beyond; a part of it is the same for any number.
    """
    measured: list[tuple[int, float]] = []
    for rows in _TRIED_ROWS:
        sample = _first(dataset, rows=rows)
        start = time.monotonic()
        work(sample)
        measured.append((len(sample), time.monotonic() - start))
        if measured[-1][1] > _TRIED_SECONDS or len(sample) == len(dataset):
            break
    rows, seconds = measured[-1]
    slope = seconds / rows
    if len(measured) > 1 and rows > measured[0][0]:
        slope = float(np.clip((seconds - measured[0][1]) / (rows - measured[0][0]), 0.25 * slope, slope))
    return lambda number: max(0.0, seconds + slope * (number - rows))


def _takes_nothing(number: int) -> float:
    return 0.0 * number


def _is_past(budget: Budget, moment: float) -> bool:
    return budget.elapsed > moment


def _blocks_in_random_order(num_rows: int, *, seed: int) -> NDArray[np.int64]:
    """All rows, so that any beginning is a fair part; neighbors stay together, for what they share is encoded once."""
    blocks = np.array_split(np.arange(num_rows), max(1, num_rows // _BLOCK_SIZE))
    return np.concatenate([blocks[index] for index in np.random.default_rng(seed).permutation(len(blocks))])


def _crowding() -> float:
    """How many times as long as alone on the machine one thread takes now."""
    wall, own = time.perf_counter(), time.thread_time()
    while (used := time.thread_time() - own) < _PROBED_SECONDS:
        sum(range(1000))
    return max(1.0, (time.perf_counter() - wall) / used)


_ItemT = TypeVar("_ItemT")


class Deadline(Progress):
    """Passes on to ``progress`` what work that has no model yet tells, as long as ``budget`` lasts."""

    def __init__(self, progress: Progress, *, budget: Budget) -> None:
        self.progress = progress
        self.budget = budget

    def say(self, text: str) -> None:
        self.progress.say(text)

    def warn(self, text: str) -> None:
        self.progress.warn(text)

    def warn_of_data(self, text: str) -> None:
        self.progress.warn_of_data(text)

    def track(self, items: Iterable[_ItemT], *, label: str, total: int | None = None) -> Iterator[_ItemT]:
        return self.progress.track(items, label=label, total=total)

    def scored(self, label: str, number: int, score: float) -> None:
        self.progress.scored(label, number, score)

    def update(self, label: str, *, done: float, total: float, note: str = "") -> None:
        """Pass it on.

        Raises:
            ConfigError: the time is over and the job is not done.
        """
        self.progress.update(label, done=done, total=total, note=note)
        if self.budget.left == 0 and done < total:
            assert self.budget.seconds is not None
            raise ConfigError(
                f"time limit of {describe_seconds(self.budget.seconds)}",
                got=f"{label}: {done:,.0f} of {total:,.0f} rows when time ran out",
                expected="time to read every file once, and to train",
                remedy="Allow more time, or repeat the command, which does not read again what has been read",
            )
