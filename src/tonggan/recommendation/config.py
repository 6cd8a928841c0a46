"""How a recommender is made, as data."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tonggan.config import Config
from tonggan.modalities import ColumnConfig
from tonggan.recommendation.base import ScorerConfig


class InteractionColumns(Config):
    """Which columns of the table of interactions say who took what, how it was liked, and when."""

    user: str | None = None
    """Column of user ids; by default found by its name."""
    item: str | None = None
    """Column of item ids; by default found by its name."""
    rating: str | None = None
    """Column of ratings; by default found by its name, 'none' for none."""
    time: str | None = None
    """Column of times; by default found by its name, 'none' for none."""


class SplitConfig(Config):
    """Which interactions are for what."""

    kind: Literal["time", "leave_last", "random"] = "time"
    """'time' cuts at two moments, the same for all users: the model learns from the past and is tested on the future,
    as in use. 'leave_last' tests on the last like of each user, 'random' on any: both let the model learn from other
    users' future, and so look better than they are."""
    valid: float = Field(default=0.1, gt=0, lt=0.5)
    """Share of the interactions for validation; with 'leave_last' it is one per user."""
    test: float = Field(default=0.1, gt=0, lt=0.5)
    """Share of the interactions for the final test; with 'leave_last' it is one per user."""


def default_members() -> dict[str, dict[str, str]]:
    """One of every kind, by its name, as data."""
    return {kind: {"kind": kind} for kind in ScorerConfig.family()}


def _members() -> dict[str, ScorerConfig | None]:
    return {kind: ScorerConfig.parse(fields, who=f"members.{kind}") for kind, fields in default_members().items()}


class RecommendationConfig(Config):
    """A recommender."""

    columns: InteractionColumns = InteractionColumns()
    """Columns of the table of interactions."""
    items: dict[str, ColumnConfig] = Field(default_factory=dict)
    """Kinds of columns of the table of items, instead of guessing them."""
    users: dict[str, ColumnConfig] = Field(default_factory=dict)
    """Kinds of columns of the table of users, instead of guessing them."""
    threshold: float | None = None
    """Ratings from here up are likes; the default is the median. 0 counts every interaction as a like."""
    split: SplitConfig = SplitConfig()
    """Which interactions are for what."""
    k: int = Field(default=10, ge=1)
    """Number of recommended items at which quality is measured."""
    cold: int = Field(default=5, ge=0)
    """Items with at most this many likes in training are also measured separately."""
    members: dict[str, ScorerConfig | None] = Field(default_factory=_members)
    """Members to try, by name; null leaves one out. Those that raise the score on the validation part are kept."""
    seed: int = 0
    """Same seed, same numbers."""
