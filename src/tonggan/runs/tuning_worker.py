"""Workers of a tuning: processes that take the next trial, make it, and tell what came of it.

Each trial that is made has a lock that ends with its process: a trial whose worker has died is found by that, and taken
up again from its checkpoint.
"""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from filelock import FileLock, Timeout

from tonggan.errors import ConfigError, InterruptedRunError, TongganError
from tonggan.processes import isolated_command
from tonggan.progress import Progress
from tonggan.runs.closing import Deadline
from tonggan.runs.fitting import plan_and_data
from tonggan.runs.ray_cluster import Engine, cluster, require_ray
from tonggan.runs.recipe import RangeConfig, Recipe
from tonggan.runs.run_folder import TRIALS, locked
from tonggan.runs.start import open_start
from tonggan.runs.study import run_study
from tonggan.runs.trial import make, run_trial
from tonggan.runs.tuning import TAKEN_UP, Tuning, open_study, open_tuning, prepare, results_of, write_results
from tonggan.training import Budget
from tonggan.training.world import World
from tonggan.wording import Words

if TYPE_CHECKING:
    from optuna import Study, Trial

_MOST_ATTEMPTS = 3  # at one trial whose process dies
_LEAST_SECONDS = 1.0  # that a trial is worth beginning with


class _Given(Exception):  # noqa: N818 (an outcome, no error)
    """A trial is given up, as others were better at this point."""


class _Watched(Deadline):
    """Passes on what a trial tells, and its scores to Optuna.

    Args:
        progress: of the worker.
        budget: of the trial.
        trial: in Optuna's study.
        label: whose scores count.
    """

    def __init__(self, progress: Progress, *, budget: Budget, trial: Trial, label: str) -> None:
        super().__init__(progress, budget=budget)
        self._trial, self._label = trial, label

    def scored(self, label: str, number: int, score: float) -> None:
        if label == self._label:
            self._trial.report(score, number)
            if self._trial.should_prune():
                raise _Given


def work(tuning: Tuning, sources: Mapping[str, Any], *, until: float, progress: Progress) -> None:
    """Make trials until there are as many as wanted, or the time is over; several processes may do so at once.

    Args:
        tuning: prepared.
        sources: tables in memory, instead of the recipe's paths.
        until: ``time.time()`` at which the last trial must be done.
        progress: told of each trial.

    Raises:
        InterruptedRunError: Ctrl-C came; the trial goes on when the study does.
    """
    while time.time() < until - _LEAST_SECONDS:
        taken = _take(tuning)
        if taken is None:
            return
        trial, lock = taken
        try:
            _make(tuning, trial, sources, until=until, progress=progress)
        finally:
            lock.release()


def _take(tuning: Tuning) -> tuple[Trial, FileLock] | None:
    """The next trial with its values, and the lock of its folder; None where there are enough."""
    from optuna.trial import TrialState

    with FileLock(tuning.folder / ".proposing.lock"):
        study = open_study(tuning)
        _take_up_again(tuning, study)
        trials = study.get_trials(deepcopy=False)
        is_waiting = any(each.state == TrialState.WAITING for each in trials)
        if not is_waiting and sum(_counts(each) for each in trials) >= tuning.trials:
            return None
        # With a seed of its own each proposal is the same, whoever asks, and after a stop as well.
        trial = open_study(tuning, seed=tuning.seed * 1_000_003 + len(trials)).ask()
        for path, values in tuning.ranges.items():
            _suggest(trial, path, values)
        lock = _lock_of(tuning, trial)
        lock.acquire()
        return trial, lock


def _counts(trial: Any) -> bool:
    """Whether a trial is one of those that were asked for: not one that was taken up again under another number."""
    return not trial.user_attrs.get(TAKEN_UP, False)


def _suggest(trial: Trial, path: str, values: list[Any] | RangeConfig) -> None:
    if isinstance(values, list):
        trial.suggest_categorical(path, values)
    elif isinstance(values.low, int) and isinstance(values.high, int):
        trial.suggest_int(path, values.low, values.high, log=values.log)
    else:
        trial.suggest_float(path, values.low, values.high, log=values.log)


def _folder_of(tuning: Tuning, trial: Any) -> Path:
    return tuning.folder / TRIALS / str(trial.user_attrs.get("folder", trial.number))


def _lock_of(tuning: Tuning, trial: Any) -> FileLock:
    folder = _folder_of(tuning, trial)
    folder.parent.mkdir(exist_ok=True)
    return FileLock(folder.parent / f".{folder.name}.lock", timeout=0)


def _take_up_again(tuning: Tuning, study: Study) -> None:
    """Trials that run although nobody holds their lock wait again, with their values and in their folder."""
    from optuna.trial import Trial, TrialState

    for each in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        try:
            with _lock_of(tuning, each):
                attempts = each.user_attrs.get("attempts", 1)
                is_whole = set(each.params) == set(tuning.ranges)  # else it died while it was proposed
                again = is_whole and attempts < _MOST_ATTEMPTS
                dead = Trial(study, each._trial_id)
                dead.set_user_attr(TAKEN_UP, again or not is_whole)
                if not again and is_whole:
                    dead.set_user_attr("error", f"its process has died {attempts} times")
                study.tell(each.number, state=TrialState.FAIL)
                if again:
                    folder = _folder_of(tuning, each).name
                    study.enqueue_trial(each.params, user_attrs={"folder": folder, "attempts": attempts + 1})
        except Timeout:
            continue  # its worker lives


