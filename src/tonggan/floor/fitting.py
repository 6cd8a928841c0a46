"""Fit the members on folds of the rows, choose by rows that none has learned from, and keep those that pay."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tonggan.floor.base import CannotFitError, Examples, Floats, Goal, Member, MemberConfig
from tonggan.floor.choice import choose
from tonggan.floor.ensemble import Bag
from tonggan.floor.features import Features, num_rows, take_rows
from tonggan.layers.cores import map_on_cores
from tonggan.progress import Progress

Rows = NDArray[np.int64]

_PROBED_ROWS = 64


@dataclass(frozen=True, eq=False)
class Tried:
    """How one member did.

    Attributes:
        name: of the member.
        loss: on rows that it has not learned from; None where it could not be fitted.
        predictions: of these rows; None as before.
        weight: in the ensemble, 0 where it was not kept.
        seconds: that fitting it took, all folds together.
        problem: why it could not be fitted.
    """

    name: str
    loss: float | None
    predictions: Floats | None
    weight: float
    seconds: float
    problem: str | None = None


@dataclass(frozen=True, eq=False)
class Fitted:
    """The members that were kept.

    Attributes:
        bags: by name.
        tried: all that were tried, in the order of trying.
        rows: positions of the rows by which they were chosen.
        predictions: ``[N, size]`` of these rows by the members together, none of which has learned from them.
    """

    bags: dict[str, Bag]
    tried: list[Tried]
    rows: Rows
    predictions: Floats


def fit_members(
    members: Mapping[str, MemberConfig],
    features: Features,
    targets: NDArray[Any],
    weights: Floats,
    goal: Goal,
    *,
    folds: Sequence[tuple[Rows, Rows]],
    most: int,
    seed: int,
    seconds: float,
    progress: Progress,
) -> Fitted:
    """The members that pay, each fitted once for each fold.

    Args:
        members: what is tried, by name.
        features: of all rows.
        targets: of all rows, as ``Examples`` has them.
        weights: of all rows.
        goal: what is predicted.
        folds: positions of rows to learn from, and of rows to choose by, which no two folds share.
        most: how many members may be kept.
        seed: of what is random in a member.
        seconds: for all of it, ``inf`` without a limit.
        progress: told of every fold.

    Raises:
        CannotFitError: not one of the members suits these rows.
    """
    assert num_rows(features) == len(targets) == len(weights), "features, targets and weights are of the same rows"
    names = sorted(members, key=lambda name: members[name].cost)
    tasks = [(name, fold) for name in names for fold in folds]
    clock = _Clock(seconds, parts=len(tasks))
    problems: dict[str, str] = {}

    def fit(task: tuple[str, tuple[Rows, Rows]]) -> _Part:
        name, (learned, held) = task
        started, share = time.monotonic(), clock.share()
        if name in problems:  # without one fold there is no use for the others
            return _Part(name, None, None, 0.0, problems[name])
        examples = Examples(take_rows(features, learned), targets[learned], weights[learned])
        fit_one = partial(members[name].fit, examples, goal, seed=seed, seconds=share)
        try:
            # One is fitted and answers whatever it takes.
            member = fit_one() if name == names[0] else _fit_in_time(fit_one, features, held, clock)
        except CannotFitError as error:
            problems[name] = str(error)
            return _Part(name, None, None, time.monotonic() - started, problems[name])
        return _Part(name, member, member.predict(take_rows(features, held)), time.monotonic() - started, None)

    parts: list[_Part] = []
    with _one_thread_each():
        for part in map_on_cores(fit, tasks):
            parts.append(part)
            progress.update("floor", done=len(parts), total=len(tasks), note=part.name)
    rows = np.concatenate([held for _, held in folds])
    tried = [_joined(name, parts, targets[rows], weights[rows], goal) for name in names]
    return _chosen(members, parts, tried, targets[rows], weights[rows], goal, rows=rows, most=most)


@dataclass(frozen=True, eq=False)
class _Part:
    """A member that was fitted without one fold, and what it predicts there; or why it could not be fitted."""

    name: str
    member: Member | None
    predictions: Floats | None
    seconds: float
    problem: str | None


def _one_thread_each() -> AbstractContextManager[Any]:
    """Products of such sizes take many times as long on threads that wait for one another."""
    # Before the threads are limited, for libraries that are loaded later have as many as they like.
    import scipy.optimize  # noqa: F401
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[Any] = threadpool_limits(1, user_api="blas")
    return limits


def _fit_in_time(fit: Callable[[], Member], features: Features, held: Rows, clock: _Clock) -> Member:
    """What ``fit`` gives, where members before have left time for it and it can predict the rows ``held`` in time."""
    if clock.left <= 0:
        raise CannotFitError(
            "floor",
            got="no time left after the members before",
            expected="time to fit this one",
            remedy="Raise the time limit",
        )
    member = fit()
    _check_speed(member, take_rows(features, held[:_PROBED_ROWS]), len(held), clock)
    return member


def _check_speed(member: Member, probed: Features, rows: int, clock: _Clock) -> None:
    """Some members are fitted quickly and answer slowly, so that their predictions would outlast the time limit."""
    if math.isinf(clock.left):
        return
    started = time.monotonic()
    member.predict(probed)
    expected = (time.monotonic() - started) * rows / num_rows(probed)
    if expected > clock.left:
        raise CannotFitError(
            "floor",
            got=f"{expected:.2g} s that predictions would take",
            expected=f"at most the {max(clock.left, 0):.2g} s that are left",
            remedy="Raise the time limit",
        )


def _joined(name: str, parts: Sequence[_Part], targets: NDArray[Any], weights: Floats, goal: Goal) -> Tried:
    """How the member did on all folds."""
    own = [part for part in parts if part.name == name]
    seconds = sum(part.seconds for part in own)
    problem = next((part.problem for part in own if part.problem is not None), None)
    if problem is not None:
        return Tried(name, None, None, 0.0, seconds, problem)
    predictions = np.concatenate([part.predictions for part in own if part.predictions is not None])
    loss = float(np.average(goal.losses(predictions, targets), weights=weights))
    return Tried(name, loss, predictions, 0.0, seconds)


def _chosen(
    members: Mapping[str, MemberConfig],
    parts: Sequence[_Part],
    tried: Sequence[Tried],
    targets: NDArray[Any],
    weights: Floats,
    goal: Goal,
    *,
    rows: Rows,
    most: int,
) -> Fitted:
    predictions = {each.name: each.predictions for each in tried if each.predictions is not None}
    if not predictions:
        raise none_fits("; ".join(str(each.problem) for each in tried))
    chosen = choose(predictions, targets, weights, goal, most=most)
    mean = np.sum([weight * predictions[name] for name, weight in chosen.items()], axis=0)
    fitted = {name: [part.member for part in parts if part.name == name and part.member is not None] for name in chosen}
    bags = {name: Bag(members[name], fitted[name], weight) for name, weight in chosen.items()}
    told = [
        Tried(each.name, each.loss, each.predictions, chosen.get(each.name, 0.0), each.seconds, each.problem)
        for each in tried
    ]
    return Fitted(bags, told, rows, mean)


def none_fits(got: str) -> CannotFitError:
    """The error of a floor without a member."""
    return CannotFitError(
        "floor",
        got=got,
        expected="at least one member that can be fitted to these rows",
        remedy="Add rows or inputs, or train a network with --set floor=null",
    )


class _Clock:
    """Shares the time that is left among what is still to be fitted, one on each core."""

    def __init__(self, seconds: float, *, parts: int) -> None:
        self._end, self._parts = time.monotonic() + seconds, parts
        self._cores = min(parts, torch.get_num_threads())
        self._lock = threading.Lock()

    @property
    def left(self) -> float:
        """Seconds until the end."""
        return self._end - time.monotonic()

    def share(self) -> float:
        """Seconds for the next one, which may also have what earlier ones have left."""
        with self._lock:
            share = self.left * min(1.0, self._cores / max(1, self._parts))
            self._parts -= 1
        return max(0.0, share)
