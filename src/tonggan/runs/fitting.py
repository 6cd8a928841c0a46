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
from tonggan.floor import CannotFitError
from tonggan.floor.frozen import advised_weights
from tonggan.layers.cores import num_threads
from tonggan.models import Model
from tonggan.progress import Progress
from tonggan.runs.assess import Assessment, assess, slices
from tonggan.runs.bundle import Bundle
from tonggan.runs.bundle_folder import CHECKPOINTS, INDEX
from tonggan.runs.closing import Closing, Deadline
from tonggan.runs.loading import Data, load
from tonggan.runs.members import Floor, fit_floor, join_network
from tonggan.runs.plan import Plan, resolve
from tonggan.runs.predictor import Predictor
from tonggan.runs.recipe import Recipe
from tonggan.runs.run_folder import ALONE, claimed, finish, remember, unfinished
from tonggan.runs.saving import Made, save
from tonggan.runs.splits import open_splits
from tonggan.runs.start import Start, open_start
from tonggan.runs.trainings import inputs_alone, new_model, study_alone, train_one, with_inputs
from tonggan.tasks import Task
from tonggan.training import Budget, Following
from tonggan.training.budget import describe_seconds
from tonggan.training.world import World, world

START = "start.safetensors"
# Of the time that preparing the data has left, for what follows the training, until that is measured.
_FIRST_RESERVE = 0.15
# Of the time until the reserve, for the floor: beside a network, and where the audit alone follows.
_FLOOR_SHARE, _FLOOR_SHARE_ALONE = 0.4, 0.7
# Of what is then left, for the members of each input alone.
_ALONE_SHARE = 0.5
# A network that a preset adds takes so many seconds, or times as long as the floor, whichever is more.
_NETWORK_SECONDS, _NETWORK_TIMES = 60.0, 5.0
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
        plan, data = _plan_and_data(
            recipe, sources, progress=Deadline(progress, budget=budget), quarantine=out / "quarantine.csv"
        )
        _tell(plan, data, progress)
        work = remember(out, _identity(plan, data, start), overwrite=overwrite)
        is_finished = (work / INDEX).exists()  # It was stopped when only its traces were left to remove.
        processes.gather(None if is_finished else work)
        if is_finished:
            predictor = Predictor(Bundle.load(out), folder=out)
            finish(out)
            return predictor
        start.keep(work / CHECKPOINTS / START)
        _reserve(budget, progress=progress)
        made, closing = _make(plan, data, start, work=work, budget=budget, progress=progress, processes=processes)
        with num_threads(made.training.threads) if made.training else nullcontext():
            found = _assess(plan, data, made, closing, progress=progress)
        bundle = save(work, plan, data, start, made, found, seconds=budget.elapsed)
        finish(out)
    return Predictor(bundle, folder=out)


def _make(
    plan: Plan, data: Data, start: Start, *, work: Path, budget: Budget, progress: Progress, processes: World
) -> tuple[Made, Closing]:
    """Fit the floor, if there is one, train the network, if one is wanted, and for the audit fit each input alone.

    Returns:
        What was made, and what measures it.
    """
    floor = _floor(plan, data, budget=budget, progress=progress)
    processes.gather(floor is not None)
    alone = _alone(plan, data, floor, budget, progress) if floor else {}
    if not plan.trains_network:
        assert floor is not None, "a plan trains a network, or has a floor"
        closing = _closing(floor.ensemble, plan, data, budget=budget)
        if budget.seconds is not None:
            budget.reserve(closing.estimate())
        return Made(floor.ensemble, floor=floor, alone=alone), closing
    model = new_model(plan, data, start, progress=progress)
    closing = _closing(floor.ensemble.with_network(model, 0.5) if floor else model, plan, data, budget=budget)
    following = Following(closing.estimate, trainings=0 if floor else len(inputs_alone(plan, data)))
    spent = budget
    if floor is not None and budget.seconds is None and not plan.recipe.training.model_fields_set:
        spent = Budget(max(_NETWORK_SECONDS, _NETWORK_TIMES * floor.seconds))  # nobody has asked for more
    trained = train_one(
        model, plan, data, folder=work / CHECKPOINTS, budget=spent, progress=progress, following=following
    )
    if floor is None:
        networks = study_alone(
            plan, data, start, trained, folder=work / ALONE, budget=budget, progress=progress, processes=processes
        )
        alone = {name: each.model for name, each in networks.items()}
        return Made(trained.model, training=trained.result, alone=alone), closing
    floor = join_network(floor, trained.model, data, seconds=trained.result.seconds, progress=progress)
    _tell_members(floor, data.task, progress)
    closing.model = floor.ensemble
    return Made(floor.ensemble, training=trained.result, floor=floor, alone=alone), closing


