"""The work after training under a time limit: what to keep for it, and how much of it there is time for.

Whoever sets no limit gets every row measured and every draw made. Under one, what is measured is a fair part, and its
size is chosen when its turn comes, from what the same work has just taken: estimates made before training are wrong as
soon as another program wants the processor.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from tonggan.data.dataset import Dataset
from tonggan.evaluation.intervals import REPEATS, estimate_seconds_per_draw
from tonggan.evaluation.predict import Outputs, collect
from tonggan.evaluation.subsets import estimate_seconds
from tonggan.models import FusedModel
from tonggan.progress import Progress
from tonggan.runs.assess import audited_part, input_kinds, max_audited_rows
from tonggan.tasks import Task
from tonggan.training import Budget

# Writing the report and the bundle, and the calibration.
_WRITING_SECONDS = 1.5
# However long all this takes, training keeps at least this part of what preparing the data has left.
_LEAST_TRAINING = 0.5
# The estimate before training is stretched by this much; what is not needed then finishes the run early.
_CAUTION = 1.3
# The parts of the time left that predicting, and then drawing for the intervals, may take.
_PREDICTING, _DRAWING = 0.4, 0.4
_FEWEST_DRAWS, _FEWEST_AUDITED_ROWS = 100, 100
_BATCH_SIZE = 256
_BLOCK_SIZE = 32


def estimate_closing(model: FusedModel, task: Task, parts: Mapping[str, Dataset], *, budget: Budget) -> float:
    """Seconds to keep for all that follows the training, when ``parts``, the last of them the final one, are measured.

    Never so much that less than half of the time left would remain for training.
    """
    final = list(parts.values())[-1]
    audited = audited_part(final, seed=0, max_rows=max_audited_rows(task))
    # The audit draws twice: for the full model and for the best part.
    drawn = sum(len(part) for part in parts.values()) + 2 * len(audited)
    first = _first_outputs(model, task, final)
    assert first.target is not None, "rows without a target cannot be measured"
    task.metrics(first.outputs, first.target)  # Loads what it needs now, not in the time that is kept.
    seconds = drawn * REPEATS * _seconds_per_drawn_row(task, first)
    seconds += estimate_seconds(model, audited, kinds=input_kinds(final), batch_size=_BATCH_SIZE)
    for part in parts.values():
        start = time.monotonic()
        _first_outputs(model, task, part)
        seconds += (time.monotonic() - start) * len(part) / min(len(part), _BATCH_SIZE)
    return min(_WRITING_SECONDS + _CAUTION * seconds, (1 - _LEAST_TRAINING) * budget.left)


def collect_parts(
    model: FusedModel, task: Task, parts: Mapping[str, Dataset], *, seed: int, budget: Budget, progress: Progress
) -> dict[str, Outputs]:
    """The outputs on each of ``parts``; where time is short, on a random part of their rows."""
    if budget.seconds is None:
        return {name: collect(model, task, part, progress=progress) for name, part in parts.items()}
    outputs = {}
    ends = np.cumsum([len(part) for part in parts.values()])
    start, share = budget.elapsed, max(0.0, _PREDICTING * _seconds_left(budget))
    for (name, part), end in zip(parts.items(), ends / ends[-1], strict=True):
        until = start + share * float(end)
        shuffled = part.take(_blocks_in_random_order(len(part), seed=seed))
        outputs[name] = collect(model, task, shuffled, progress=progress, enough=partial(_is_past, budget, until))
        if len(outputs[name]) < len(part):
            progress.say(f"The time limit leaves {len(outputs[name]):,} of {len(part):,} {name} rows to be measured.")
    return outputs


def _is_past(budget: Budget, moment: float) -> bool:
    return budget.elapsed > moment


def affordable_draws(task: Task, outputs: Mapping[str, Outputs], *, budget: Budget) -> int:
    """How many bootstrap draws of all of ``outputs`` there is time for, at least 100."""
    if budget.seconds is None:
        return REPEATS
    seconds = sum(len(part) * _seconds_per_drawn_row(task, part) for part in outputs.values())
    return int(np.clip(_DRAWING * _seconds_left(budget) / seconds, _FEWEST_DRAWS, REPEATS))


def affordable_audit(
    model: FusedModel, task: Task, dataset: Dataset, outputs: Outputs, *, seed: int, budget: Budget
) -> Dataset:
    """The rows of ``dataset`` that subsets table and audit can take, at least 100."""
    if budget.seconds is None:
        return audited_part(dataset, seed=seed, max_rows=max_audited_rows(task))
    sample = audited_part(dataset, seed=seed, max_rows=_BATCH_SIZE)
    seconds = estimate_seconds(model, sample, kinds=input_kinds(dataset), batch_size=_BATCH_SIZE) / len(sample)
    seconds += 2 * REPEATS * _seconds_per_drawn_row(task, outputs)
    rows = np.clip(_seconds_left(budget) / (_CAUTION * seconds), _FEWEST_AUDITED_ROWS, max_audited_rows(task))
    return audited_part(dataset, seed=seed, max_rows=int(rows))


def _seconds_left(budget: Budget) -> float:
    """The time for predicting, drawing and the audit."""
    return budget.left - _WRITING_SECONDS


def _first_outputs(model: FusedModel, task: Task, dataset: Dataset) -> Outputs:
    return collect(model, task, dataset.take(np.arange(min(len(dataset), _BATCH_SIZE))), batch_size=_BATCH_SIZE)


def _seconds_per_drawn_row(task: Task, outputs: Outputs) -> float:
    """The time that one more row costs one bootstrap draw."""
    assert outputs.target is not None, "rows without a target cannot be measured"
    return estimate_seconds_per_draw(task, outputs.outputs, outputs.target) / len(outputs)


def _blocks_in_random_order(num_rows: int, *, seed: int) -> NDArray[np.int64]:
    """All rows, so that any beginning is a fair part; neighbors stay together, for what they share is encoded once."""
    blocks = np.array_split(np.arange(num_rows), max(1, num_rows // _BLOCK_SIZE))
    return np.concatenate([blocks[index] for index in np.random.default_rng(seed).permutation(len(blocks))])
