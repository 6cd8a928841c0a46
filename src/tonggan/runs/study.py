"""Folds and seeds: several trials of one recipe on the same data, and the mean of what they predict.

Inputs and target are fitted once, on all rows of the training part; everything that learns from the target learns in
each fold anew. Each trial is kept in a folder of its own, so that a study that was stopped goes on with the next one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from tonggan.data.kinds import is_id
from tonggan.decoders import TARGET
from tonggan.evaluation.predict import predict_rows
from tonggan.evaluation.report import MemberSummary, StudySummary, TrialSummary
from tonggan.floor.base import Goal
from tonggan.floor.ensemble import Ensemble
from tonggan.models import Model
from tonggan.progress import Progress
from tonggan.runs.bundle import Bundle
from tonggan.runs.bundle_folder import CHECKPOINTS, OUT_OF_FOLD
from tonggan.runs.closing import Closing
from tonggan.runs.loading import Data
from tonggan.runs.members import Floor
from tonggan.runs.plan import Plan
from tonggan.runs.recipe import StudyConfig
from tonggan.runs.run_folder import TRIALS
from tonggan.runs.saving import Made
from tonggan.runs.splits import cut_folds
from tonggan.runs.start import Start
from tonggan.runs.trainings import new_model, train_one
from tonggan.runs.trial import closing_of, readers_for, run_trial
from tonggan.runs.writing import write_predictions
from tonggan.training import Budget
from tonggan.training.world import World


def with_folds(plan: Plan, data: Data) -> Data:
    """``data`` whose validation part is, where the plan has folds, the rows of all of them, each with its fold."""
    if plan.recipe.study.folds is None:
        return data
    train = data.datasets["train"]
    held = [positions for _, positions in _folds(plan, data)]
    valid = replace(
        train,
        rows=train.rows[np.concatenate(held)],
        targets={TARGET: train.targets[TARGET]},
        groups=None,
        folds=np.repeat(np.arange(len(held)), list(map(len, held))),
    )
    others = {split: part for split, part in data.datasets.items() if split != "train"}
    return replace(data, datasets={"train": train, "valid": valid, **others})


def _folds(plan: Plan, data: Data) -> list[Any]:
    recipe, rows = plan.recipe, data.datasets["train"].rows
    assert recipe.study.folds is not None, "the plan has folds"
    table, count = data.tables["train"], recipe.study.folds
    return cut_folds(table, rows, recipe.data, target=recipe.target, count=count, seed=recipe.seed)


def trials_of(plan: Plan, data: Data) -> Iterator[tuple[Plan, Data]]:
    """The plan and the rows of each trial of a study; the audit of single inputs is none of its work."""
    recipe = plan.recipe.model_copy(update={"study": StudyConfig(), "audit_alone": False})
    for seed in range(plan.recipe.study.seeds or 0):
        yield plan.model_copy(update={"recipe": recipe.model_copy(update={"seed": recipe.seed + seed})}), data
    if plan.recipe.study.folds is None:
        return
    train, tables = data.datasets["train"], data.tables
    for learned, held in _folds(plan, data):
        valid = replace(train, targets={TARGET: train.targets[TARGET]}, groups=None).take(held)
        yield (
            plan.model_copy(update={"recipe": recipe}),
            replace(
                data,
                tables={"train": tables["train"], "valid": tables["train"]},
                datasets={"train": train.take(learned), "valid": valid},
            ),
        )


def run_study(
    plan: Plan,
    data: Data,
    start: Start,
    *,
    work: Path,
    budget: Budget,
    progress: Progress,
    processes: World,
    audits: bool = True,
) -> tuple[Made, Closing]:
    """The trials of ``plan``, each within its share of the time, and the mean of their predictions.

    Args:
        plan: with folds or seeds.
        data: as ``with_folds`` has it.
        start: where encoders begin.
        work: folder of the run.
        budget: of all of them.
        progress: told of each trial.
        processes: that train together.
        audits: whether an audit follows.

    Returns:
        What was made, and what measures it.
    """
    kind, trials = plan.recipe.study.kind, list(trials_of(plan, data))
    assert kind is not None, "the plan is a study"
    bundles, scores = [], []
    for place, (each, rows) in enumerate(trials):
        which = f"{place + 1} of {len(trials)}"
        progress.say(f"Fold {which}" if kind == "folds" else f"Seed {which}")
        share = None if budget.seconds is None else max(0.0, budget.end - budget.elapsed) / (len(trials) - place)
        bundle = run_trial(
            each,
            rows,
            start,
            folder=work / TRIALS / str(place),
            budget=Budget(share),
            progress=progress,
            processes=processes,
        )
        bundles.append(bundle)
        score = bundle.task.score_name
        scores.append(float(bundle.results["metrics"]["valid"].get(score, np.nan)))
        progress.say(f"  {score} {scores[-1]:.4f}")
        progress.scored(kind, place + 1, float(np.mean(scores)))
        if place == 0 and budget.seconds is not None:
            several = _mean(plan, data, [bundle.model] * len(trials))
            budget.reserve(closing_of(several, plan, data, budget=budget, audits=audits).estimate())
    ensemble = _mean(plan, data, [bundle.model for bundle in bundles])
    closing = closing_of(ensemble, plan, data, budget=budget, audits=audits)
    if budget.seconds is not None:
        closing.estimate()  # which tells how many rows there is time to audit
    told = [each.results for each in bundles]
    summaries = [
        TrialSummary(number, each["rows"], each["metrics"], each["seconds"])
        for number, each in enumerate(told, start=1)
    ]
    return Made(ensemble, floor=_members(ensemble, bundles), study=StudySummary(kind, summaries)), closing


def follow_study(plan: Plan, data: Data, start: Start, *, folder: Path, budget: Budget, processes: World) -> None:
    """The trainings of a study, beside the main process."""
    for place, (each, rows) in enumerate(trials_of(plan, data)):
        if processes.gather(None)[0]:
            continue  # it was made before
        has_floor = processes.gather(None)[0]
        if plan.trains_network or not has_floor:
            model = new_model(each, rows, start)
            checkpoints = folder / TRIALS / str(place) / CHECKPOINTS
            train_one(model, each, rows, folder=checkpoints, budget=budget, progress=Progress())


def _mean(plan: Plan, data: Data, models: Sequence[Model]) -> Ensemble:
    """The mean of ``models``, which answers each fold by the model that has not learned from it.

    By time the last model alone is served: it has learned from the most rows, and from the latest.
    """
    assert plan.task.form is not None, "a study predicts classes, labels or numbers"
    served = models[-1:] if plan.recipe.study.folds and plan.recipe.data.time else models
    goal = Goal(plan.task.form, len(data.task.labels))
    return Ensemble.mean(served, readers_for(served, data), goal, folds=models)


def _members(ensemble: Ensemble, bundles: Sequence[Bundle]) -> Floor | None:
    """The members of all trials, each with its mean score and weight; None where there are none."""
    floors = [bundle.results["floor"] for bundle in bundles]
    if not all(floors):
        return None
    by_name: dict[str, list[dict[str, Any]]] = {}
    for member in chain.from_iterable(floor["members"] for floor in floors):
        by_name.setdefault(member["name"], []).append(member)
    members = []
    for name, found in by_name.items():
        scores = [each["score"] for each in found if each["score"] is not None]
        members.append(
            MemberSummary(
                name,
                float(np.mean(scores)) if scores else None,
                sum(each["weight"] for each in found) / len(floors),
                sum(each["seconds"] for each in found),
                None if scores else found[0]["problem"],
            )
        )
    return Floor(
        ensemble,
        members,
        float(np.mean([floor["score"] for floor in floors])),
        sum(floor["rows"] for floor in floors),
        sum(floor["seconds"] for floor in floors),
    )


def write_out_of_fold(folder: Path, plan: Plan, data: Data, model: Model, *, progress: Progress) -> None:
    """Write each row's prediction by the model that has not learned from it into ``folder``, in the table's order.

    Raises:
        DataError: the file cannot be written.
    """
    task, table, dataset = data.task, data.tables["train"], data.datasets["valid"]
    assert dataset.folds is not None, "the plan has folds"
    found = predict_rows(
        model, dataset, read=lambda each: (task.decode(each), task.probabilities(each)), progress=progress
    )
    order, rows = np.argsort(dataset.rows), np.sort(dataset.rows)
    cells = [task.as_cell(answer) for answers, _ in found for answer in answers]
    predictions = [cells[place] for place in order]
    target = plan.recipe.target
    ids = [name for name in table.names if is_id(table, name) and name not in target]
    columns: dict[str, Any] = {"row": table.row_numbers[rows], "fold": dataset.folds[order] + 1}
    for name in [*ids, *target]:
        columns[name] = pa.array(table.values(name, rows), table.column_type(name))
    if len(target) > 1:
        columns |= {f"predicted_{name}": [row[name] for row in predictions] for name in target}
    else:
        columns["prediction"] = predictions
    probabilities = [part for _, part in found if part is not None]
    if probabilities:
        shares = torch.cat(probabilities)[torch.from_numpy(order)].T.tolist()
        columns |= {f"p_{label}": share for label, share in zip(task.labels, shares, strict=True)}
    write_predictions(folder / OUT_OF_FOLD, pa.table(columns), decimals=None)
