"""What members that are not networks read of some rows: vectors of frozen encoders, texts and cells, by input.

Absence is told, never filled in: each member says what it makes of a row, or of a cell, that is not there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Reading:
    """What is read of one input of N rows.

    Attributes:
        present: bool ``[N]``; what stands in an absent row means nothing.
        vectors: float32 ``[N, D]`` of a frozen encoder.
        texts: object ``[N]``, as they stand in the table.
        cells: float32 ``[N, C]``, NaN where one is absent: numbers, standardized, and indices of categories.
        categories: for each of the C cells how many indices it has, 0 of which stands for all other names; 0 for a
            number.
        columns: for each column of the table the cells that are absent without it. Without any each cell is a column.
    """

    present: NDArray[np.bool_]
    vectors: NDArray[np.float32] | None = None
    texts: NDArray[np.object_] | None = None
    cells: NDArray[np.float32] | None = None
    categories: Sequence[int] = ()
    columns: Sequence[Sequence[int]] = ()

    def __len__(self) -> int:
        return len(self.present)

    def keep(self, rows: torch.Tensor) -> Reading:
        """The same with the input absent where ``rows`` [N] bool is False."""
        kept = rows.cpu().numpy()
        cells = None if self.cells is None else np.where(kept[:, None], self.cells, np.float32(np.nan))
        return replace(self, present=self.present & kept, cells=cells)

    def take(self, rows: torch.Tensor | NDArray[np.int64]) -> Reading:
        """The rows at the positions ``rows`` [M] int64, in that order."""
        places = np.asarray(rows)
        parts: dict[str, Any] = {name: getattr(self, name) for name in ("vectors", "texts", "cells")}
        taken: dict[str, Any] = {name: None if part is None else part[places] for name, part in parts.items()}
        return replace(self, present=self.present[places], **taken)

    @staticmethod
    def cat(parts: Sequence[Reading]) -> Reading:
        """The rows of all ``parts`` of one input, in their order."""
        first = parts[0]
        joined: dict[str, Any] = {
            name: None if getattr(first, name) is None else np.concatenate([getattr(part, name) for part in parts])
            for name in ("vectors", "texts", "cells")
        }
        return replace(first, present=np.concatenate([part.present for part in parts]), **joined)


Features: TypeAlias = Mapping[str, Reading]
"""By input, of the same rows."""


def take_rows(features: Features, rows: NDArray[np.int64]) -> dict[str, Reading]:
    """Every input of the rows at the positions ``rows`` [M], in that order."""
    return {name: reading.take(rows) for name, reading in features.items()}


def num_rows(features: Features) -> int:
    """N."""
    return len(next(iter(features.values())))
