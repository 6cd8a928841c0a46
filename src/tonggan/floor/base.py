"""What every member says: what it is fitted to, what it predicts, and how it is stored without pickle."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tonggan.errors import TongganError
from tonggan.floor.features import Features
from tonggan.parts import Part
from tonggan.wording import Words

Floats = NDArray[np.float64]
# A probability that no member can vouch for beyond.
_LEAST = 1e-6


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

    def outputs(self, predictions: Floats) -> Tensor:
        """Predictions ``[N, size]`` as a network's head gives them: logits, one for two classes, or numbers."""
        if self.form == "numbers":
            return torch.from_numpy(predictions).float()
        likely = torch.from_numpy(predictions.clip(_LEAST, 1 - _LEAST))
        if self.form == "labels":
            return likely.logit().float()
        logits = likely.log()
        return (logits[:, 1:] - logits[:, :1] if self.size == 2 else logits).float()

    def predictions(self, outputs: Tensor) -> Floats:
        """The inverse of ``outputs``."""
        outputs = outputs.detach().cpu().double()
        if self.form == "labels":
            outputs = outputs.sigmoid()
        elif self.form == "classes" and self.size == 2:
            outputs = torch.cat([(-outputs).sigmoid(), outputs.sigmoid()], dim=1)
        elif self.form == "classes":
            outputs = outputs.softmax(dim=1)
        found: Floats = outputs.numpy()
        return found

    def losses(self, predictions: Floats, targets: NDArray[Any]) -> Floats:
        """[N]: cross entropy of classes, the mean one of labels, or the mean squared error of numbers."""
        if self.form == "numbers":
            squared: Floats = ((predictions - targets) ** 2).mean(axis=1)
            return squared
        likely = predictions.clip(_LEAST, 1 - _LEAST)
        if self.form == "labels":
            entropy: Floats = -np.where(targets > 0.5, np.log(likely), np.log1p(-likely)).mean(axis=1)
            return entropy
        found: Floats = -np.log(likely[np.arange(len(targets)), targets])
        return found


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
        reads: which parts of a Reading it makes something of; without any of them it is not tried.
        words: what reports call it.
    """

    cost: ClassVar[int] = 1
    reads: ClassVar[frozenset[str]] = frozenset({"cells", "vectors"})
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
