"""The linear maps of a space, by ridge regression: from nothing, or on from those of another space.

Another space knows more pairs than most tables have. Where frozen encoders are the same, its map ``W0`` is where the
regression starts: it minimizes ``|X W - Y|^2 + penalty |W - W0|^2``, so that few pairs leave it nearly as it was.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tonggan.errors import ConfigError
from tonggan.space.features import Features
from tonggan.space.matcher import STARTER, open_space
from tonggan.space.pairs import Pairs
from tonggan.space.towers import LinearMap, Ridge, Space, fitted_ridge

_PENALTIES = (30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0)
_PENALTIES_GOING_ON = (300.0, 1_000.0, 3_000.0, 10_000.0, 30_000.0, 100_000.0)
_LEADS = ("text", "image", "audio")  # the kind that linear maps lead to, the first that there is


@dataclass(frozen=True)
class Fitted:
    """What has come of it.

    Attributes:
        score: on the rows that were chosen on.
        penalty: that served them best.
        start: the space that the maps go on from; None from nothing.
    """

    score: float
    penalty: float
    start: str | None


def lead_of(kinds: Mapping[str, str]) -> str:
    """The kind that all others are led to."""
    own = list(kinds.values())
    return next((kind for kind in _LEADS if kind in own), own[0])


def surely_better(num_rows: int) -> float:
    """How much a mean reciprocal rank of so many rows must gain before what is known is given up for it.

    About a standard error and a half: that of one row is a third.
    """
    return 0.5 / math.sqrt(max(1, num_rows))


@torch.no_grad()
def fit_linear(
    space: Space, pairs: Pairs, *, start: str | None, score: Callable[[], float], num_rows: int
) -> Fitted | None:
    """Lead every kind to one; the penalty, and whether to go on from ``start``, are what ``score`` says.

    Args:
        space: whose maps are set; features are standardized already.
        pairs: to learn from.
        start: as ``SpaceConfig.start``.
        score: of the space as it is, on the validation part.
        num_rows: that ``score`` looks at.

    Returns:
        None where all inputs are of one kind.

    Raises:
        ConfigError: the maps of ``start`` are of other frozen encoders.
    """
    if len(set(pairs.kinds.values())) < 2:
        return None
    former, space.share = space.share, 1.0
    best = _fit(space, pairs, known={}, penalties=_PENALTIES, score=score, start=None)
    known = _known(space, pairs, start) if start else {}
    if known:
        alone = {name: value.clone() for name, value in space.maps.state_dict().items()}
        went_on = _fit(space, pairs, known=known, penalties=_PENALTIES_GOING_ON, score=score, start=start)
        if best.score > went_on.score + surely_better(num_rows):
            space.maps.load_state_dict(alone)
        else:
            best = went_on
    space.share = former
    return best


def _known(space: Space, pairs: Pairs, start: str) -> dict[str, LinearMap]:
    """The maps of ``start`` by kind, of kinds that are read alike; none where what all are led to is read otherwise."""
    opened, identities = open_space(start)
    own = {kind: each["identity"] for kind, each in pairs.reader.identities.items()}
    lead = lead_of(pairs.kinds)
    known = {
        kind: each
        for kind, each in opened.maps.items()
        if isinstance(each, LinearMap) and kind in space.maps and kind in own and identities.get(kind) == own[kind]
    }
    if lead in known and opened.linear_dim == space.linear_dim:
        return known
    if start == STARTER:
        return {}
    raise ConfigError(
        "space.start",
        got=f"'{start}', which has no linear map for the frozen encoder of inputs of kind '{lead}'",
        expected="a space that was made with the same frozen encoders",
        remedy="Leave it out, or choose the same ones with --set space.weights.KIND=",
    )


def _fit(
    space: Space,
    pairs: Pairs,
    *,
    known: Mapping[str, LinearMap],
    penalties: tuple[float, ...],
    score: Callable[[], float],
    start: str | None,
) -> Fitted:
    """Fit all maps but that of the lead with the best of ``penalties``, on from the maps that are ``known``."""
    lead = lead_of(pairs.kinds)
    for kind, each in known.items():
        own = _map(space, kind)
        own.load_state_dict(each.state_dict())
        if kind != lead:
            own.standardize.adapt(_present(pairs, kind))
    ridges = {}
    for kind in set(pairs.kinds.values()) - {lead}:
        before = _map(space, kind).weight.numpy().copy() if kind in known else None
        ridges[kind] = before, _ridge(space, pairs, kind, lead=lead, before=before)
    scores = {}
    for penalty in penalties:
        _set_maps(space, ridges, penalty)
        scores[penalty] = score()
    best = max(scores, key=lambda penalty: scores[penalty])
    _set_maps(space, ridges, best)
    return Fitted(scores[best], best, start)


def _ridge(space: Space, pairs: Pairs, kind: str, *, lead: str, before: NDArray[np.float32] | None) -> Ridge:
    """Of all inputs of ``kind`` on all of the lead, or on what ``before`` leaves of these."""
    kinds, train = pairs.kinds, pairs.features["train"]
    sides = []
    for name in (name for name, own in kinds.items() if own == kind):
        for other in (other for other, own in kinds.items() if own == lead):
            both = train[name].present & train[other].present
            values = space.standardized(kind, torch.from_numpy(train[name].values[both])).numpy()
            targets = _map(space, lead)(torch.from_numpy(train[other].values[both])).numpy()
            sides.append((values, targets if before is None else targets - values @ before))
    return fitted_ridge(sides)


def _set_maps(space: Space, ridges: Mapping[str, tuple[NDArray[np.float32] | None, Ridge]], penalty: float) -> None:
    for kind, (before, ridge) in ridges.items():
        weight = ridge.weight(penalty)
        _map(space, kind).weight.copy_(torch.from_numpy(weight if before is None else before + weight))


def _map(space: Space, kind: str) -> LinearMap:
    part = space.maps[kind]
    assert isinstance(part, LinearMap), "all maps are linear"
    return part


def _present(pairs: Pairs, kind: str) -> NDArray[np.float32]:
    joined = Features.cat([pairs.features["train"][name] for name, own in pairs.kinds.items() if own == kind])
    return joined.values[joined.present]
