"""The audit: is the model really multimodal, and does fusion pay?

It sets the full model beside the majority, each input alone, and each input shuffled between rows, shares the score
out among the inputs, and says the result in one sentence. It trains nothing itself: what models are worth that were
trained on one input alone is handed in by whoever trained them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tonggan.data.dataset import Dataset
from tonggan.evaluation.bootstrap import MIN_ROWS, compare
from tonggan.evaluation.permutation import ColumnImportance, column_importance, shuffle_inputs
from tonggan.evaluation.predict import measure_constant
from tonggan.evaluation.subsets import SubsetRow, evaluate_subsets, group_inputs, shapley_values
from tonggan.evaluation.verdict import Part, Verdict, judge, nothing_to_fuse, too_few_rows
from tonggan.models.base import Model
from tonggan.progress import Progress
from tonggan.tasks.base import Task
from tonggan.tasks.measure import Measure


@dataclass(frozen=True)
class Audit:
    """What each part of a model is worth, in the task's score.

    Attributes:
        score_name: e.g. ``accuracy``.
        greater_is_better: False for errors such as ``rmse``.
        num_rows: how many rows were evaluated.
        majority: the score of always saying the most frequent class, or the mean, of the training part.
        alone: by input, this model's score with all other inputs absent.
        alone_trained: by input, the score of a model trained on it alone, where there was time for one.
        shuffled: by input, this model's score when that input comes from another row.
        full: this model's score.
        shapley: by input, its share in what the full model gains over no input at all; more is always better, also
            where a small score is (Shapley 1953).
        verdict: does fusion pay?
        columns: by input that is a table, what the full model loses when one column comes from another row, the
            greatest loss first.
    """

    score_name: str
    greater_is_better: bool
    num_rows: int
    majority: float
    alone: dict[str, float]
    alone_trained: dict[str, float]
    shuffled: dict[str, float]
    full: float
    shapley: dict[str, float]
    verdict: Verdict
    columns: dict[str, list[ColumnImportance]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        plain = asdict(self)
        plain["columns"] = {
            name: {column.column: column.to_dict() for column in columns} for name, columns in self.columns.items()
        }
        gain = self.verdict.gain_interval
        plain["verdict"]["gain_interval"] = None if gain is None else list(gain)
        return plain


def audit(
    model: Model,
    task: Task,
    dataset: Dataset,
    *,
    seed: int,
    alone_trained: Mapping[str, Measure] | None = None,
    batch_size: int = 256,
    progress: Progress | None = None,
    enough: Callable[[], bool] = lambda: False,
) -> tuple[list[SubsetRow], Audit]:
    """The subsets table and the audit of ``model`` on the rows of ``dataset``.

    Args:
        model: whose inputs are looked at one by one.
        task: that it was trained for.
        dataset: rows with a target.
        seed: of the shuffles and of the bootstrap.
        alone_trained: by input (or group), what a model trained on that input alone is worth on these rows.
        batch_size: rows at a time.
        progress: told of every batch.
        enough: asked after each column of a table whether to leave it at those so far.
    """
    kinds = input_kinds(dataset)
    groups = group_inputs(kinds)
    subsets = evaluate_subsets(model, task, dataset, kinds=kinds, batch_size=batch_size, progress=progress)
    shuffled = shuffle_inputs(model, task, dataset, groups=groups, seed=seed, batch_size=batch_size, progress=progress)
    columns = column_importance(
        model, task, dataset, seed=seed, batch_size=batch_size, progress=progress, enough=enough
    )
    alone = {row.present[0]: row.measure for row in subsets if len(row.present) == 1}
    trained = dict(alone_trained or {})
    full = subsets[-1]
    if len(groups) > 1:
        verdict = _beside_best_part(full.measure, alone=alone, alone_trained=trained, seed=seed)
    elif full.num_rows < MIN_ROWS:
        verdict = too_few_rows(full.num_rows)
    else:
        (name,) = groups
        verdict = nothing_to_fuse(
            name, score_name=task.score_name, full=full.score, columns=columns.get(name, ()) if len(kinds) == 1 else ()
        )
    sign = 1.0 if task.greater_is_better else -1.0
    found = Audit(
        score_name=task.score_name,
        greater_is_better=task.greater_is_better,
        num_rows=full.num_rows,
        majority=measure_constant(task, dataset).score(),
        alone={name: measure.score() for name, measure in alone.items()},
        alone_trained={name: measure.score() for name, measure in trained.items()},
        shuffled={name: measure.score() for name, measure in shuffled.items()},
        full=full.score,
        shapley=shapley_values({frozenset(row.present): sign * row.score for row in subsets}),
        verdict=verdict,
        columns=columns,
    )
    return subsets, found


def input_kinds(dataset: Dataset) -> dict[str, str]:
    """The modality kind of each input."""
    return {name: source.modality.kind for name, source in dataset.inputs.items()}


def _beside_best_part(
    full: Measure, *, alone: Mapping[str, Measure], alone_trained: Mapping[str, Measure], seed: int
) -> Verdict:
    """The full model beside the best single part, however that part was made."""
    sign = 1.0 if full.greater_is_better else -1.0
    parts = [(measure, Part(name, trained_alone=False)) for name, measure in alone.items()]
    parts += [(measure, Part(name, trained_alone=True)) for name, measure in alone_trained.items()]
    best, part = max(parts, key=lambda each: sign * each[0].score())
    return judge(compare(full, best, seed=seed), part, any_trained_alone=bool(alone_trained))
