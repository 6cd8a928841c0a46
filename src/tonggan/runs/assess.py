"""The full account of a trained model on one part of the data: metrics with intervals, subsets table, audit.

It trains nothing and writes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tonggan.cells import cell_text
from tonggan.data.dataset import Dataset
from tonggan.evaluation.audit import Audit, audit
from tonggan.evaluation.constant import AgainstConstant, compare_with_constant
from tonggan.evaluation.intervals import REPEATS, bootstrap
from tonggan.evaluation.predict import Outputs
from tonggan.evaluation.subsets import SubsetRow, evaluate_subsets
from tonggan.models import FusedModel
from tonggan.progress import Progress
from tonggan.tasks import Task

MAX_AUDITED_ROWS = 20_000
_MAX_PARTS = 20
_MAX_WRITTEN_ROWS = 1_000  # To write a text takes many passes through a decoder, and the audit writes many for a row.


def measure(
    task: Task, outputs: Outputs, *, seed: int, draws: int = REPEATS
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """The metrics of ``outputs``, and their 95 % intervals from so many bootstrap ``draws``."""
    assert outputs.target is not None, "rows without a target cannot be measured"
    metrics = task.metrics(outputs.outputs, outputs.target)
    return metrics, bootstrap(task, outputs.outputs, outputs.target, seed=seed, repeats=draws)


def against_constant(
    task: Task, outputs: Outputs, *, baseline: Tensor, seed: int, draws: int = REPEATS
) -> AgainstConstant | None:
    """``outputs`` beside the answer that is always the same; None where that has no score."""
    assert outputs.target is not None, "rows without a target cannot be measured"
    return compare_with_constant(task, outputs.outputs, outputs.target, baseline=baseline, seed=seed, repeats=draws)


def measure_parts(task: Task, parts: Mapping[str, Outputs]) -> dict[str, dict[str, float]]:
    """The metrics of each part, and its number of rows."""
    measured = {}
    for name, part in parts.items():
        assert part.target is not None, "rows without a target cannot be measured"
        measured[name] = {"rows": len(part), **task.metrics(part.outputs, part.target)}
    return measured


def told_apart(outputs: Outputs, values: Sequence[Any]) -> dict[str, Outputs]:
    """The rows of ``outputs`` with each value, the most frequent first, at most 20.

    Args:
        outputs: of some rows.
        values: of a column, one for each of them.
    """
    names = np.array([str(cell_text(value)) for value in values])
    most_common = Counter(names.tolist()).most_common(_MAX_PARTS)
    return {name: outputs.take(torch.from_numpy(np.flatnonzero(names == name))) for name, _ in most_common}


def signatures(task: Task, parts: Mapping[str, Outputs]) -> dict[str, dict[str, str]]:
    """How those metrics of each part were computed that are known in variants."""
    return {name: task.signatures(part.outputs, part.target) for name, part in parts.items() if part.target is not None}


def max_audited_rows(task: Task) -> int:
    """On how many rows subsets table and audit are made at most."""
    return MAX_AUDITED_ROWS if task.text is None else _MAX_WRITTEN_ROWS


def audited_part(dataset: Dataset, *, seed: int, max_rows: int) -> Dataset:
    """``dataset``, or a random ``max_rows`` of it where it has more."""
    if len(dataset) <= max_rows:
        return dataset
    return dataset.take(np.sort(np.random.default_rng(seed).permutation(len(dataset))[:max_rows]))


def dissect(
    model: FusedModel,
    task: Task,
    dataset: Dataset,
    *,
    baseline: Tensor,
    seed: int,
    alone_trained: Mapping[str, Tensor] | None = None,
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
        "subsets": [row.to_dict() for row in subsets],
        "audit": account.to_dict(),
        "seconds": seconds,
        "score_name": task.score_name,
        "rare_class": task.rare,
        "task": task.kind,
        "rows": dict(rows),
        "audited": subsets[0].num_rows,
    }
