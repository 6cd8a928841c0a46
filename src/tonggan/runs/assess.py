"""The full account of a trained model on rows of the data: their slices, the subsets table, the audit, the results.

It trains nothing and writes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from tonggan.cells import cell_text
from tonggan.data.dataset import Dataset
from tonggan.evaluation.audit import Audit, audit
from tonggan.evaluation.predict import Measured
from tonggan.evaluation.subsets import SubsetRow, evaluate_subsets
from tonggan.evaluation.verdict import AgainstConstant
from tonggan.models import FusedModel
from tonggan.progress import Progress
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


def audit_rows(
    model: FusedModel,
    task: Task,
    dataset: Dataset,
    *,
    baseline: Tensor,
    seed: int,
    alone_trained: Mapping[str, Measure] | None = None,
    progress: Progress,
) -> tuple[list[SubsetRow], Audit]:
    """The subsets table and the audit of ``model`` on the rows of ``dataset``."""
    kinds = input_kinds(dataset)
    subsets = evaluate_subsets(model, task, dataset, kinds=kinds, progress=progress)
    account = audit(
        model,
        task,
        dataset,
        subsets=subsets,
        kinds=kinds,
        baseline=baseline,
        seed=seed,
        alone_trained=alone_trained,
        progress=progress,
    )
    return subsets, account


def input_kinds(dataset: Dataset) -> dict[str, str]:
    """The modality kind of each input."""
    return {name: source.modality.kind for name, source in dataset.inputs.items()}


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
