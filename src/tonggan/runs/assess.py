"""What is told of a trained model: which rows are audited, slices of those measured, advice, results as plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tonggan.cells import cell_text
from tonggan.data.dataset import Dataset
from tonggan.evaluation.audit import Audit
from tonggan.evaluation.predict import Measured
from tonggan.evaluation.subsets import SubsetRow
from tonggan.evaluation.verdict import AgainstConstant
from tonggan.runs.recipe import Recipe
from tonggan.tasks import Advice, Task
from tonggan.tasks.measure import Measure
from tonggan.training import TrainingResult
from tonggan.wording import Words

_MAX_SLICES = 20
# What to cut off for validation where the usual part is too small to judge a model on.
_LARGER_PART = 0.4


@dataclass(frozen=True)
class Account:
    """All that is known of a trained model: what ends up in the bundle and in the report."""

    training: TrainingResult
    measured: Mapping[str, Measured]
    metrics: Mapping[str, dict[str, float]]
    intervals: Mapping[str, dict[str, tuple[float, float]]]
    constant: AgainstConstant | None
    advice: Advice | None
    subsets: list[SubsetRow]
    audit: Audit
    parts: Mapping[str, Measure]


def slices(measured: Measured, values: Sequence[Any]) -> dict[str, Measure]:
    """The measure of the rows with each value, the most frequent first, at most 20.

    Args:
        measured: some rows.
        values: of a column, one for each of them.
    """
    names = np.array([str(cell_text(value)) for value in values])
    most_common = Counter(names.tolist()).most_common(_MAX_SLICES)
    return {name: measured.measure.take(np.flatnonzero(names == name)) for name, _ in most_common}


def audited_part(dataset: Dataset, *, seed: int, max_rows: int) -> Dataset:
    """``dataset``, or a random ``max_rows`` of it where it has more."""
    if len(dataset) <= max_rows:
        return dataset
    return dataset.take(np.sort(np.random.default_rng(seed).permutation(len(dataset))[:max_rows]))


def advise(task: Task, recipe: Recipe, constant: AgainstConstant | None) -> Advice | None:
    """What may give a better model, or where too few rows were measured, a better measurement."""
    if constant is None or constant.beaten != "too few rows":
        return task.advice()
    # Another seed cuts other rows off; where tables of their own are measured, nothing but larger ones helps.
    data = recipe.data
    if data.set is not None or data.valid is not None or data.test is not None:
        return None
    reason = Words(
        "More rows to measure, or another cut, may tell more. Fit again with:",
        "测量更多的行或换一种划分能说明更多问题。请加上以下选项重新训练：",
    )
    return Advice(reason, [f"data.valid_fraction={_LARGER_PART}", f"seed={recipe.seed + 1}"])


def results_of(
    *,
    metrics: Mapping[str, Mapping[str, float]],
    intervals: Mapping[str, Mapping[str, tuple[float, float]]],
    constant: AgainstConstant | None,
    subsets: list[SubsetRow],
    account: Audit,
    seconds: float,
    rows: Mapping[str, int],
    task: Task,
) -> dict[str, Any]:
    """What ``--json`` prints and a bundle stores."""
    return {
        "metrics": {split: dict(values) for split, values in metrics.items()},
        "intervals": {
            split: {name: list(pair) for name, pair in values.items()} for split, values in intervals.items()
        },
        "constant": None if constant is None else constant.to_dict(),
        "constant_answer": task.constant_words.english,
        "constant_answer_zh": task.constant_words.chinese,
        "subsets": [row.to_dict() for row in subsets],
        "audit": account.to_dict(),
        "seconds": seconds,
        "score_name": task.score_name,
        "rare_class": task.rare,
        "task": task.kind,
        "rows": dict(rows),
        "audited": subsets[0].num_rows,
    }
