"""A whole run: prepare, train, calibrate, measure, audit, report, save; interrupted at any point, it resumes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tonggan.data.dataset import Dataset, MediaSource
from tonggan.data.places import cache_folder
from tonggan.evaluation.audit import audit
from tonggan.evaluation.bootstrap import intervals
from tonggan.evaluation.predict import Measured, measure_rows
from tonggan.evaluation.report import write_report
from tonggan.evaluation.verdict import compare_with_constant
from tonggan.layers.cores import num_threads
from tonggan.models import FusedModel
from tonggan.progress import Progress
from tonggan.runs.assess import Account, advise, results_of, slices
from tonggan.runs.bundle import CHECKPOINTS, INDEX, Bundle, base_of, versions
from tonggan.runs.closing import Closing
from tonggan.runs.deadline import Deadline
from tonggan.runs.predictor import Predictor
from tonggan.runs.prepare import Prepared, prepare
from tonggan.runs.recipe import Recipe
from tonggan.runs.reporting import report_content
from tonggan.runs.run_folder import ALONE, claimed, finish, remember, unfinished
from tonggan.runs.start import Start, open_start
from tonggan.runs.trainings import new_model, num_alone, train_alone, train_model, with_inputs
from tonggan.tasks.measure import Measure
from tonggan.training import Budget, Following, TrainingResult
from tonggan.training.budget import describe_seconds
from tonggan.training.world import World, world

START = "start.safetensors"
# Of the time that preparing the data has left, for what follows the training, until that is measured.
_FIRST_RESERVE = 0.15
# Rows for each file from which on it is worth telling how to encode it once.
_OFTEN = 3


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
        prepared = prepare(
            recipe,
            sources=sources,
            cache=cache_folder(),
            progress=Deadline(progress, budget=budget),
            quarantine=out / "quarantine.csv",
        )
        _tell(prepared, progress)
        model = new_model(prepared, start, progress=progress)
        work = remember(out, _identity(prepared, start), overwrite=overwrite)
        is_finished = (work / INDEX).exists()  # It was stopped when only its traces were left to remove.
        processes.gather(None if is_finished else work)
        if is_finished:
            predictor = Predictor(Bundle.load(out), folder=out)
            finish(out)
            return predictor
        start.keep(work / CHECKPOINTS / START)
        closing = _closing(model, prepared, budget=budget)
        _reserve(budget, progress=progress)
        following = Following(closing.estimate, trainings=num_alone(prepared))
        training = train_model(
            model, prepared, folder=work / CHECKPOINTS, budget=budget, progress=progress, following=following
        )
        alone = train_alone(
            prepared, start, training, folder=work / ALONE, budget=budget, progress=progress, processes=processes
        )
        with num_threads(training.threads):
            account = _assess(model, prepared, training, alone, closing=closing, progress=progress)
        bundle = _bundle(model, prepared, start, account, seconds=budget.elapsed)
        write_report(work / "report.html", content=report_content(bundle, prepared, account))
        bundle.save(work)
        finish(out)
    return Predictor(bundle, folder=out)


def _follow(
    recipe: Recipe, start: Start, *, out: Path, sources: Mapping[str, Any], budget: Budget, processes: World
) -> Predictor:
    """The trainings of a run, beside the main process, whose bundle is waited for."""
    work = processes.gather(None)[0]  # By then what is decoded is in the cache.
    if work is not None:
        silent = Progress()
        prepared = prepare(recipe, sources=sources, cache=cache_folder(), progress=silent)
        model = new_model(prepared, start)
        training = train_model(model, prepared, folder=work / CHECKPOINTS, budget=budget, progress=silent)
        train_alone(prepared, start, training, folder=work / ALONE, budget=budget, progress=silent, processes=processes)
    processes.wait()
    return Predictor(Bundle.load(out), folder=out)


def _identity(prepared: Prepared, start: Start) -> str:
    """The full recipe, and what its data and its start are."""
    origins = "".join(f"# start.{name}: {origin.sha256}\n" for name, origin in start.origins.items())
    return f"# data: {prepared.fingerprint}\n{origins}{prepared.recipe.to_yaml()}"


def _tell(prepared: Prepared, progress: Progress) -> None:
    for name, guess in prepared.guesses.items():
        role = "target" if name in prepared.recipe.target else guess.config.kind
        progress.say(f"  {name}: {role} ({guess.reason})")
    rows = ", ".join(f"{len(table):,} {split}" for split, table in prepared.tables.items())
    progress.say(f"Rows: {rows}. Task: {prepared.task.kind}.")
    for finding in prepared.diagnosis.aloud:
        progress.warn_of_data(finding.told())
    if prepared.recipe.data.batch_by is None:
        for name, times in _repeated_files(prepared.datasets["train"]).items():
            progress.say(
                f"Each file in '{name}' stands in {times:.1f} rows on average: --set data.batch_by={name} encodes it "
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


def _closing(model: FusedModel, prepared: Prepared, *, budget: Budget) -> Closing:
    task, seed = prepared.task, prepared.recipe.seed
    rehearsed = partial(audit, model, task, seed=seed)
    return Closing(model, task, _measured_parts(prepared), audit=rehearsed, budget=budget, seed=seed)


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


def _assess(
    model: FusedModel,
    prepared: Prepared,
    training: TrainingResult,
    alone: Mapping[str, FusedModel],
    *,
    closing: Closing,
    progress: Progress,
) -> Account:
    """Calibrate ``model`` on the validation part, and measure it on that and the test part as far as time allows."""
    task, seed = prepared.task, prepared.recipe.seed
    measured = closing.measure(progress)
    task.calibrate(measured["valid"].measure)
    measured = {split: part.calibrated(task) for split, part in measured.items()}
    draws = closing.draws(measured)
    bounds = {split: intervals(part.measure, seed=seed, repeats=draws) for split, part in measured.items()}
    final = list(measured.values())[-1]
    audited = closing.audited()
    subsets, found = audit(
        model,
        task,
        audited,
        seed=seed,
        alone_trained={
            name: measure_rows(part, task, with_inputs(audited, name), progress=progress).measure
            for name, part in alone.items()
        },
        progress=progress,
    )
    constant = compare_with_constant(final, always=task.constant_words, seed=seed, repeats=draws)
    return Account(
        training=training,
        measured=measured,
        metrics={split: part.measure.metrics() for split, part in measured.items()},
        intervals=bounds,
        constant=constant,
        advice=advise(task, prepared.recipe, constant),
        subsets=subsets,
        audit=found,
        parts=_parts(prepared, final),
    )


def _parts(prepared: Prepared, measured: Measured) -> dict[str, Measure]:
    """The rows with each value of the column ``report_by``, if the recipe names one."""
    column = prepared.recipe.report_by
    table = list(prepared.tables.values())[-1]
    return {} if column is None else slices(measured, table.values(column, measured.rows))


def _measured_parts(prepared: Prepared) -> dict[str, Dataset]:
    """The parts that the model did not learn from; the last one gives the final number."""
    return {split: dataset for split, dataset in prepared.datasets.items() if split != "train"}


def _bundle(model: FusedModel, prepared: Prepared, start: Start, account: Account, *, seconds: float) -> Bundle:
    training = account.training
    rows = {split: len(dataset) for split, dataset in prepared.datasets.items()}
    results = results_of(
        metrics=account.metrics,
        intervals=account.intervals,
        constant=account.constant,
        subsets=account.subsets,
        account=account.audit,
        seconds=seconds,
        rows=rows,
        task=prepared.task,
    )
    splits = {split: part.measure for split, part in account.measured.items()}
    results |= {
        "parts": {name: {"rows": len(part), **part.metrics()} for name, part in account.parts.items()},
        "signatures": {name: part.signatures() for name, part in {**splits, **account.parts}.items()},
        "measured": {split: len(part) for split, part in splits.items()},
        "settings_to_try": list(account.advice.settings) if account.advice else [],
        "settings_reason": account.advice.reason.english if account.advice else "",
        "settings_reason_zh": account.advice.reason.chinese if account.advice else "",
        "target": prepared.recipe.target,
        "labels": prepared.task.labels,
        "inputs": {name: modality.kind for name, modality in prepared.modalities.items()},
        "data": {split: table.source for split, table in prepared.tables.items()},
        "training": {
            "history": training.history,
            "best_step": training.best_step,
            "steps": training.steps,
            "seconds": training.seconds,
            "stopped_by": training.stopped_by,
            "precision": training.precision,
            "peak_memory": training.peak_memory,
        },
        "findings": [finding.to_dict() for finding in prepared.diagnosis.findings],
    }
    info = {
        "fingerprint": prepared.fingerprint,
        "base": base_of(prepared.recipe),
        "start": start.identity,
        "versions": versions(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }
    trained = model.cpu().eval()
    profiles = prepared.diagnosis.profiles
    return Bundle(prepared.recipe, prepared.modalities, prepared.task, trained, results, info, profiles)
