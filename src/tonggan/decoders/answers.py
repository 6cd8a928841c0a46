"""What a task asks of a head: the form of its answer, and what the head must know to give and to learn it.

A head says by its config's ``gives`` which of these it answers with; a task of a new shape of answer adds its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

TARGET = "target"
"""Name of a task's own target among those of a batch."""
PAD = -1
"""Fills the places of a row of token ids after its end, in targets and in predictions."""
UNLABELED = 255
"""The class number of a pixel of which nothing is known."""


@dataclass(frozen=True)
class Answer:
    """The form of an answer."""


@dataclass(frozen=True)
class Vector(Answer):
    """So many numbers for each row.

    Attributes:
        size: how many.
        loss: of each row, ``[B]``, from numbers ``[B, size]`` and targets ``[B, ...]``.
    """

    size: int
    loss: Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Boxes(Answer):
    """Boxes around the objects in a picture, each with its class.

    A Prediction has ``boxes``, for each row ``[K, 6]`` of x1, y1, x2, y2 in pixels of the square that the model sees,
    score and class number, and ``extent`` ``[B, 2]``, height and width of the picture before. The target is ``[B, N,
    6]`` of x1, y1, x2, y2, class number, and 1 where a box is to be ignored.

    Attributes:
        labels: the classes, in the order of their numbers.
        picture: name of the input that shows them.
    """

    labels: tuple[str, ...]
    picture: str


@dataclass(frozen=True)
class Regions(Answer):
    """The class of each pixel of a picture.

    A Prediction has ``regions`` int64 ``[B, size, size]``, and ``extent`` ``[B, 2]``, height and width of the picture
    before. The target is ``[B, size, size]`` of class numbers, ``UNLABELED`` where nothing is known.

    Attributes:
        labels: the classes, in the order of their numbers, the background among them.
        picture: name of the input.
    """

    labels: tuple[str, ...]
    picture: str


@dataclass(frozen=True)
class Writing(Answer):
    """A text for each row, as token ids.

    Attributes:
        vocab_size: token ids run from 0 to one less.
        ends: ids that end a text; the first of them ends the targets.
        max_tokens: T, the most tokens of a text, its end included.
        start: id that opens a text of a model trained from scratch; None where a pretrained model has its own way.
    """

    vocab_size: int
    ends: tuple[int, ...]
    max_tokens: int
    start: int | None = None
