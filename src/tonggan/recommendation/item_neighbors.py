"""Items that the same users have liked (Sarwar et al. 2001)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from tonggan.floor.base import CannotFitError, Floats, Stored
from tonggan.recommendation.base import Examples, Held, Histories, Places, Scorer, ScorerConfig
from tonggan.wording import Words

_COUNTS, _SHRINKAGES = (50, 200, 1000), (0.0, 20.0)
_AT_ONCE = 1024  # items whose likeness to all others is in memory


class ItemNeighborsConfig(ScorerConfig):
    """The cosine of two items' users, shrunk where there are few; of each item its nearest neighbors count."""

    cost: ClassVar[int] = 2
    kind: Literal["item_neighbors"] = "item_neighbors"
    count: int | None = Field(default=None, ge=1)
    """Number of neighbors to keep of each item; by default chosen on the validation part."""
    shrinkage: float | None = Field(default=None, ge=0)
    """Added to the denominator, so that similarities from few common users count less; by default chosen on the
    validation part."""
    words: ClassVar[Words] = Words("item neighbors", "物品近邻")

    def variants(self, examples: Examples) -> Sequence[ItemNeighborsConfig]:
        most = examples.histories.num_items
        counts = [self.count] if self.count else [count for count in _COUNTS if count < most] or [most]
        shrinkages = _SHRINKAGES if self.shrinkage is None else (self.shrinkage,)
        return [
            self.model_copy(update={"count": count, "shrinkage": shrinkage})
            for count in counts
            for shrinkage in shrinkages
        ]

    def fit(
        self, examples: Examples, *, seed: int, seconds: float, held: Held | None = None, folder: Path | None = None
    ) -> Scorer:
        from scipy.sparse import csr_matrix, vstack

        del seed, seconds, held, folder
        matrix = examples.histories.matrix()
        shared = matrix.T.tocsr()
        lengths = np.sqrt(examples.histories.counts())
        count, shrinkage = self.count or _COUNTS[0], self.shrinkage or 0.0
        parts = []
        for start in range(0, shared.shape[0], _AT_ONCE):
            block = (shared[start : start + _AT_ONCE] @ matrix).toarray()
            rows = np.arange(len(block))
            block[rows, start + rows] = 0
            product = lengths[start : start + len(block), None] * lengths[None] + shrinkage
            block = np.divide(block, product, out=block, where=product > 0)
            if count < block.shape[1]:
                least = -np.partition(-block, count - 1, axis=1)[:, count - 1 : count]
                block[block < least] = 0
            parts.append(csr_matrix(block))
        likeness = vstack(parts).T.tocsr()  # column i holds the neighbors of item i
        if not likeness.nnz:
            raise CannotFitError(
                "item neighbors",
                got="no two items that one user has liked",
                expected="users with several items",
                remedy="Leave it out, or give more interactions",
            )
        return ItemNeighbors(self, likeness)

    def load(self, stored: Stored) -> Scorer:
        from scipy.sparse import csr_matrix

        arrays = stored.arrays
        size = len(arrays["starts"]) - 1
        likeness = csr_matrix((arrays["values"], arrays["columns"], arrays["starts"]), shape=(size, size))
        return ItemNeighbors(self, likeness)


class ItemNeighbors(Scorer):
    """Likeness of items.

    Args:
        config: as it was fitted.
        likeness: CSR ``[I, I]``: what having liked the row's item adds to the column's.
    """

    def __init__(self, config: ItemNeighborsConfig, likeness: Any) -> None:
        self._config, self.likeness = config, likeness

    @property
    def config(self) -> ItemNeighborsConfig:
        return self._config

    def score(self, histories: Histories) -> Floats:
        scores: Floats = (histories.matrix() @ self.likeness).toarray()
        return scores

    def contributions(self, history: Places, items: Places) -> Floats:
        found: Floats = self.likeness[history][:, items].toarray().T
        return found

    def store(self) -> Stored:
        matrix = self.likeness
        return Stored(
            arrays={
                "values": matrix.data,
                "columns": matrix.indices.astype(np.int64),
                "starts": matrix.indptr.astype(np.int64),
            }
        )
