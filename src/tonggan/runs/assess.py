"""What a trained model is worth: metrics with intervals, the constant answer beside it, subsets and audit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tonggan.cells import cell_text
from tonggan.data.dataset import Dataset
from tonggan.evaluation.audit import Audit, audit
from tonggan.evaluation.bootstrap import REPEATS, intervals
from tonggan.evaluation.predict import Measured
from tonggan.evaluation.subsets import SubsetRow
from tonggan.evaluation.verdict import AgainstConstant, compare_with_constant
from tonggan.models import Model
from tonggan.progress import Progress
from tonggan.runs.recipe import Recipe
from tonggan.tasks import Advice, Task
from tonggan.tasks.measure import Measure
from tonggan.wording import Words

_MAX_SLICES = 20
# What to cut off for validation where the usual part is too small to judge a model on.
_LARGER_PART = 0.4


@dataclass(frozen=True)
class Assessment:
    """What is known of a trained model.

    Attributes:
        measured: by split, on the rows that were measured; the last one gives the final number.
        metrics: by split.
        intervals: by split, of each metric.
        constant: the model beside the constant answer, where that can be judged.
        subsets: with every subset of the inputs present.
        audit: what each input is worth.
        slices: of the final part, the rows with each value of a column.
    """

    measured: Mapping[str, Measured]
    metrics: Mapping[str, dict[str, float]]
    intervals: Mapping[str, dict[str, tuple[float, float]]]
    constant: AgainstConstant | None
    subsets: list[SubsetRow]
    audit: Audit
    slices: Mapping[str, Measure] = field(default_factory=dict)

    @property
    def final(self) -> Measured:
        """The part that gives the final number."""
        return list(self.measured.values())[-1]

    def results(self, task: Task, *, rows: Mapping[str, int], seconds: float) -> dict[str, Any]:
        """What ``--json`` prints and a bundle stores."""
        bounds = {split: {name: list(pair) for name, pair in each.items()} for split, each in self.intervals.items()}
        return {
            "metrics": {split: dict(values) for split, values in self.metrics.items()},
            "intervals": bounds,
            "constant": None if self.constant is None else self.constant.to_dict(),
            "constant_answer": task.constant_words.english,
            "constant_answer_zh": task.constant_words.chinese,
            "subsets": [row.to_dict() for row in self.subsets],
            "audit": self.audit.to_dict(),
            "seconds": seconds,
            "score_name": task.score_name,
            "rare_class": task.rare,
            "task": task.kind,
            "rows": dict(rows),
            "audited": self.subsets[0].num_rows,
        }


def assess(
    model: Model,
    task: Task,
    measured: Mapping[str, Measured],
    audited: Dataset,
    *,
    seed: int,
    draws: int = REPEATS,
    alone: Mapping[str, Measure] | None = None,
    progress: Progress | None = None,
    enough: Callable[[], bool] = lambda: False,
) -> Assessment:
    """What ``model`` is worth.

    Args:
        model: that was trained.
        task: that it was trained for, calibrated.
        measured: what it is worth by split, the final one last.
        audited: rows of the final part, for subsets and audit.
        seed: of shuffles and draws.
        draws: of the bootstrap.
        alone: by input, what a model that was trained on it alone is worth on the audited rows.
        progress: told of every step.
        enough: asked whether the audit is to leave it at the columns so far.
    """
    bounds = {split: intervals(part.measure, seed=seed, repeats=draws) for split, part in measured.items()}
    subsets, found = audit(model, task, audited, seed=seed, alone_trained=alone, progress=progress, enough=enough)
    final = list(measured.values())[-1]
    return Assessment(
        measured=measured,
        metrics={split: part.measure.metrics() for split, part in measured.items()},
        intervals=bounds,
        constant=compare_with_constant(final, always=task.constant_words, seed=seed, repeats=draws),
        subsets=subsets,
        audit=found,
    )


def slices(measured: Measured, values: Sequence[Any]) -> dict[str, Measure]:
    """The measure of the rows with each value, the most frequent first, at most 20.

    Args:
        measured: some rows.
        values: of a column, one for each of them.
    """
    names = np.array([str(cell_text(value)) for value in values])
    most_common = Counter(names.tolist()).most_common(_MAX_SLICES)
    return {name: measured.measure.take(np.flatnonzero(names == name)) for name, _ in most_common}


def advise(task: Task, recipe: Recipe, constant: AgainstConstant | None) -> Advice | None:
    """What may give a better model, or where too few rows were measured, a better measurement."""
    if constant is None or constant.beaten != "too few rows":
        return task.advice()
    # Another seed cuts other rows off; where tables of their own are measured, nothing but larger ones helps.
    data = recipe.data
    if recipe.study.folds or data.set is not None or data.valid is not None or data.test is not None:
        return None
    reason = Words(
        "More rows to measure, or another cut, may tell more. Fit again with:",
        "测量更多的行或换一种划分能说明更多问题。请加上以下选项重新训练：",
    )
    return Advice(reason, [f"data.valid_fraction={_LARGER_PART}", f"seed={recipe.seed + 1}"])
