"""Which files of a corpus a model is measured on and never trained on: the newest, or some drawn by their names."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tonggan.errors import DataError

if TYPE_CHECKING:
    from tonggan.codelm.corpus.shards import Document

_LEAST_SPAN = 7 * 24 * 3600  # seconds; times that are nearer to one another say when files were copied, not written


@dataclass(frozen=True)
class Holdout:
    """Numbers of documents, each in one of two parts.

    Attributes:
        train: to learn from.
        held_out: to measure on.
        kind: how they were split.
    """

    train: tuple[int, ...]
    held_out: tuple[int, ...]
    kind: Literal["time", "file"]


def hold_out(
    documents: Sequence[Document], *, kind: Literal["auto", "time", "file"] = "auto", share: float = 0.1, seed: int = 0
) -> Holdout:
    """Split ``documents``.

    By time, those changed last are held out: what a model is for is the code that comes next. By file, each is held
    out by chance, by a hash of repository, name and ``seed``, so that a file stays in its part when others come or go.

    Args:
        documents: of a corpus.
        kind: auto splits by time where files were changed over more than a week, else by file.
        share: of the documents to hold out.
        seed: of the split by file.

    Raises:
        DataError: there are fewer than two documents.
    """
    if len(documents) < 2:
        raise DataError(
            "holdout of the corpus",
            got=f"{len(documents)} documents",
            expected="at least two: one to learn from and one to measure on",
            remedy="Add files to the corpus",
        )
    numbers = range(len(documents))
    if kind == "auto":
        times = [document.modified for document in documents]
        kind = "time" if max(times) - min(times) > _LEAST_SPAN else "file"
    if kind == "time":
        order = sorted(numbers, key=lambda number: (documents[number].modified, documents[number].name))
    else:
        order = sorted(numbers, key=lambda number: _chance(documents[number], seed=seed), reverse=True)
    count = min(max(1, round(share * len(documents))), len(documents) - 1)
    if kind == "file":
        drawn = [number for number in order if _chance(documents[number], seed=seed) < share]
        count = len(drawn) if 0 < len(drawn) < len(documents) else count
    return Holdout(tuple(sorted(order[:-count])), tuple(sorted(order[-count:])), kind)


def _chance(document: Document, *, seed: int) -> float:
    """A number from 0 to 1 that belongs to the document."""
    digest = hashlib.sha256(f"{seed}\0{document.repository}\0{document.name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
