"""One trial of a recipe: the floor and the network that it asks for, made from some rows and measured on others.

A run is one trial; a study is several, each of which is kept in a folder of its own until the last one is whole.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from tonggan.errors import TrainingError
from tonggan.floor import CannotFitError
from tonggan.floor.ensemble import Ensemble
from tonggan.floor.reader import Reader
from tonggan.models import Model
from tonggan.progress import Progress
from tonggan.runs.bundle import Bundle
from tonggan.runs.bundle_folder import CHECKPOINTS, INDEX
from tonggan.runs.closing import Closing
from tonggan.runs.loading import Data
from tonggan.runs.members import Floor, fit_floor, join_network, keep_floor, kept_floor
from tonggan.runs.plan import Plan
from tonggan.runs.run_folder import ALONE, TRIALS
from tonggan.runs.saving import Made, save_trial
from tonggan.runs.start import Start
from tonggan.runs.trainings import inputs_alone, new_model, study_alone, train_one
from tonggan.tasks import Task
from tonggan.training import Budget, Following
from tonggan.training.budget import describe_seconds
from tonggan.training.world import World

# Of the time until the reserve, for the floor: beside a network, and where the audit alone follows.
_FLOOR_SHARE, _FLOOR_SHARE_ALONE = 0.4, 0.7
# Of what is then left, for the members of each input alone.
_ALONE_SHARE = 0.5
# A network that a preset adds takes so many seconds, or times as long as the floor, whichever is more.
_NETWORK_SECONDS, _NETWORK_TIMES = 60.0, 5.0


def make(
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
    """Fit the floor, if there is one, train the network, if one is wanted, and for the audit fit each input alone.

    Returns:
        What was made, and what measures it.
    """
    floor = _floor(plan, data, folder=work / CHECKPOINTS, budget=budget, progress=progress)
    processes.gather(floor is not None)
    alone = _alone(plan, data, floor, work / CHECKPOINTS, budget, progress) if floor else {}
    if floor is not None and not plan.trains_network:
        closing = closing_of(floor.ensemble, plan, data, budget=budget, audits=audits)
        if budget.seconds is not None:
            budget.reserve(closing.estimate())
        return Made(floor.ensemble, floor=floor, alone=alone), closing
    model = new_model(plan, data, start, progress=progress)
    both = floor.ensemble.with_network(model, 0.5) if floor else model
    closing = closing_of(both, plan, data, budget=budget, audits=audits)
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


def _floor(plan: Plan, data: Data, *, folder: Path, budget: Budget, progress: Progress) -> Floor | None:
    """The members, where there are some; what none can be fitted to, or in time, is left to a network."""
    if plan.recipe.floor is None:
        return None
    share = _FLOOR_SHARE if plan.trains_network else _FLOOR_SHARE_ALONE
    seconds = share * (budget.end - budget.elapsed)
    try:
        floor = _kept(
            folder / "floor.safetensors",
            data,
            progress,
            partial(fit_floor, plan, data, seconds=seconds, progress=progress),
        )
    except CannotFitError as error:
        if not plan.trains_network and budget.seconds is None:
            raise  # with a time limit there is a model all the same
        progress.say(f"No member can be fitted, so the network is trained alone: {error.got}")
        return None
    _tell_members(floor, data.task, progress)
    return floor


def _kept(path: Path, data: Data, progress: Progress, fit: Callable[[], Floor]) -> Floor:
    """The members that an interrupted run has left in ``path``, else those of ``fit``, which are kept there.

    Raises:
        CannotFitError: as ``fit``.
        TrainingError: the file is damaged.
    """
    found = kept_floor(path, data)
    if found is not None:
        progress.say("Members that were fitted before the interruption are reused.")
        return found
    floor = fit()
    try:
        keep_floor(path, floor)
    except TrainingError as error:  # by the end of the run there may be room
        progress.say(f"The members are kept in memory alone: {error.got}")
    return floor


def run_trial(
    plan: Plan,
    data: Data,
    start: Start,
    *,
    folder: Path,
    budget: Budget,
    progress: Progress,
    processes: World,
    how: Callable[..., tuple[Made, Closing]] = make,
) -> Bundle:
    """What a trial has made, with its metrics on all parts but the training one, kept in ``folder`` as a bundle.

    A finished trial that is there is not made again, and an unfinished one goes on.

    Args:
        plan: what is tried.
        data: what it learns from and is measured on.
        start: where encoders begin.
        folder: of the trial.
        budget: of the trial.
        progress: told of every step.
        processes: that train together.
        how: makes it; as a study of several trials where the plan asks for one.

    Raises:
        TongganError: as a run.
    """
    is_finished = (folder / INDEX).exists()
    processes.gather(is_finished)
    if is_finished:
        bundle = Bundle.load(folder)
        if isinstance(bundle.model, Ensemble):
            bundle.model.readers = readers_for([bundle.model], data)
        return bundle
    elapsed = budget.elapsed
    made, closing = how(
        plan, data, start, work=folder, budget=budget, progress=progress, processes=processes, audits=False
    )
    measured = closing.measure(progress)
    task = copy.deepcopy(data.task)
    task.calibrate(measured["valid"].measure)
    metrics = {split: part.calibrated(task).measure.metrics() for split, part in measured.items()}
    bundle = save_trial(folder, plan, data, start, made, task, metrics, seconds=budget.elapsed - elapsed)
    for name in (CHECKPOINTS, TRIALS):
        shutil.rmtree(folder / name, ignore_errors=True)
    return bundle


def readers_for(models: Sequence[Model], data: Data) -> dict[str, Reader]:
    """The readers of ``data``, whose frozen encoders are at hand, with vectors where one of ``models`` reads them."""
    ensembles = [model for model in models if isinstance(model, Ensemble)]
    return {
        name: reader if any(each.readers[name].weights for each in ensembles) else reader.without_vectors()
        for name, reader in data.readers.items()
    }


def _alone(plan: Plan, data: Data, floor: Floor, folder: Path, budget: Budget, progress: Progress) -> dict[str, Model]:
    """By input, the members fitted to that input alone, as far as time allows it."""
    found: dict[str, Model] = {}
    names = inputs_alone(plan, data)
    needed = sum(each.seconds for each in floor.members if each.weight)  # Others are not fitted again.
    for place, name in enumerate(names):
        left = _ALONE_SHARE * (budget.end - budget.elapsed)
        if len(names) * needed < left:
            progress.say(f"For the audit: members fitted to '{name}' alone")
            try:
                fit = partial(
                    fit_floor, plan, data,
                    seconds=left / len(names), progress=progress, only=name, members=floor.ensemble.bags,
                )  # fmt: skip
                found[name] = _kept(folder / f"floor-{place}.safetensors", data, progress, fit).ensemble
            except CannotFitError:
                progress.say(f"No member can be fitted to '{name}' alone; the audit does without.")
        else:
            progress.say(f"No time is left to fit members to '{name}' alone; the audit does without.")
    return found


def _tell_members(floor: Floor, task: Task, progress: Progress) -> None:
    progress.say("Members, scored on rows they were not trained on; those that lower the loss are kept:")
    for each in floor.members:
        if each.score is None:
            progress.say(f"  {each.name}: left out ({each.problem})")
        else:
            score, seconds = f"{task.score_name} {each.score:.3f}", describe_seconds(each.seconds)
            if each.weight:
                progress.say(f"  {each.name}: {score}, weight {each.weight:.2f}, {seconds}")
            else:
                progress.say(f"  {each.name}: {score}, not kept, {seconds}")


def closing_of(model: Model, plan: Plan, data: Data, *, budget: Budget, audits: bool = True) -> Closing:
    """What measures ``model`` on all parts but the training one, and keeps time for an audit or not."""
    measured = {split: dataset for split, dataset in data.datasets.items() if split != "train"}
    return Closing(model, data.task, measured, budget=budget, seed=plan.recipe.seed, audits=audits)
