"""Which items follow from which by what they are, so that items that hardly anybody has taken can be recommended.

EASE says of items that many have liked which follow from which. A ridge regression on the contents of both items says
the same of all others, as of a film of whose genre, year and title it knows how they go together.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tonggan.floor.base import CannotFitError, Floats, Stored
from tonggan.recommendation.base import Examples, Held, Histories, Places, Scorer, ScorerConfig
from tonggan.recommendation.ease import item_weights
from tonggan.wording import Words


class ContentConfig(ScorerConfig):
    """EASE's weights between items, learned from the contents of both."""

    cost: ClassVar[int] = 4
    needs_content: ClassVar[bool] = True
    kind: Literal["content"] = "content"
    size: int = Field(default=128, ge=1)
    """Dimension to which the contents of an item are reduced by a singular value decomposition."""
    penalty: float = Field(default=200.0, gt=0)
    """L2 penalty on the weights between items, as in EASE."""
    content_penalty: float = Field(default=300.0, gt=0)
    """L2 penalty on the weights between contents."""
    most_items: int = Field(default=8_000, ge=2)
    """Maximum number of items to learn from: the most liked ones."""
    words: ClassVar[Words] = Words("content", "内容")

    def fit(
        self, examples: Examples, *, seed: int, seconds: float, held: Held | None = None, folder: Path | None = None
    ) -> Scorer:
        del seconds, held, folder
        counts = examples.histories.counts()
        items = np.sort(np.argsort(-counts, kind="stable")[: min(self.most_items, int((counts > 0).sum()))])
        if examples.content is None or examples.content.features().nnz == 0 or len(items) < 2:
            raise CannotFitError(
                "content",
                got="nothing that the table of items says",
                expected="columns of texts, names, numbers or pictures that several items share",
                remedy="Give --items a table with such columns",
            )
        places = decomposed(examples.content.features(), self.size, seed=seed)
        matrix = examples.histories.matrix()[:, items]
        weights = item_weights((matrix.T @ matrix).toarray(), self.penalty).astype(np.float64)
        known = places[items]
        gram = known.T @ known + self.content_penalty * np.eye(known.shape[1])
        projection = np.linalg.solve(gram, known.T)
        between = projection @ weights @ projection.T
        return ContentWeights(self, places.astype(np.float32), between.astype(np.float32))

    def load(self, stored: Stored) -> Scorer:
        return ContentWeights(self, stored.arrays["places"], stored.arrays["between"])


def decomposed(features: Any, size: int, *, seed: int) -> Floats:
    """``[I, size + 1]``: the first singular vectors of contents times their values, of deviation 1 in all, and ones."""
    from sklearn.utils.extmath import randomized_svd

    size = min(size, *features.shape)
    left, strengths, _ = randomized_svd(features, size, n_iter=7, random_state=seed)
    places = left * strengths
    return np.hstack([places / max(float(places.std()), 1e-12), np.ones((len(places), 1))])


class ContentWeights(Scorer):
    """Weights between contents.

    Args:
        config: as it was fitted.
        places: float32 ``[I, D]``, the contents of each item.
        between: float32 ``[D, D]``: what the contents of a liked item add to the score of those of another.
    """

    def __init__(self, config: ContentConfig, places: NDArray[np.float32], between: NDArray[np.float32]) -> None:
        self._config, self.places, self.between = config, places, between

    @property
    def config(self) -> ContentConfig:
        return self._config

    def score(self, histories: Histories) -> Floats:
        liked = histories.matrix().astype(np.float32) @ self.places
        scores: Floats = (liked @ self.between @ self.places.T).astype(np.float64)
        return scores

    def contributions(self, history: Places, items: Places) -> Floats:
        found: Floats = (self.places[history] @ self.between @ self.places[items].T).T.astype(np.float64)
        return found

    def store(self) -> Stored:
        return Stored(arrays={"places": self.places, "between": self.between})
