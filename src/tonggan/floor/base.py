"""What every member says: what it is fitted to, what it predicts, and how it is stored without pickle."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from tonggan.errors import TongganError
from tonggan.floor.features import Features
from tonggan.parts import Part
from tonggan.wording import Words

Floats = NDArray[np.float64]


class CannotFitError(TongganError):
    """A member cannot be fitted to these rows; the others go on without it."""


@dataclass(frozen=True)
class Goal:
    """What is predicted.

    Attributes:
        form: one of ``size`` classes, any of ``size`` labels, or ``size`` numbers.
        size: of a prediction; two for two classes.
    """

    form: Literal["classes", "labels", "numbers"]
    size: int


@dataclass(frozen=True, eq=False)
class Examples:
    """Rows to learn from.

    Attributes:
        features: by input.
        targets: class numbers int64 ``[N]``, labels 0 or 1 float64 ``[N, size]``, or standardized numbers float64
            ``[N, size]``.
        weights: float64 ``[N]``, how much each row counts; of a mean of 1.
    """

    features: Features
    targets: NDArray[Any]
    weights: Floats

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True, eq=False)
class Stored:
    """A member on its way to the disk: ``plain`` is JSON, ``arrays`` are written as safetensors."""

    plain: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)


class MemberConfig(Part):
    """A model that is fitted to features in seconds. A field that is left at its default suits most tables.

    Attributes:
        cost: rough order of its time beside the others'; cheaper ones are tried first.
        words: what reports call it.
    """

    cost: ClassVar[int] = 1
    words: ClassVar[Words]

    @abstractmethod
    def fit(self, examples: Examples, goal: Goal, *, seed: int, seconds: float) -> Member:
        """The fitted member; what is random in it is drawn from ``seed``.

        Args:
            examples: rows, at least one, of which some have absent inputs and cells.
            goal: what is predicted.
            seed: same seed, same member.
            seconds: what it may take, ``inf`` without a limit; it leaves off by itself a little earlier and keeps what
                it has.

        Raises:
            CannotFitError: these rows do not suit it, e.g. none of its inputs is there, or too little time is left.
        """

    @abstractmethod
    def load(self, stored: Stored, goal: Goal) -> Member:
        """The inverse of ``Member.store``.

        Raises:
            KeyError, ValueError: what is stored is incomplete, or does not fit together.
        """


class Member(ABC):
    """A fitted member. It is defined for every row, whatever of it is absent."""

    @abstractmethod
    def predict(self, features: Features) -> Floats:
        """``[N, size]``: probabilities of the classes, which add up to 1, of each label, or standardized numbers.

        A row's prediction does not depend on the rows beside it.
        """

    @abstractmethod
    def store(self) -> Stored:
        """All that ``MemberConfig.load`` needs, without the training data."""
