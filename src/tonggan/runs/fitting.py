"""A whole run: resolve, load, train, assess, save; interrupted at any point, it resumes."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tonggan.data.dataset import Dataset, MediaSource
from tonggan.data.places import cache_folder
from tonggan.evaluation.predict import measure_rows
from tonggan.floor.frozen import advised_weights
from tonggan.layers.cores import num_threads
from tonggan.progress import Progress
from tonggan.runs.assess import Assessment, assess, slices
from tonggan.runs.bundle import Bundle
from tonggan.runs.bundle_folder import CHECKPOINTS, INDEX, OUT_OF_FOLD
from tonggan.runs.closing import Closing, Deadline
from tonggan.runs.loading import Data, load
from tonggan.runs.plan import Plan, resolve
from tonggan.runs.predictor import Predictor
from tonggan.runs.recipe import Recipe
from tonggan.runs.run_folder import ALONE, claimed, finish, remember, unfinished
from tonggan.runs.saving import Made, save
from tonggan.runs.splits import open_splits
from tonggan.runs.start import Start, open_start
from tonggan.runs.study import follow_study, run_study, with_folds, write_out_of_fold
from tonggan.runs.trainings import new_model, study_alone, train_one, with_inputs
from tonggan.runs.trial import make
from tonggan.training import Budget
from tonggan.training.budget import describe_seconds
from tonggan.training.world import World, world

START = "start.safetensors"
# Of the time that preparing the data has left, for what follows the training, until that is measured.
_FIRST_RESERVE = 0.15
# Rows for each file from which on it is worth telling how to encode it once.
_OFTEN = 3
# Of more columns the report tells.
_MOST_COLUMNS = 40


def run_recipe(
    recipe: Recipe,
    *,
    out: Path,
    sources: Mapping[str, Any] | None = None,
    time_limit: float | None = None,
    started: float | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Predictor:
    """Run ``recipe`` into the folder ``out``, or resume it there.

    Started by ``torchrun``, the processes train together; all else the main one does.

    Args:
        recipe: what to run.
        out: the run's folder; at the end it is the bundle.
        sources: tables in memory by split, instead of the recipe's paths.
        time_limit: seconds for everything.
        started: ``time.monotonic()`` from which these count, now by default.
        overwrite: replace what another run left in ``out``; a finished one when this one is.
        progress: told of everything.

    Raises:
        TongganError: the recipe, the data, the disk or the numbers do not allow it; the error says which.
    """
    progress = progress or Progress()
    budget = Budget(time_limit, started=started)
    start = open_start(recipe.start, kept=None if overwrite else unfinished(out) / CHECKPOINTS / START)
    with world() as processes:
        if not processes.is_main:
            return _follow(recipe, start, out=out, sources=sources or {}, budget=budget, processes=processes)
        predictor = _lead(
            recipe,
            start,
            out=out,
            sources=sources or {},
            budget=budget,
            overwrite=overwrite,
            progress=progress,
            processes=processes,
        )
        processes.wait()
    return predictor


def _lead(
    recipe: Recipe,
    start: Start,
    *,
    out: Path,
    sources: Mapping[str, Any],
    budget: Budget,
    overwrite: bool,
    progress: Progress,
    processes: World,
) -> Predictor:
    """The whole run, as one process or the main one."""
    with claimed(out, overwrite=overwrite):
        plan, data = plan_and_data(
            recipe, sources, start, progress=Deadline(progress, budget=budget), quarantine=out / "quarantine.csv"
        )
        _tell(plan, data, progress)
        work = remember(out, identity_of(plan, data, start), overwrite=overwrite)
        is_finished = (work / INDEX).exists()  # It was stopped when only its traces were left to remove.
        processes.gather(None if is_finished else work)
        if is_finished:
            predictor = Predictor(Bundle.load(out), folder=out)
            finish(out)
            return predictor
        start.keep(work / CHECKPOINTS / START)
        _reserve(budget, progress=progress)
        one = run_study if plan.recipe.study.kind else make
        made, closing = one(plan, data, start, work=work, budget=budget, progress=progress, processes=processes)
        with num_threads(made.training.threads) if made.training else nullcontext():
            found = assess_made(plan, data, made, closing, progress=progress)
        if plan.recipe.study.folds:
            write_out_of_fold(work, plan, data, made.model, progress=progress)
        bundle = save(work, plan, data, start, made, found, seconds=budget.elapsed)
        finish(out)
        if not plan.recipe.study.folds:
            (out / OUT_OF_FOLD).unlink(missing_ok=True)  # of the run that this one has replaced
    return Predictor(bundle, folder=out)


def _follow(
    recipe: Recipe, start: Start, *, out: Path, sources: Mapping[str, Any], budget: Budget, processes: World
) -> Predictor:
    """The trainings of a run, beside the main process, whose bundle is waited for."""
    work = processes.gather(None)[0]  # By then what is decoded is in the cache.
    if work is not None:
        silent = Progress()
        plan, data = plan_and_data(recipe, sources, start, progress=silent)
        if plan.recipe.study.kind:
            follow_study(plan, data, start, folder=work, budget=budget, processes=processes)
            processes.wait()
            return Predictor(Bundle.load(out), folder=out)
        has_floor = processes.gather(None)[0]
        if plan.trains_network or not has_floor:
            model = new_model(plan, data, start)
            trained = train_one(model, plan, data, folder=work / CHECKPOINTS, budget=budget, progress=silent)
            if not has_floor:
                study_alone(
                    plan, data, start, trained, folder=work / ALONE, budget=budget, progress=silent, processes=processes
                )
    processes.wait()
    return Predictor(Bundle.load(out), folder=out)


def plan_and_data(
    recipe: Recipe,
    sources: Mapping[str, Any],
    start: Start,
    *,
    progress: Progress,
    quarantine: Path | None = None,
    fitted: Mapping[str, Any] | None = None,
) -> tuple[Plan, Data]:
    """The plan of ``recipe`` for its tables, of which ``sources`` take the place, and what it makes of them.

    What an encoder starts from also says what it reads, and how, where the recipe does not; or all inputs are as they
    were ``fitted`` once.

    Raises:
        ConfigError, DataError: as ``resolve`` and ``load``.
    """
    cache = cache_folder()
    tables = open_splits(
        recipe.data,
        target=recipe.target,
        sources=sources,
        seed=recipe.seed,
        cache=cache,
        progress=progress,
        folds=recipe.study.folds is not None,
    )
    plan = resolve(start.complete(recipe, tables["train"].names), tables)
    fitted = start.fitted if fitted is None else fitted
    data = load(plan, tables, cache=cache, progress=progress, quarantine=quarantine, fitted=fitted)
    return plan, with_folds(plan, data)


def identity_of(plan: Plan, data: Data, start: Start) -> str:
    """The full recipe, and what its data and its start are."""
    origins = "".join(f"# start.{name}: {origin.sha256}\n" for name, origin in start.origins.items())
    return f"# data: {data.fingerprint}\n{origins}{plan.recipe.to_yaml()}"


def _tell(plan: Plan, data: Data, progress: Progress) -> None:
    inputs = [name for name in plan.kinds if name not in plan.recipe.target]
    unsaid = set(inputs[_MOST_COLUMNS:])
    for name, kind in plan.kinds.items():
        if name not in unsaid:
            progress.say(f"  {name}: {'target' if name in plan.recipe.target else kind} ({plan.reasons[name]})")
    if unsaid:
        progress.say(
            f"  … and {len(unsaid):,} more columns: {', '.join(sorted({plan.kinds[name] for name in unsaid}))}"
        )
    rows = ", ".join(f"{len(table):,} {split}" for split, table in data.tables.items())
    progress.say(f"Rows: {rows}. Task: {data.task.kind}.")
    for line in data.diagnosis.told():
        progress.warn_of_data(line)
    for name, modality in data.modalities.items():
        advised = advised_weights(modality.kind)
        if plan.recipe.floor and plan.recipe.floor.weights.get(name) is None and advised:
            progress.say(f"'{name}' is read without pretrained weights; to have them: tonggan weights get {advised}")
    if plan.recipe.data.batch_by is None:
        for name, times in _repeated_files(data.datasets["train"]).items():
            progress.say(
                f"Each file in '{name}' appears in {times:.1f} rows on average: --set data.batch_by={name} encodes it "
                f"once for all of them, --set data.group={name} keeps it from being in train and valid at once."
            )


def _repeated_files(dataset: Dataset) -> dict[str, float]:
    """By input, in how many rows each picture or recording stands on average, where that is often."""
    times = {}
    for name, source in dataset.inputs.items():
        if isinstance(source, MediaSource):
            slots = source.column.slots[dataset.rows]
            present = slots[slots >= 0]
            if len(present) >= _OFTEN * len(np.unique(present)) > 0:
                times[name] = len(present) / len(np.unique(present))
    return times


def _reserve(budget: Budget, *, progress: Progress) -> None:
    """Keep some time for what follows the training, if there is a limit; the training measures how much that takes."""
    if budget.seconds is None:
        return
    if budget.left < 0.5 * budget.seconds:
        progress.say(
            f"Preparing the data took {describe_seconds(budget.elapsed)} of the time limit of "
            f"{describe_seconds(budget.seconds)}; a longer limit leaves more for training."
        )
    budget.reserve(_FIRST_RESERVE * budget.left)


def assess_made(plan: Plan, data: Data, made: Made, closing: Closing, *, progress: Progress) -> Assessment:
    """Calibrate the model on the validation part, and measure it on that and the test part as far as time allows."""
    task, column = data.task, plan.recipe.report_by
    measured = closing.measure(progress)
    task.calibrate(measured["valid"].measure)
    measured = {split: part.calibrated(task) for split, part in measured.items()}
    draws, audited = closing.draws(measured), closing.audited()
    found = assess(
        made.model,
        task,
        measured,
        audited,
        seed=plan.recipe.seed,
        draws=draws,
        alone={
            name: measure_rows(model, task, with_inputs(audited, name), progress=progress).measure
            for name, model in made.alone.items()
        },
        progress=progress,
        enough=closing.is_late,
    )
    if column is None:
        return found
    values = list(data.tables.values())[-1].values(column, found.final.rows)
    return replace(found, slices=slices(found.final, values))