def _make(tuning: Tuning, trial: Trial, sources: Mapping[str, Any], *, until: float, progress: Progress) -> None:
    """Make a trial, and tell Optuna what came of it."""
    from optuna.trial import TrialState

    study, folder = trial.study, _folder_of(tuning, trial)
    which = ", ".join(f"{path.rpartition('.')[2]} {_short(value)}" for path, value in trial.params.items())
    progress.say(f"Trial {trial.number + 1}: {which}")
    started = time.monotonic()
    state, score = TrialState.COMPLETE, None
    try:
        score = _score(tuning, trial, sources, folder=folder, until=until, progress=progress)
        progress.say(f"  {tuning.score_name} {score:.4f}")
    except _Given:
        state = TrialState.PRUNED
        progress.say("  stopped early: others were better at this point")
    except InterruptedRunError:
        raise  # It goes on when the study does.
    except TongganError as error:
        state = TrialState.FAIL
        trial.set_user_attr("error", str(error))
        progress.warn(f"Trial {trial.number + 1} failed: {error}")
    trial.set_user_attr("seconds", time.monotonic() - started)
    study.tell(trial, score, state=state)
    shutil.rmtree(folder, ignore_errors=True)


def _score(
    tuning: Tuning, trial: Trial, sources: Mapping[str, Any], *, folder: Path, until: float, progress: Progress
) -> float:
    recipe = tuning.with_values(trial.params).model_copy(update={"audit_alone": False})
    limit = until - time.time()
    budget = Budget(limit if limit < float("inf") else None)
    watched = _Watched(progress, budget=budget, trial=trial, label=recipe.study.kind or "training")
    start = open_start(recipe.start, kept=None)
    plan, data = plan_and_data(recipe, {**sources, "test": None}, start, progress=watched)
    bundle = run_trial(
        plan,
        data,
        start,
        folder=folder,
        budget=budget,
        progress=watched,
        processes=World(0, 1, torch.device("cuda" if torch.cuda.is_available() else "cpu")),
        how=run_study if recipe.study.kind else make,
    )
    return float(bundle.results["metrics"]["valid"][bundle.task.score_name])


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


@contextmanager
def _workers(tuning: Tuning, count: int, *, until: float) -> Iterator[None]:
    """Further processes make trials while inside, and are waited for; what they say is in the study's folder."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(_threads(count))}
    workers = []
    for number in range(1, count + 1):
        command = isolated_command("tonggan.runs.tuning_worker", str(tuning.folder), str(tuning.trials), str(until))
        with (tuning.folder / f"worker-{number}.log").open("wb") as log:
            workers.append(subprocess.Popen(command, stdout=log, stderr=log, env=environment))
    try:
        yield
    except BaseException:
        for worker in workers:
            worker.terminate()
        raise
    finally:
        for worker in workers:
            worker.wait()


@contextmanager
def _ray_workers(tuning: Tuning, count: int, *, until: float) -> Iterator[None]:
    """The same on Ray."""
    import ray

    threads = _threads(count)
    with cluster(shows=False):
        remote = ray.remote(
            num_cpus=threads, max_retries=0, runtime_env={"env_vars": {"OMP_NUM_THREADS": str(threads)}}
        )
        tasks = [remote(_work_in).remote(str(tuning.folder.absolute()), tuning.trials, until) for _ in range(count)]
        try:
            yield
            ray.get(tasks)
        finally:
            for task in tasks:
                ray.cancel(task, force=True)


def _threads(count: int) -> int:
    """Of each process, where ``count`` work beside this one."""
    return max(1, (os.cpu_count() or 1) // (count + 1))


def _check(jobs: int, engine: Engine, sources: Mapping[str, Any]) -> None:
    """Raise the error of workers that cannot be."""
    if jobs > 1 and any(table is not None for table in sources.values()):
        raise ConfigError(
            "--jobs",
            got=f"{jobs} processes for a table in memory",
            expected="a table in a file, which all of them can read",
            remedy="Write the table to a file first, or use one job",
        )
    if engine == "ray":
        require_ray()


def tune(
    folder: Path,
    recipe: Recipe,
    sources: Mapping[str, Any],
    *,
    trials: int,
    jobs: int = 1,
    engine: Engine = "local",
    time_limit: float | None = None,
    progress: Progress,
) -> dict[str, Any]:
    """Make ``trials`` of ``recipe`` in ``folder``, or go on there; the best settings are then in ``best.yaml``.

    Args:
        folder: of the study.
        recipe: whose ``study.ranges`` are searched.
        sources: tables in memory by split, instead of the recipe's paths.
        trials: how many in all, those of an earlier call included.
        jobs: how many processes make them, this one included.
        engine: what starts the others.
        time_limit: seconds for all of it.
        progress: told of each trial of this process.

    Returns:
        What ``write_results`` tells.

    Raises:
        ConfigError: several jobs for tables in memory, or what ``prepare`` refuses.
        MissingExtraError: Ray is not installed.
        TrainingError: no trial was finished.
    """
    _check(jobs, engine, sources)
    until = math.inf if time_limit is None else time.time() + time_limit
    start_workers = _ray_workers if engine == "ray" else _workers
    with locked(folder, Words("study", "研究")):
        tuning = prepare(folder, recipe, sources, trials=trials, progress=progress)
        with start_workers(tuning, min(jobs, trials) - 1, until=until):
            work(tuning, sources, until=until, progress=progress)
        work(tuning, sources, until=until, progress=progress)  # what a dead worker has left
        return write_results(tuning, results_of(tuning))


def _work_in(folder: str, trials: int, until: float) -> None:
    """What a further process does."""
    work(open_tuning(Path(folder), trials=trials), {}, until=until, progress=Progress())


if __name__ == "__main__":
    _work_in(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
