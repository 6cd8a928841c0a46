"""What is told of a trained model: which rows are audited, slices of those measured, and all results as plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tonggan.cells import cell_text
from tonggan.data.dataset import Dataset
from tonggan.evaluation.audit import Audit
from tonggan.evaluation.predict import Measured
from tonggan.evaluation.subsets import SubsetRow
from tonggan.evaluation.verdict import AgainstConstant
from tonggan.tasks import Task
from tonggan.tasks.measure import Measure

_MAX_SLICES = 20


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