def _floor(plan: Plan, data: Data, *, budget: Budget, progress: Progress) -> Floor | None:
    """The members, where there are some; what none of them can be fitted to is left to a network, if there is one."""
    if plan.recipe.floor is None:
        return None
    share = _FLOOR_SHARE if plan.trains_network else _FLOOR_SHARE_ALONE
    try:
        floor = fit_floor(plan, data, seconds=share * (budget.end - budget.elapsed), progress=progress)
    except CannotFitError as error:
        if not plan.trains_network:
            raise
        progress.say(f"No member can be fitted, so the network is trained alone: {error.got}")
        return None
    _tell_members(floor, data.task, progress)
    return floor


def _alone(plan: Plan, data: Data, floor: Floor, budget: Budget, progress: Progress) -> dict[str, Model]:
    """By input, the members fitted to that input alone, as far as time allows it."""
    found: dict[str, Model] = {}
    names = inputs_alone(plan, data)
    for name in names:
        left = _ALONE_SHARE * (budget.end - budget.elapsed)
        if len(names) * floor.seconds < left:
            progress.say(f"For the audit: members fitted to '{name}' alone")
            try:
                part = fit_floor(
                    plan, data, seconds=left / len(names), progress=progress, only=name, members=floor.ensemble.bags
                )
                found[name] = part.ensemble
            except CannotFitError:
                progress.say(f"No member can be fitted to '{name}' alone; the audit does without.")
        else:
            progress.say(f"No time is left to fit members to '{name}' alone; the audit does without.")
    return found


def _tell_members(floor: Floor, task: Task, progress: Progress) -> None:
    for each in floor.members:
        if each.score is None:
            progress.say(f"  {each.name}: left out ({each.problem})")
        else:
            score, seconds = f"{task.score_name} {each.score:.3f}", describe_seconds(each.seconds)
            if each.weight:
                progress.say(f"  {each.name}: {score}, weight {each.weight:.2f}, {seconds}")
            else:
                progress.say(f"  {each.name}: {score}, not kept, {seconds}")


def _follow(
    recipe: Recipe, start: Start, *, out: Path, sources: Mapping[str, Any], budget: Budget, processes: World
) -> Predictor:
    """The trainings of a run, beside the main process, whose bundle is waited for."""
    work = processes.gather(None)[0]  # By then what is decoded is in the cache.
    if work is not None:
        silent = Progress()
        plan, data = _plan_and_data(recipe, sources, progress=silent)
        has_floor = processes.gather(None)[0]
        if plan.trains_network:
            model = new_model(plan, data, start)
            trained = train_one(model, plan, data, folder=work / CHECKPOINTS, budget=budget, progress=silent)
            if not has_floor:
                study_alone(
                    plan, data, start, trained, folder=work / ALONE, budget=budget, progress=silent, processes=processes
                )
    processes.wait()
    return Predictor(Bundle.load(out), folder=out)


def _plan_and_data(
    recipe: Recipe, sources: Mapping[str, Any], *, progress: Progress, quarantine: Path | None = None
) -> tuple[Plan, Data]:
    cache = cache_folder()
    tables = open_splits(
        recipe.data, target=recipe.target, sources=sources, seed=recipe.seed, cache=cache, progress=progress
    )
    plan = resolve(recipe, tables)
    return plan, load(plan, tables, cache=cache, progress=progress, quarantine=quarantine)


def _identity(plan: Plan, data: Data, start: Start) -> str:
    """The full recipe, and what its data and its start are."""
    origins = "".join(f"# start.{name}: {origin.sha256}\n" for name, origin in start.origins.items())
    return f"# data: {data.fingerprint}\n{origins}{plan.recipe.to_yaml()}"


def _tell(plan: Plan, data: Data, progress: Progress) -> None:
    for name, kind in plan.kinds.items():
        progress.say(f"  {name}: {'target' if name in plan.recipe.target else kind} ({plan.reasons[name]})")
    rows = ", ".join(f"{len(table):,} {split}" for split, table in data.tables.items())
    progress.say(f"Rows: {rows}. Task: {data.task.kind}.")
    for finding in data.diagnosis.aloud:
        progress.warn_of_data(finding.told())
    for name, modality in data.modalities.items():
        advised = advised_weights(modality.kind)
        if plan.recipe.floor and plan.recipe.floor.weights.get(name) is None and advised:
            progress.say(f"'{name}' is read without pretrained weights; to have them: tonggan weights get {advised}")
    if plan.recipe.data.batch_by is None:
        for name, times in _repeated_files(data.datasets["train"]).items():
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


def _closing(model: Model, plan: Plan, data: Data, *, budget: Budget) -> Closing:
    measured = {split: dataset for split, dataset in data.datasets.items() if split != "train"}
    return Closing(model, data.task, measured, budget=budget, seed=plan.recipe.seed)


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


def _assess(plan: Plan, data: Data, made: Made, closing: Closing, *, progress: Progress) -> Assessment:
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
    )
    if column is None:
        return found
    values = list(data.tables.values())[-1].values(column, found.final.rows)
    return replace(found, slices=slices(found.final, values))
