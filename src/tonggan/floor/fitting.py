"""Fit the members on folds of the rows, choose by rows that none has learned from, and keep those that pay."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tonggan.floor.base import CannotFitError, Examples, Floats, Goal, Member, MemberConfig
from tonggan.floor.choice import choose
from tonggan.floor.ensemble import Bag
from tonggan.floor.features import Features, num_rows, take_rows
from tonggan.progress import Progress

Rows = NDArray[np.int64]


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
    seconds: float = field(default=0.0)


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
    clock = _Clock(seconds, parts=len(members) * len(folds))
    rows = np.concatenate([held for _, held in folds])
    tried: list[Tried] = []
    fitted: dict[str, list[Member]] = {}
    done = 0
    for name, config in sorted(members.items(), key=lambda item: item[1].cost):
        started = time.monotonic()
        made, parts, problem = [], [], None
        for learned, held in folds:
            try:
                examples = Examples(take_rows(features, learned), targets[learned], weights[learned])
                made.append(config.fit(examples, goal, seed=seed, seconds=clock.share()))
            except CannotFitError as error:
                problem = str(error)
                break
            parts.append(made[-1].predict(take_rows(features, held)))
            done += 1
            progress.update("floor", done=done, total=len(members) * len(folds), note=name)
        clock.skip(len(folds) - len(made))
        took = time.monotonic() - started
        if problem is not None:
            tried.append(Tried(name, None, None, 0.0, took, problem))
            continue
        predictions = np.concatenate(parts)
        loss = float(np.average(goal.losses(predictions, targets[rows]), weights=weights[rows]))
        fitted[name] = made
        tried.append(Tried(name, loss, predictions, 0.0, took))
    progress.update("floor", done=1, total=1)
    return _chosen(members, fitted, tried, targets[rows], weights[rows], goal, rows=rows, most=most)


def _chosen(
    members: Mapping[str, MemberConfig],
    fitted: Mapping[str, Sequence[Member]],
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
        raise CannotFitError(
            "floor",
            got="; ".join(str(each.problem) for each in tried) or "no member",
            expected="at least one member that can be fitted to these rows",
            remedy="Add rows or inputs, or train a network with --set floor=null",
        )
    chosen = choose(predictions, targets, weights, goal, most=most)
    mean = np.sum([weight * predictions[name] for name, weight in chosen.items()], axis=0)
    bags = {name: Bag(members[name], fitted[name], weight) for name, weight in chosen.items()}
    told = [
        Tried(each.name, each.loss, each.predictions, chosen.get(each.name, 0.0), each.seconds, each.problem)
        for each in tried
    ]
    return Fitted(bags, told, rows, mean)


class _Clock:
    """Shares the time that is left among what is still to be fitted."""

    def __init__(self, seconds: float, *, parts: int) -> None:
        self._end, self._parts = time.monotonic() + seconds, parts

    def share(self) -> float:
        """Seconds for the next one, which may also have what earlier ones have left."""
        left = self._end - time.monotonic()
        share = left / max(1, self._parts)
        self._parts -= 1
        return max(0.0, share)

    def skip(self, parts: int) -> None:
        """So many are not fitted after all."""
        self._parts -= max(0, parts - 1)
