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
    """Ids of users; found by its name otherwise."""
    item: str | None = None
    """Ids of items; found by its name otherwise."""
    rating: str | None = None
    """How an item was liked, as a number; found by its name otherwise, 'none' for none."""
    time: str | None = None
    """When it was; found by its name otherwise, 'none' for none."""


class SplitConfig(Config):
    """Which interactions are for what."""

    kind: Literal["time", "leave_last", "random"] = "time"
    """'time' cuts at two moments, the same for all: what is learned from lies before what is asked for, as in use.
    'leave_last' asks for the last like of each user, 'random' for any: both learn from what came later elsewhere,
    and flatter."""
    valid: float = Field(default=0.1, gt=0, lt=0.5)
    """Share of the interactions to choose by; of 'leave_last' it is one of each user."""
    test: float = Field(default=0.1, gt=0, lt=0.5)
    """Share of the interactions for the final number; of 'leave_last' it is one of each user."""


def default_members() -> dict[str, dict[str, str]]:
    """One of every kind, by its name, as data."""
    return {kind: {"kind": kind} for kind in ScorerConfig.family()}


def _members() -> dict[str, ScorerConfig | None]:
    return {kind: ScorerConfig.parse(fields, who=f"members.{kind}") for kind, fields in default_members().items()}


class RecommendationConfig(Config):
    """A recommender."""

    columns: InteractionColumns = InteractionColumns()
    """Of the table of interactions."""
    items: dict[str, ColumnConfig] = Field(default_factory=dict)
    """Kinds of columns of the table of items that are not to be guessed."""
    users: dict[str, ColumnConfig] = Field(default_factory=dict)
    """Kinds of columns of the table of users that are not to be guessed."""
    threshold: float | None = None
    """Ratings from here on are likes; by default from the median on. 0 takes every interaction for a like."""
    split: SplitConfig = SplitConfig()
    """Which interactions are for what."""
    k: int = Field(default=10, ge=1)
    """Items that are recommended at once where quality is measured."""
    cold: int = Field(default=5, ge=0)
    """Items with at most so many likes to learn from are measured by themselves."""
    members: dict[str, ScorerConfig | None] = Field(default_factory=_members)
    """What is tried, by name; null leaves one out. Those that raise the score on the validation part are kept."""
    seed: int = 0
    """Same seed, same numbers."""
