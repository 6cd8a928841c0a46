"""Numbers, dates and categories: the columns of a row that are cells, standardized or indexed, as one modality.

It imputes nothing: a cell that is missing, infinite or not written as the column's numbers is absent under the mask.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from itertools import combinations, islice, pairwise
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field, FiniteFloat, PositiveFloat, TypeAdapter

from tonggan.cells import cell_text, places_of
from tonggan.modalities.base import Cell, ColumnConfig, Form, GraphInput, InputConfig, Modality, shortened
from tonggan.modalities.date import DateConfig
from tonggan.modalities.duration import DurationConfig
from tonggan.modalities.number import NumberConfig
from tonggan.modalities.numeric import FloatArray, Markers, NumericConfig, is_one_of
from tonggan.modalities.scales import Sample, mean_and_deviation
from tonggan.modalities.time_of_day import TimeOfDayConfig
from tonggan.tokens import Arrays
from tonggan.wording import Words

_Scale = tuple[FiniteFloat, PositiveFloat]

# Beyond so many deviations only the logarithm counts: a cell of 1e30 would otherwise swamp every other of its row.
_MAX_DEVIATIONS = 10.0
_CHUNK = 8_192
_MOST_PAIRED = 4
_PAIRED_ROWS = 1_000_000  # from which the scale of a time between two columns is taken
_CONSTANT = 0.99  # of the rows that have one value: a part of a column that says no more is not read


class CategoryConfig(ColumnConfig):
    """A column of names out of a limited set."""

    words: ClassVar[Words] = Words("category", "类别")
    form: ClassVar[Form] = "name"
    joins: ClassVar[str] = "table"
    kind: Literal["category"] = "category"
    max_categories: int = Field(default=1_000, ge=1)
    """Maximum number of names; rarer ones are treated like names never seen in training."""
    min_rows: int = Field(default=2, ge=1)
    """Names in fewer rows of the training part are treated the same way, which also teaches the model how to answer for
    unseen names."""
    missing: Markers = Field(default_factory=list)
    """Texts that mean a missing value. For a target, without any, usual ones such as NA are recognized."""

    def read(self, cell: Any) -> Any:
        """The cell; None where it is one of ``missing``."""
        return None if is_one_of(cell, self.missing) else cell


_ColumnConfig = NumberConfig | DateConfig | TimeOfDayConfig | DurationConfig | CategoryConfig


class TableConfig(InputConfig):
    """The columns of numbers, dates, times and categories that one encoder reads together."""

    words: ClassVar[Words] = Words("table", "表格")
    kind: Literal["table"] = "table"
    columns: dict[str, Annotated[_ColumnConfig, Field(discriminator="kind")]] = Field(min_length=1)
    """What each column is, in the order of the cells."""

    def build(self) -> TableRow:
        """The modality, to be fitted."""
        return TableRow(self)


class TableRow(Modality[TableConfig]):
    """Cells as float32 ``[B, C]`` with a mask ``[B, C]``: standardized numbers, and indices of categories.

    A column has one cell or, as a date, several that are present together. Behind those of all columns stands the time
    between each two columns of dates, which no sum or split of theirs finds; it is absent where one of them is.
    """

    kind: ClassVar[str] = "table"

    def __init__(self, config: TableConfig) -> None:
        super().__init__(config)
        # By column and part, mean and deviation.
        self._scales: dict[str, dict[str, tuple[float, float]]] = {}
        # By earlier and later column, likewise.
        self._intervals: dict[tuple[str, str], tuple[float, float]] = {}
        self._categories: dict[str, list[str]] = {}
        self._places: dict[str, dict[str, int]] = {}
        self._clips = False

    @property
    def cells(self) -> list[str]:
        """The names of the columns, in order."""
        return list(self.config.columns)

    @property
    def token_of(self) -> list[int]:
        """For each of the C cells which token it is a part of: those of a column are one, and so is each interval."""
        own = [column for column, name in enumerate(self.cells) for _ in self._sizes_of(name)]
        return [*own, *range(len(self.cells), len(self.cells) + len(self._intervals))]

    @property
    def positions(self) -> list[list[int]]:
        token_of = self.token_of
        first = len(token_of) - len(self._intervals)
        own: dict[str, list[int]] = {name: [] for name in self.cells}
        names = list(own)
        for place, token in enumerate(token_of[:first]):
            own[names[token]].append(place)
        for place, pair in enumerate(self._intervals, first):
            for name in pair:
                own[name].append(place)
        return list(own.values())

    @property
    def sizes(self) -> list[int]:
        """For each of the C cells how many indices its category has, index 0 for all other names; 0 for a number."""
        return [size for name in self.cells for size in self._sizes_of(name)] + [0] * len(self._intervals)

    def _sizes_of(self, name: str) -> list[int]:
        assert name in self._scales or name in self._categories, f"column '{name}' is used before fit"
        return [len(self._categories[name]) + 1] if name in self._categories else [0] * len(self._scales[name])

    def columns(self, name: str) -> Mapping[str, NumericConfig | CategoryConfig]:  # noqa: ARG002
        return self.config.columns

    def gather(self, name: str, read: Callable[[str], Sequence[Any]]) -> Sequence[Mapping[str, Any]]:  # noqa: ARG002
        """The cells of each row by column."""
        return [dict(zip(self.cells, row, strict=True)) for row in zip(*map(read, self.cells), strict=True)]

    def show(self, name: str, item: Mapping[str, Any]) -> list[Cell]:  # noqa: ARG002
        """The cells, each by itself."""
        return [Cell(column, "text", shortened(cell)) for column, cell in item.items()]

    def reading(self, configs: Mapping[str, NumericConfig]) -> Self:
        own = {name: configs.get(name, config) for name, config in self.config.columns.items()}
        other = copy(self)
        other.config = self.config.model_copy(update={"columns": own})
        return other

    def learn(self, name: str, read: Callable[[str], Iterable[Any]]) -> None:  # noqa: ARG002
        """What ``fit`` does."""
        self.fit({column: read(column) for column in self.cells})

    def fit(self, columns: Mapping[str, Iterable[Any]]) -> None:
        """Mean and deviation of each part of a number column, names of each category column; values are streamed.

        Numbers far from the others do not count in either (``scales.py``).
        """
        paired: dict[str, list[float]] = {name: [] for pair in _pairs(self.config.columns) for name in pair}
        for name, config in self.config.columns.items():
            if isinstance(config, NumericConfig):
                sample = Sample()
                for chunk in _chunks(map(config.read, columns[name])):
                    sample.add(chunk)
                    if len(paired.get(name, ())) < _PAIRED_ROWS:
                        paired.get(name, []).extend(chunk)
                self._scales[name] = _scales_of(config.parts(sample.values))
            else:
                keys = map(cell_text, map(config.read, columns[name]))
                counts = Counter(key for key in keys if key is not None)
                known = [key for key, count in counts.items() if count >= config.min_rows]
                by_frequency = sorted(known, key=lambda key: (-counts[key], key))
                self._set_categories(name, by_frequency[: config.max_categories])
        for pair in _pairs(self.config.columns):
            seconds = self._between(pair, {name: np.array(paired[name]) for name in pair})
            if _differs(seconds[~np.isnan(seconds)]):
                self._intervals[pair] = mean_and_deviation(seconds[~np.isnan(seconds)])

    def _between(self, pair: tuple[str, str], numbers: Mapping[str, FloatArray]) -> FloatArray:
        """[B], from the earlier column of ``pair`` to the later one."""
        config = self.config.columns[pair[1]]
        assert isinstance(config, NumericConfig), "names have no distance"
        seconds = config.after(numbers[pair[0]], numbers[pair[1]])
        assert seconds is not None, "only such columns are paired"
        return seconds

    def _set_categories(self, name: str, names: list[str]) -> None:
        self._categories[name] = names
        self._places[name] = places_of(names)

    def collate(self, items: Sequence[Mapping[str, Any] | None]) -> Arrays:
        """float32 ``[B, C]`` of the rows; a None row, or a name that a row lacks, is absent."""
        scales = zip(self.unscaled(items).T, self.scales, strict=True)
        cells = [each if scale is None else self._standardized(each, *scale) for each, scale in scales]
        values = np.stack(cells, axis=1)
        mask = np.isfinite(values)
        return Arrays(torch.from_numpy(np.where(mask, values, 0).astype(np.float32)), torch.from_numpy(mask))

    def unscaled(self, items: Sequence[Mapping[str, Any] | None]) -> FloatArray:
        """float64 ``[B, C]``: numbers in their own units and indices of categories, NaN where absent."""
        rows = [{} if item is None else item for item in items]
        numbers: dict[str, FloatArray] = {}
        cells: list[FloatArray] = []
        for name, config in self.config.columns.items():
            items_of = [row.get(name) for row in rows]
            if isinstance(config, NumericConfig):
                assert name in self._scales, f"column '{name}' is used before fit"
                numbers[name] = np.array([config.read(item) for item in items_of])
                parts = config.parts(numbers[name])
                cells += [parts[part] for part in self._scales[name]]
            else:
                cells.append(self._indices(name, config, items_of))
        cells += [self._between(pair, numbers) for pair in self._intervals]
        return np.stack(cells, axis=1)

    @property
    def scales(self) -> list[tuple[float, float] | None]:
        """For each of the C cells mean and deviation; None of a category."""
        own = [list(self._scales[name].values()) if name in self._scales else [None] for name in self.cells]
        return [*(scale for part in own for scale in part), *self._intervals.values()]

    @property
    def described(self) -> list[dict[str, Any]]:
        """For each of the C cells its column, its part where there are several, and the names of a category's indices.

        Index 0 is of all other names.
        """
        told: list[dict[str, Any]] = []
        for name in self.cells:
            if name in self._categories:
                told.append({"column": name, "names": [None, *self._categories[name]]})
            else:
                told += [{"column": name, **({"part": part} if part else {})} for part in self._scales[name]]
        return told + [{"columns": list(pair), "part": "time between"} for pair in self._intervals]

    def _indices(self, name: str, config: CategoryConfig, items: list[Any]) -> FloatArray:
        """[B], NaN where absent."""
        assert name in self._places, f"column '{name}' is used before fit"
        places = self._places[name]
        keys = [cell_text(config.read(item)) for item in items]
        return np.array([math.nan if key is None else places.get(key, -1) + 1 for key in keys])

    def _standardized(self, values: FloatArray, mean: float, deviation: float) -> FloatArray:
        with np.errstate(over="ignore"):
            numbers = (values - mean) / deviation
        clipped = np.clip(numbers, -_MAX_DEVIATIONS, _MAX_DEVIATIONS)
        return clipped if self._clips else clipped + _logarithm(numbers - clipped)

    def to_graph(self, arrays: Arrays, items: Sequence[Mapping[str, Any] | None]) -> GraphInput:
        """Cells in their own units."""
        del arrays
        note = {"values": "float64 [rows, cells], NaN where absent", "cells": self.described}
        return GraphInput({"": torch.from_numpy(self.unscaled(items))}, note)

    def from_graph(self, values: torch.Tensor, *others: torch.Tensor) -> Arrays:
        assert not others, "cells are one tensor"
        mask = ~values.isnan()
        scales = torch.tensor([scale or (0.0, 1.0) for scale in self.scales], dtype=torch.float64)
        is_number = torch.tensor([scale is not None for scale in self.scales])
        standardized = self._squashed((values.masked_fill(~mask, 0) - scales[:, 0]) / scales[:, 1])
        return Arrays(torch.where(is_number, standardized, values).masked_fill(~mask, 0).float(), mask)

    def _squashed(self, numbers: torch.Tensor) -> torch.Tensor:
        """Standardized ``numbers`` float64 as the cells have them: what is far out grows as its logarithm."""
        near = numbers.clamp(-_MAX_DEVIATIONS, _MAX_DEVIATIONS)
        far = numbers - near
        return near if self._clips else near + far.sign() * far.abs().log1p()

    def hide(self, arrays: Arrays, rows: torch.Tensor, generator: torch.Generator) -> Arrays:
        """Columns of ``rows`` [B] bool made absent, or, half of the categories, a name never seen (index 0).

        Each row draws its own share to hide, so that every number of columns, all of them included, is as frequent as
        every other, and what is left of a row is answered for itself.
        """
        shape = len(arrays), len(self.cells)
        share = torch.rand(len(arrays), 1, generator=generator)
        hidden = rows.unsqueeze(1) & (torch.rand(shape, generator=generator) < share)
        is_category = torch.tensor([name in self._categories for name in self.cells])
        unseen = is_category & (torch.rand(shape, generator=generator) < 0.5)
        uses = torch.zeros(len(self.cells), arrays.mask.shape[1])
        for column, positions in enumerate(self.positions):
            uses[column, positions] = 1
        hidden, unseen = hidden.float() @ uses > 0, unseen.float() @ uses > 0
        return Arrays(arrays.values.masked_fill(hidden & unseen, 0), arrays.mask & (~hidden | unseen))

    def state(self) -> dict[str, Any]:
        """Mean and deviation of numbers; names of categories by index, from 1; whether far numbers are clipped.

        Of a column with several parts there are a mean and a deviation for each by its name.
        """
        scales: dict[str, Any] = {}
        for name, parts in self._scales.items():
            scales[name] = list(parts[""]) if "" in parts else {part: list(scale) for part, scale in parts.items()}
        intervals = [[*pair, *scale] for pair, scale in self._intervals.items()]
        return {"scales": scales, "intervals": intervals, "clips": self._clips, "categories": dict(self._categories)}

    @classmethod
    def load(cls, config: TableConfig, state: dict[str, Any]) -> Self:
        """The inverse of ``state``."""
        table = cls(config)
        scales = TypeAdapter(dict[str, _Scale | dict[str, _Scale]]).validate_python(state["scales"])
        categories = TypeAdapter(dict[str, list[str]]).validate_python(state["categories"])
        for name, names in categories.items():
            table._set_categories(name, names)
        for name, column in config.columns.items():
            if isinstance(column, NumericConfig) and name in scales:
                table._scales[name] = _known_scales(name, column, scales[name])
        if not config.columns.keys() <= table._scales.keys() | categories.keys():
            raise ValueError(f"nothing was fitted for {', '.join(config.columns.keys() - table._scales.keys())}")
        # Bundles without such entries have no columns of dates.
        intervals = TypeAdapter(list[tuple[str, str, FiniteFloat, PositiveFloat]])
        for earlier, later, *scale in intervals.validate_python(state.get("intervals", [])):
            if (earlier, later) not in _pairs(config.columns):
                raise ValueError(f"no time lies between '{earlier}' and '{later}'")
            table._intervals[earlier, later] = scale[0], scale[1]
        # Bundles of Tonggan 0.1 have no such entry: their models have learned from clipped numbers.
        table._clips = TypeAdapter(bool).validate_python(state.get("clips", True))
        return table


def _pairs(columns: Mapping[str, ColumnConfig]) -> list[tuple[str, str]]:
    """Columns of one kind between which there is a time: each two, or of many only neighbors."""
    nothing = np.zeros(0)
    found: dict[str, list[str]] = {}
    for name, config in columns.items():
        if isinstance(config, NumericConfig) and config.after(nothing, nothing) is not None:
            found.setdefault(config.kind, []).append(name)
    return [
        pair
        for names in found.values()
        for pair in (combinations(names, 2) if len(names) <= _MOST_PAIRED else pairwise(names))
    ]


def _scales_of(parts: Mapping[str, FloatArray]) -> dict[str, tuple[float, float]]:
    """Mean and deviation of the first part and of all others that are not nearly constant."""
    first = next(iter(parts))
    return {part: mean_and_deviation(values) for part, values in parts.items() if part == first or _differs(values)}


def _differs(values: FloatArray) -> bool:
    counts = np.unique(values, return_counts=True)[1]
    return bool(counts.max(initial=0) <= _CONSTANT * len(values)) and len(values) > 0


def _known_scales(name: str, config: NumericConfig, scales: Any) -> dict[str, tuple[float, float]]:
    """``scales`` of one column by part, in the order of its parts.

    Raises:
        ValueError: its kind has no such parts.
    """
    by_part: dict[str, tuple[float, float]] = scales if isinstance(scales, dict) else {"": scales}
    known = list(config.parts(np.zeros(0)))
    if not by_part or not by_part.keys() <= set(known):
        raise ValueError(f"column '{name}' has parts {list(by_part)}, of which a {config.kind} has {known}")
    return {part: by_part[part] for part in known if part in by_part}


def _logarithm(numbers: FloatArray) -> FloatArray:
    """Sign and ``log(1 + |x|)``, of infinity as of the largest number."""
    finite = np.minimum(np.abs(numbers), np.finfo(np.float64).max)
    return np.asarray(np.copysign(np.log1p(finite), numbers))


def _chunks(values: Iterable[float]) -> Iterator[list[float]]:
    iterator = iter(values)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk
