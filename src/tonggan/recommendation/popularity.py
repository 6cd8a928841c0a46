"""The most liked items, the same for everyone: the least that a recommender must beat."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from tonggan.floor.base import Floats, Stored
from tonggan.recommendation.base import Examples, Held, Histories, Scorer, ScorerConfig
from tonggan.wording import Words

_HALVED = (4, 16, 64)  # how often likes halve in the time that is known


class PopularityConfig(ScorerConfig):
    """How many users have liked an item; of late, where that serves better."""

    is_personal: ClassVar[bool] = False
    kind: Literal["popularity"] = "popularity"
    half_life: float | None = Field(default=None, gt=0)
    """Days after which a like counts half as much; by default, the validation part decides whether age counts at all.
    """
    words: ClassVar[Words] = Words("popularity", "热门程度")

    def variants(self, examples: Examples) -> Sequence[PopularityConfig]:
        if self.half_life is not None or examples.times is None or not len(examples.times):
            return [self]
        days = float(np.ptp(examples.times)) / 86_400
        return [self, *(self.model_copy(update={"half_life": days / times}) for times in _HALVED if days > 0)]

    def fit(
        self, examples: Examples, *, seed: int, seconds: float, held: Held | None = None, folder: Path | None = None
    ) -> Scorer:
        del seed, seconds, held, folder
        histories, times = examples.histories, examples.times
        if self.half_life is None or times is None or not len(times):
            return Popularity(self, histories.counts())
        weights = 0.5 ** ((times.max() - times) / (86_400 * self.half_life))
        counts: Floats = np.bincount(histories.items, weights, minlength=histories.num_items).astype(np.float64)
        return Popularity(self, counts)

    def load(self, stored: Stored) -> Scorer:
        return Popularity(self, stored.arrays["counts"])


class Popularity(Scorer):
    """Counts of likes.

    Args:
        config: as it was fitted.
        counts: ``[I]``.
    """

    def __init__(self, config: PopularityConfig, counts: Floats) -> None:
        self._config, self.counts = config, counts

    @property
    def config(self) -> PopularityConfig:
        return self._config

    def score(self, histories: Histories) -> Floats:
        return np.tile(np.log1p(self.counts), (len(histories), 1))

    def store(self) -> Stored:
        return Stored(arrays={"counts": self.counts})
