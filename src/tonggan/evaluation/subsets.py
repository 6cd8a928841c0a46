"""The subsets table: the metrics with every subset of a model's inputs present, and each input's share in them.

Each batch is encoded once; per subset only what joins the inputs runs again, with some of them absent. It trains
nothing: how a model trained on one input alone would do is a different question, which the audit takes up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from math import factorial
from typing import Any

import torch

from tonggan.data.dataset import Dataset
from tonggan.errors import ConfigError
from tonggan.evaluation.predict import by_fold, evaluating, iterate_batches
from tonggan.models.base import Encoded, Model
from tonggan.progress import Progress
from tonggan.tasks.base import Task
from tonggan.tasks.measure import Measure
from tonggan.tokens import Batch

MAX_GROUPS = 6


@dataclass(frozen=True)
class SubsetRow:
    """How the model does when only ``present`` is there.

    Attributes:
        present: names of the inputs, or of the groups of inputs, that are present.
        num_rows: how many rows were evaluated.
        score: the task's own score, ``metrics[task.score_name]``.
        metrics: by name.
        measure: of these rows, for paired comparisons; not part of ``to_dict``.
    """

    present: tuple[str, ...]
    num_rows: int
    score: float
    metrics: dict[str, float]
    measure: Measure = field(repr=False, compare=False)

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
    model: Model,
    task: Task,
    dataset: Dataset,
    *,
    kinds: Mapping[str, str],
    batch_size: int = 256,
    progress: Progress | None = None,
) -> list[SubsetRow]:
    """One row for every subset of the inputs (of the groups of ``group_inputs``), by size, the full set last.

    At most 64 subsets, of each of which the statistics of the rows are kept; take fewer rows of a large data set.

    Raises:
        DataError: the data set has no rows.
    """
    groups = group_inputs(kinds)
    subsets = all_subsets(groups)
    collected: list[list[Measure]] = [[] for _ in subsets]
    for answering, part in by_fold(model, dataset):
        with evaluating(answering) as device:
            for batch in iterate_batches(part, batch_size=batch_size, progress=progress, label="subsets"):
                encoded = answering.encode(batch.to(device).inputs)
                for parts, chosen in zip(collected, subsets, strict=True):
                    visible = {name for group in chosen for name in groups[group]}
                    hidden = hide(encoded, visible=visible, device=device)
                    parts.append(measure_encoded(answering, task, hidden, batch))
    rows = []
    for chosen, parts in zip(subsets, collected, strict=True):
        measure = Measure.cat(parts)
        metrics, score = measure.metrics(), measure.score()
        # A copy, without what the metrics have prepared: of 64 subsets that would be many times the rows.
        rows.append(SubsetRow(chosen, len(measure), score, metrics, replace(measure)))
    return rows


def measure_encoded(model: Model, task: Task, encoded: Mapping[str, Encoded], batch: Batch) -> Measure:
    """What the rest of ``model`` is worth on the inputs of ``batch``, encoded as ``encoded``."""
    return task.measure(model.answer(encoded, batch.inputs).cpu(), batch.targets)


def hide(
    encoded: Mapping[str, Encoded], *, visible: Iterable[str], device: torch.device | None = None
) -> dict[str, Encoded]:
    """``encoded`` on ``device`` with every input absent that is not ``visible``."""
    visible = set(visible)
    return {
        name: part if name in visible else part.keep(torch.zeros(len(part), dtype=torch.bool, device=device))
        for name, part in encoded.items()
    }


def shapley_values(value: Mapping[frozenset[str], float]) -> dict[str, float]:
    """Each player's average contribution over all orders in which the players may join (Shapley 1953).

    The values sum to the value of all players minus the value of none.

    Args:
        value: the worth of every subset of the players, the empty one included.

    Raises:
        ConfigError: a subset is missing.
    """
    players = sorted(frozenset().union(*value))
    total = len(players)
    missing = 2**total - len(value)
    if missing:
        raise ConfigError(
            "Shapley values",
            got=f"{len(value)} subsets",
            expected=f"all {2**total} subsets of {', '.join(players) or 'no players'}",
            remedy="Evaluate the missing subsets",
        )
    result = dict.fromkeys(players, 0.0)
    for player in players:
        others = [other for other in players if other != player]
        for size in range(total):
            weight = factorial(size) * factorial(total - size - 1) / factorial(total)
            for chosen in combinations(others, size):
                without = frozenset(chosen)
                result[player] += weight * (value[without | {player}] - value[without])
    return result
