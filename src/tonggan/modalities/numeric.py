"""What columns have in common whose cells each mean one number: a measure, a moment, a length of time."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tonggan.modalities.base import ColumnConfig, Form
from tonggan.wording import Words

FloatArray = NDArray[np.float64]


class NumericConfig(ColumnConfig):
    """A column of which every cell means one number.

    Attributes:
        things: what its cells hold.
    """

    form: ClassVar[Form] = "number"
    joins: ClassVar[str] = "table"
    things: ClassVar[Words] = Words("numbers", "数")

    @abstractmethod
    def read(self, cell: Any) -> float:
        """The cell as a finite number; NaN where it says nothing, or nothing that such a column writes."""

    def parts(self, numbers: FloatArray) -> Mapping[str, FloatArray]:
        """By name, what models read of ``numbers`` ``[N]``, NaN where one is missing: each ``[N]``.

        The first part is always read, the others where they differ from row to row.
        """
        return {"": numbers}

    def written(self, number: float) -> str:
        """A number of ``read`` as a person, and this column, writes it."""
        return f"{number:g}"
