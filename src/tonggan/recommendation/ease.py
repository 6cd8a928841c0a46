"""EASE: which items follow from which, by a ridge regression in closed form (Steck 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tonggan.floor.base import CannotFitError, Floats, Stored
from tonggan.recommendation.base import Examples, Held, Histories, Places, Scorer, ScorerConfig
from tonggan.wording import Words

_PENALTIES = (50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0)
_FEW_PENALTIES, _MANY_ITEMS = (200.0, 1000.0), 3_000  # which take a minute for each


class EaseConfig(ScorerConfig):
    """Each item's likes as a weighted sum of the other items', with a penalty of the squared weights."""

    cost: ClassVar[int] = 3
    kind: Literal["ease"] = "ease"
    penalty: float | None = Field(default=None, gt=0)
    """L2 penalty on the weights; by default chosen on the validation part."""
    most_items: int = Field(default=8_000, ge=2)
    """Maximum number of items: the most liked ones. Time grows with the cube of their number, memory with the square
    (8,000 items take half a gigabyte while fitting)."""
    words: ClassVar[Words] = Words("EASE", "EASE")

    def variants(self, examples: Examples) -> Sequence[EaseConfig]:
        tried = _FEW_PENALTIES if examples.histories.num_items > _MANY_ITEMS else _PENALTIES
        penalties = tried if self.penalty is None else (self.penalty,)
        return [self.model_copy(update={"penalty": penalty}) for penalty in penalties]

    def fit(
        self, examples: Examples, *, seed: int, seconds: float, held: Held | None = None, folder: Path | None = None
    ) -> Scorer:
        del seed, seconds, held, folder
        counts = examples.histories.counts()
        items = np.sort(np.argsort(-counts, kind="stable")[: min(self.most_items, int((counts > 0).sum()))])
        if len(items) < 2:
            raise CannotFitError(
                "EASE",
                got="fewer than two items that somebody has liked",
                expected="two or more",
                remedy="Leave it out, or give more interactions",
            )
        matrix = examples.histories.matrix()[:, items]
        gram = (matrix.T @ matrix).toarray()
        return Ease(self, items.astype(np.int64), item_weights(gram, self.penalty or _PENALTIES[0]), len(counts))

    def load(self, stored: Stored) -> Scorer:
        return Ease(self, stored.arrays["items"], stored.arrays["weights"], int(stored.plain["num_items"]))


def item_weights(gram: Floats, penalty: float) -> NDArray[np.float32]:
    """float32 ``[I, I]``: what each row's item adds to the column's; zeros on the diagonal.

    Args:
        gram: float64 ``[I, I]``, how many users have liked both items; overwritten.
        penalty: of the squared weights.
    """
    from scipy.linalg import lapack

    gram[np.diag_indices_from(gram)] += penalty
    factor, problem = lapack.dpotrf(gram, lower=1, overwrite_a=1)
    inverse, again = lapack.dpotri(factor, lower=1, overwrite_c=1)
    assert problem == again == 0, "with a penalty the matrix is positive definite"
    inverse = np.tril(inverse)
    inverse += np.tril(inverse, -1).T
    weights: Floats = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return weights.astype(np.float32)


class Ease(Scorer):
    """Weights between items.

    Args:
        config: as it was fitted.
        items: int64 ``[M]``, the places of those that are weighed; the others have a score of 0.
        weights: float32 ``[M, M]``.
        num_items: I.
    """

    def __init__(self, config: EaseConfig, items: Places, weights: NDArray[np.float32], num_items: int) -> None:
        self._config, self.items, self.weights, self.num_items = config, items, weights, num_items
        self._place = np.full(num_items, -1)
        self._place[items] = np.arange(len(items))

    @property
    def config(self) -> EaseConfig:
        return self._config

    def score(self, histories: Histories) -> Floats:
        scores = np.zeros((len(histories), self.num_items))
        matrix: Any = histories.matrix()[:, self.items].astype(np.float32)
        scores[:, self.items] = matrix @ self.weights
        return scores

    def contributions(self, history: Places, items: Places) -> Floats:
        rows, columns = self._place[history], self._place[items]
        found: Floats = self.weights[np.ix_(rows, columns)].T.astype(np.float64)
        found[columns < 0], found[:, rows < 0] = 0, 0
        return found

    def store(self) -> Stored:
        return Stored({"num_items": self.num_items}, {"items": self.items, "weights": self.weights})
