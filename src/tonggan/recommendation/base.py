"""What every member of a recommender says: what it learns from, how it scores items, and how it is stored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from tonggan.floor.base import Floats, Stored
from tonggan.parts import Part
from tonggan.wording import Words

Places = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Histories:
    """The items that each of Q users has liked, the oldest first.

    Attributes:
        starts: int64 ``[Q + 1]``; user q has ``items[starts[q]:starts[q + 1]]``.
        items: int64 ``[N]``, places in the list of items.
        num_items: how many items there are.
        users: int64 ``[Q]``, places in the list of users; -1 of one that is not in it.
    """

    starts: Places
    items: Places
    num_items: int
    users: Places

    @staticmethod
    def of(lists: Iterable[Sequence[int] | Places], *, num_items: int, users: Places | None = None) -> Histories:
        """Those of users with these ``lists`` of items."""
        parts = [np.asarray(each, dtype=np.int64) for each in lists]
        starts = np.cumsum([0, *(len(part) for part in parts)], dtype=np.int64)
        items = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
        return Histories(starts, items, num_items, np.full(len(parts), -1) if users is None else users)

    @staticmethod
    def grouped(users: Places, items: Places, *, num_users: int, num_items: int) -> Histories:
        """Those of all users, from rows of a user and an item in the order of time."""
        order = np.argsort(users, kind="stable")
        starts = np.searchsorted(users[order], np.arange(num_users + 1))
        return Histories(starts.astype(np.int64), items[order], num_items, np.arange(num_users))

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, row: int) -> Places:
        """The items of one user."""
        return self.items[self.starts[row] : self.starts[row + 1]]

    @property
    def lengths(self) -> Places:
        """int64 ``[Q]``: how many items each user has."""
        return np.diff(self.starts)

    def take(self, rows: Places) -> Histories:
        """Those of the users at the places ``rows`` ``[M]``, in that order."""
        return Histories.of((self[row] for row in rows), num_items=self.num_items, users=self.users[rows])

    def matrix(self) -> Any:
        """The same as SciPy's float64 CSR matrix ``[Q, I]`` of ones."""
        from scipy.sparse import csr_matrix

        shape = (len(self), self.num_items)
        return csr_matrix((np.ones(len(self.items)), self.items.copy(), self.starts.copy()), shape=shape)

    def counts(self) -> Floats:
        """float64 ``[I]``: how many of the users have each item."""
        return np.bincount(self.items, minlength=self.num_items).astype(np.float64)


@dataclass(frozen=True, eq=False)
class Content:
    """What is known of N items or users.

    Attributes:
        attributes: SciPy CSR ``[N, F]``, how much each name or word tells of a row; rows of length 1 for each column.
        names: of the F attributes, as a person reads them; empty for a word of a text.
        vectors: float32 ``[N, D]``, rows of length 1 for each column side by side; zeros where absent.
        titles: what each is called; None where no column says it.
    """

    attributes: Any
    names: Sequence[str]
    vectors: NDArray[np.float32]
    titles: Sequence[str | None] = ()

    def features(self) -> Any:
        """SciPy CSR float64 ``[N, F + D]``: attributes and vectors side by side."""
        from scipy.sparse import csr_matrix, hstack

        return hstack([self.attributes, csr_matrix(self.vectors.astype(np.float64))]).tocsr()


@dataclass(frozen=True, eq=False)
class Examples:
    """What members learn from.

    Attributes:
        histories: of all users, those without any item among them.
        times: float64, when each of ``histories.items`` was liked, in seconds; None where that is not known.
        content: what is known of the items, in their order; None without a table of items.
        people: what is known of the users, in their order; None without a table of users.
    """

    histories: Histories
    times: Floats | None = None
    content: Content | None = None
    people: Content | None = None


@dataclass(frozen=True, eq=False)
class Held:
    """Users of whom a part to choose by is known.

    Attributes:
        histories: ``[Q]`` users with what they liked before.
        seen: what else is not to be recommended to each of them, whatever they thought of it.
        wanted: what each of them liked next; at least one item.
    """

    histories: Histories
    seen: Histories
    wanted: Histories

    def __len__(self) -> int:
        return len(self.histories)


class ScorerConfig(Part):
    """A member of a recommender. A field that is left at its default is chosen on the validation part.

    Attributes:
        cost: rough order of its time beside the others'; cheaper ones are tried first.
        is_personal: whether its scores depend on the user.
        needs_content: whether it can do nothing without a table of items.
        words: what reports call it.
    """

    cost: ClassVar[int] = 1
    is_personal: ClassVar[bool] = True
    needs_content: ClassVar[bool] = False
    words: ClassVar[Words]

    def variants(self, examples: Examples) -> Sequence[Self]:  # noqa: ARG002
        """The settings that are tried on the validation part, the plainest first."""
        return [self]

    @abstractmethod
    def fit(
        self,
        examples: Examples,
        *,
        seed: int,
        seconds: float,
        held: Held | None = None,
        folder: Path | None = None,
    ) -> Scorer:
        """The fitted member; what is random in it is drawn from ``seed``.

        Args:
            examples: at least one user with an item.
            seed: same seed, same member.
            seconds: what it may take, ``inf`` without a limit.
            held: a part by which it may decide when to stop learning.
            folder: for checkpoints, if learning takes long: fitted again with the same one it goes on where it was
                stopped, to the same member.

        Raises:
            CannotFitError: these examples do not suit it.
        """

    @abstractmethod
    def load(self, stored: Stored) -> Scorer:
        """The inverse of ``Scorer.store``.

        Raises:
            KeyError, ValueError: what is stored is incomplete, or does not fit together.
        """


class Scorer(ABC):
    """A fitted member. It scores every item for every user, known or new, by what the user has liked."""

    @property
    @abstractmethod
    def config(self) -> ScorerConfig:
        """What fits it to other examples in the same way: the settings, with what it has found out itself."""

    @abstractmethod
    def score(self, histories: Histories) -> Floats:
        """float64 ``[Q, I]``: the greater, the more likely; a user's scores do not depend on the others."""

    def contributions(self, history: Places, items: Places) -> Floats | None:  # noqa: ARG002
        """``[M, H]``: what each item of a user's ``history`` adds to the score of each of ``items``; None of none."""
        return None

    @abstractmethod
    def store(self) -> Stored:
        """All that ``ScorerConfig.load`` needs, without the users."""
