"""Which interactions are learned from, which are chosen by, and which are for the final number."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tonggan.data.findings import Finding
from tonggan.errors import DataError
from tonggan.recommendation.base import Content, Examples, Held, Places
from tonggan.recommendation.config import SplitConfig
from tonggan.recommendation.interactions import Interactions
from tonggan.recommendation.times import written_time

TRAIN, VALID, TEST = 0, 1, 2
_MOST_HELD = 20_000  # users by whom a recommender is measured


@dataclass(frozen=True, eq=False)
class Split:
    """Interactions by part.

    Attributes:
        interactions: all of them.
        parts: int64 ``[N]``: TRAIN, VALID or TEST.
        kind: how it was made.
        content: of the items.
        people: of the users.
    """

    interactions: Interactions
    parts: Places
    kind: Literal["time", "leave_last", "random"]
    content: Content | None = None
    people: Content | None = None

    def examples(self, part: int) -> Examples:
        """What is known before ``part`` begins."""
        known = self.interactions.take(self.parts < part)
        return Examples(known.liked(), known.liked_times(), self.content, self.people)

    def held(self, part: int, *, seed: int) -> Held:
        """Users with something liked before ``part`` and something new in it; of very many some, by ``seed``."""
        earlier = self.interactions.take(self.parts < part)
        later = self.interactions.take(self.parts == part)
        pair = later.user * len(later.items) + later.item
        is_new = ~np.isin(pair, earlier.user * len(later.items) + earlier.item)
        wanted = later.take(is_new).liked()
        histories = earlier.liked()
        users = np.flatnonzero((histories.lengths > 0) & (wanted.lengths > 0))
        if len(users) > _MOST_HELD:
            users = np.sort(np.random.default_rng(seed).choice(users, _MOST_HELD, replace=False))
        return Held(histories.take(users), earlier.all().take(users), wanted.take(users))

    def num_new_users(self, part: int) -> int:
        """How many users of ``part`` have liked nothing before."""
        earlier = self.interactions.take(self.parts < part).liked()
        later = self.interactions.take(self.parts == part).liked()
        return int(((earlier.lengths == 0) & (later.lengths > 0)).sum())

    def num_rows(self, part: int) -> int:
        """How many interactions are in ``part``."""
        return int((self.parts == part).sum())


def split_interactions(
    interactions: Interactions,
    config: SplitConfig,
    *,
    seed: int,
    content: Content | None = None,
    people: Content | None = None,
) -> tuple[Split, list[Finding]]:
    """The parts, and what a person should know of them.

    Raises:
        DataError: a part has no user of whom something is known before and something new in it.
    """
    kind = "random" if config.kind == "time" and interactions.times is None else config.kind
    if kind == "time":
        parts = _by_time(interactions, config)
    elif kind == "leave_last":
        parts = _last_ones(interactions)
    else:
        draws = np.random.default_rng(seed).random(len(interactions))
        parts = np.where(draws < config.test, TEST, np.where(draws < config.test + config.valid, VALID, TRAIN))
    split = Split(interactions, parts.astype(np.int64), kind, content, people)
    for part, name in ((VALID, "valid"), (TEST, "test")):
        if not len(split.held(part, seed=seed)):
            raise _nobody_to_ask(split, part, name)
    return split, _flattering(kind, interactions)


def _nobody_to_ask(split: Split, part: int, name: str) -> DataError:
    """Why nothing can be measured on ``part``, which is called ``name``."""
    who, expected = f"part {name} of the interactions", "at least one such user"
    field = f"split.{name}"  # as a whole, so that no language takes the name for a word
    got = f"{split.num_rows(part):,} interactions, none of which is a new like of a user with likes before"
    remedy = f"Raise {field}, e.g. --set {field}=0.2, or give more interactions"
    times = split.interactions.times
    if split.kind == "leave_last":
        remedy = "Give users with three likes or more"
    elif split.kind == "time" and times is not None and not split.num_rows(part):
        last = times[split.parts <= part].max()
        got = f"nothing, as {int((times == last).sum()):,} interactions all have the time {written_time(last)}"
        expected = "times that a part of the table can be cut off by"
        remedy = "Correct the times, leave wrong ones empty, or choose another split: --set split.kind=leave_last"
    return DataError(who, got=got, expected=expected, remedy=remedy)


def _by_time(interactions: Interactions, config: SplitConfig) -> Places:
    """Cut at two moments; what happened at one of them is before it."""
    times = interactions.times
    assert times is not None, "without times there is no cut in time"
    moments = np.quantile(times, [1 - config.valid - config.test, 1 - config.test], method="lower")
    parts: Places = (times > moments[0]).astype(np.int64) + (times > moments[1])
    return parts


def _last_ones(interactions: Interactions) -> Places:
    """The last like of each user for the test, the one before to choose by; of users with three likes or more.

    What a user took after the one to choose by, but did not like, is learned from by nobody before the test.
    """
    parts = np.zeros(len(interactions), dtype=np.int64)
    liked = np.flatnonzero(interactions.is_liked)
    order = liked[np.argsort(interactions.user[liked], kind="stable")]
    user = interactions.user[order]
    starts = np.searchsorted(user, np.arange(len(interactions.users) + 1))
    for start, end in itertools.pairwise(starts.tolist()):
        if end - start >= 3:
            parts[order[end - 1]], parts[order[end - 2]] = TEST, VALID
    return parts


def _flattering(kind: str, interactions: Interactions) -> list[Finding]:
    if kind == "time":
        return []
    if kind == "random" and interactions.times is None:
        return []  # which the reading has told
    english = "drawn at random" if kind == "random" else "the last like of each user"
    chinese = "随机抽取" if kind == "random" else "每个用户的最后一次喜欢"
    return [
        Finding(
            "warning",
            None,
            None,
            0,
            message=f"The interactions to predict are {english}: the members also learn from later ones of other "
            "users, so that the scores are optimistic.",
            message_zh=f"评测部分为{chinese}：成员会学到其他用户之后发生的事，成绩会偏高。",
            remedy="Split by time, as in use: --set split.kind=time",
            remedy_zh="请按时间划分，与实际使用一致：--set split.kind=time",
        )
    ]
