"""What every alignment is: a loss over pairs of vectors that draws together what belongs together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from tonggan.alignment.distances import Distance, similarities
from tonggan.parts import Part


@dataclass(frozen=True)
class PairShape:
    """What an alignment may need to know of the pairs that it is built for.

    Attributes:
        dim: D, of the vectors.
        widths: of the features that the left and the right vectors were made of, where these stay as they are.
        num_labels: classes that a row may be labeled with; 0 without labels.
    """

    dim: int
    widths: tuple[int, int] = (0, 0)
    num_labels: int = 0


@dataclass(frozen=True)
class Paired:
    """Vectors of a batch of pairs, and what an alignment may know of them.

    Attributes:
        left: ``[B, D]`` of one tower, of any length.
        right: ``[B, D]`` of the other; row i belongs to row i.
        matches: bool ``[B, B]``, True where right j belongs to left i as well.
        labels: int64 ``[B]``, the class of each pair, -1 where it has none.
        features: ``[B, F]`` each, what the vectors of both sides were made of.
        scores: ``[B, B]`` each, how alike every two items are as sets of tokens: by row those of the left asking, then
            those of the right; without them vectors are compared.
    """

    left: Tensor
    right: Tensor
    matches: Tensor | None = None
    labels: Tensor | None = None
    features: tuple[Tensor, Tensor] | None = None
    scores: tuple[Tensor, Tensor] | None = None

    def similarities(self, distance: Distance) -> tuple[Tensor, Tensor]:
        """``[B, B]`` each, greater where more alike: of each left to every right, and of each right to every left."""
        if self.scores is not None:
            return self.scores
        similar = similarities(self.left, self.right, distance)
        return similar, similar.T

    @property
    def belongs(self) -> Tensor:
        """Bool ``[B, B]``: where right j belongs to left i."""
        own = torch.eye(len(self.left), dtype=torch.bool, device=self.left.device)
        return own if self.matches is None else own | self.matches


class Alignment(nn.Module, ABC):
    """A loss over pairs of vectors, of any two towers."""

    def forward(
        self,
        left: Tensor,
        right: Tensor,
        *,
        matches: Tensor | None = None,
        labels: Tensor | None = None,
        features: tuple[Tensor, Tensor] | None = None,
        scores: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """The loss, a scalar, of what ``Paired`` names."""
        return self.loss(Paired(left, right, matches, labels, features, scores))

    @abstractmethod
    def loss(self, pairs: Paired) -> Tensor:
        """The loss, a scalar."""


class AlignmentConfig(Part):
    """A loss over pairs of vectors, of any two towers.

    Attributes:
        reads_labels: whether it wants the class of each pair.
        reads_features: whether it wants what the vectors were made of.
        compares_pairs: whether pairs are compared with one another, so that others are wrong answers.
        compares_sets: whether it reads how alike items are as sets of tokens, where that is told.
    """

    default_kind: ClassVar[str | None] = "contrastive"
    reads_labels: ClassVar[bool] = False
    reads_features: ClassVar[bool] = False
    compares_pairs: ClassVar[bool] = True
    compares_sets: ClassVar[bool] = False

    @abstractmethod
    def build(self, shape: PairShape) -> Alignment:
        """The loss, with new random weights where it has some (from torch's global generator)."""
