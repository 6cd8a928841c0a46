"""Numbers and categories: the columns of a row that are cells, standardized or indexed, as one modality.

It imputes nothing: a cell that is missing, infinite or not written as the column's numbers is absent under the mask.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat, PositiveFloat, TypeAdapter

from tonggan.cells import cell_text, places_of
from tonggan.config import Config
from tonggan.modalities.base import Modality
from tonggan.modalities.number import NumberConfig
from tonggan.tokens import Arrays

# One mistyped cell of 1e30 would otherwise swamp every other number of its row.
_MAX_DEVIATIONS = 10.0
_CHUNK = 8_192


class CategoryConfig(Config):
    """A column of names out of a limited set."""

    kind: Literal["category"] = "category"
    max_categories: int = Field(default=1_000, ge=1)
    """Names rarer than this many others are taken together with those never seen in training."""


class TableConfig(Config):
    """The number and category columns that one encoder reads together."""

    kind: Literal["table"] = "table"
    columns: dict[str, Annotated[NumberConfig | CategoryConfig, Field(discriminator="kind")]] = Field(min_length=1)
    """What each column is, in the order of the cells."""

    def build(self) -> TableRow:
        """The modality, to be fitted."""
        return TableRow(self)


class TableRow(Modality[TableConfig]):
    """Cells as float32 ``[B, C]`` with a mask ``[B, C]``: standardized numbers, and indices of categories."""

    kind: ClassVar[str] = "table"

    def __init__(self, config: TableConfig) -> None:
        super().__init__(config)
        self._scales: dict[str, tuple[float, float]] = {}
        self._categories: dict[str, list[str]] = {}
        self._places: dict[str, dict[str, int]] = {}

    @property
    def columns(self) -> list[str]:
        """The names of the C cells, in order."""
        return list(self.config.columns)

    @property
    def num_categories(self) -> dict[str, int]:
        """How many indices each category column has, index 0 for all other names included."""
        return {name: len(names) + 1 for name, names in self._categories.items()}

    def fit(self, columns: Mapping[str, Iterable[Any]]) -> None:
        """Mean and deviation of each number column, names of each category column; values are streamed."""
        for name, config in self.config.columns.items():
            if isinstance(config, NumberConfig):
                self._scales[name] = _mean_and_deviation(map(config.read, columns[name]))
            else:
                counts = Counter(key for key in map(cell_text, columns[name]) if key is not None)
                by_frequency = sorted(counts, key=lambda key: (-counts[key], key))
                self._set_categories(name, by_frequency[: config.max_categories])

    def _set_categories(self, name: str, names: list[str]) -> None:
        self._categories[name] = names
        self._places[name] = places_of(names)

    def collate(self, items: Sequence[Mapping[str, Any] | None]) -> Arrays:
        """float32 ``[B, C]`` of the rows; a None row, or a name that a row lacks, is absent."""
        rows = [{} if item is None else item for item in items]
        cells = [self._cells(name, [row.get(name) for row in rows]) for name in self.columns]
        values = np.stack(cells, axis=1)
        mask = np.isfinite(values)
        return Arrays(torch.from_numpy(np.where(mask, values, 0).astype(np.float32)), torch.from_numpy(mask))

    def _cells(self, name: str, items: list[Any]) -> NDArray[np.float64]:
        """[B] of one column, NaN where absent."""
        config = self.config.columns[name]
        if isinstance(config, NumberConfig):
            assert name in self._scales, f"column '{name}' is used before fit"
            mean, deviation = self._scales[name]
            numbers = (np.array([config.read(item) for item in items]) - mean) / deviation
            return np.clip(numbers, -_MAX_DEVIATIONS, _MAX_DEVIATIONS)
        assert name in self._places, f"column '{name}' is used before fit"
        places = self._places[name]
        keys = [cell_text(item) for item in items]
        return np.array([math.nan if key is None else places.get(key, -1) + 1 for key in keys])

    def state(self) -> dict[str, Any]:
        """Mean and deviation of numbers; names of categories by index, from 1."""
        return {
            "scales": {name: list(scale) for name, scale in self._scales.items()},
            "categories": dict(self._categories),
        }

    @classmethod
    def load(cls, config: TableConfig, state: dict[str, Any]) -> Self:
        """The inverse of ``state``."""
        table = cls(config)
        table._scales = TypeAdapter(dict[str, tuple[FiniteFloat, PositiveFloat]]).validate_python(state["scales"])
        categories = TypeAdapter(dict[str, list[str]]).validate_python(state["categories"])
        for name, names in categories.items():
            table._set_categories(name, names)
        if not config.columns.keys() <= table._scales.keys() | categories.keys():
            raise ValueError(f"nothing was fitted for {', '.join(config.columns.keys() - table._scales.keys())}")
        return table


def _mean_and_deviation(values: Iterable[float]) -> tuple[float, float]:
    """Of the finite numbers, chunk by chunk (Chan et al. 1979); (0, 1) of none, deviation 1 of a constant."""
    count, mean, squares = 0, 0.0, 0.0
    for chunk in _chunks(values):
        numbers = np.array(chunk)
        numbers = numbers[~np.isnan(numbers)]
        if len(numbers) == 0:
            continue
        difference = float(numbers.mean()) - mean
        total = count + len(numbers)
        squares += float(numbers.var()) * len(numbers) + difference**2 * count * len(numbers) / total
        mean += difference * len(numbers) / total
        count = total
    deviation = math.sqrt(squares / count) if count else 0.0
    return mean, deviation if deviation > 0 else 1.0


def _chunks(values: Iterable[float]) -> Iterator[list[float]]:
    iterator = iter(values)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk
