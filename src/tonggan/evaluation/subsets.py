"""The subsets table: the metrics with every subset of a model's inputs present, the empty one included.

Each batch is encoded once; per subset only fusion and head run again, on Tokens whose masks are closed. It trains
nothing: how a model trained on one input alone would do is a different question, which the audit takes up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from tonggan.data.dataset import Dataset
from tonggan.evaluation.predict import evaluating, iterate_batches
from tonggan.models.fused import FusedModel
from tonggan.progress import Progress
from tonggan.tasks.base import Task
from tonggan.tokens import Tokens

MAX_GROUPS = 6


@dataclass(frozen=True)
class SubsetRow:
    """How the model does when only ``present`` is there.

    Attributes:
        present: names of the inputs, or of the groups of inputs, that are present.
        num_rows: how many rows were evaluated.
        score: the task's own score, ``metrics[task.score_name]``.
        metrics: by name, as ``task.metrics`` gives them.
        outputs: the raw outputs ``[N, num_outputs]``, for paired comparisons; not part of ``to_dict``.
    """

    present: tuple[str, ...]
    num_rows: int
    score: float
    metrics: dict[str, float]
    outputs: Tensor = field(repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "present": list(self.present),
            "num_rows": self.num_rows,
            "score": self.score,
            "metrics": dict(self.metrics),
        }


def group_inputs(kinds: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """What is switched as one: each input by itself, or all inputs of one kind where there are more than six.

    Args:
        kinds: the modality kind of each input, e.g. ``{"photo": "image", "title": "text"}``.
    """
    if len(kinds) <= MAX_GROUPS:
        return {name: (name,) for name in kinds}
    groups: dict[str, tuple[str, ...]] = {}
    for name, kind in kinds.items():
        groups[kind] = (*groups.get(kind, ()), name)
    return groups


def all_subsets(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Every subset in order of its size, from none to all."""
    names = tuple(names)
    return [chosen for size in range(len(names) + 1) for chosen in combinations(names, size)]


def evaluate_subsets(
    model: FusedModel,
    task: Task,
    dataset: Dataset,
    *,
    kinds: Mapping[str, str],
    batch_size: int = 256,
    progress: Progress | None = None,
) -> list[SubsetRow]:
    """One row for every subset of the inputs (of the groups of ``group_inputs``), by size, the full set last.

    At most 64 subsets, and at most twice the memory of their outputs; take fewer rows of a large data set.

    Raises:
        DataError: the data set has no rows.
    """
    groups = group_inputs(kinds)
    subsets = all_subsets(groups)
    collected: list[list[Tensor]] = [[] for _ in subsets]
    targets = []
    with evaluating(model) as device:
        for batch in iterate_batches(dataset, batch_size=batch_size, progress=progress, label="subsets"):
            tokens = model.encode(batch.to(device).inputs)
            for place, chosen in zip(collected, subsets, strict=True):
                visible = {name for group in chosen for name in groups[group]}
                place.append(model.decode(model.fuse(hide(tokens, visible=visible))).float().cpu())
            assert batch.target is not None, "only rows with a target can be evaluated"
            targets.append(batch.target)
    target = torch.cat(targets)
    rows = []
    for chosen, parts in zip(subsets, collected, strict=True):
        outputs = torch.cat(parts)
        metrics = task.metrics(outputs, target)
        rows.append(SubsetRow(chosen, len(outputs), task.score(outputs, target), metrics, outputs))
    return rows


def hide(tokens: Mapping[str, Tokens], *, visible: Iterable[str]) -> dict[str, Tokens]:
    """``tokens`` with every input absent that is not ``visible``."""
    visible = set(visible)
    return {
        name: part if name in visible else part.keep(torch.zeros(len(part), dtype=torch.bool, device=part.mask.device))
        for name, part in tokens.items()
    }
