"""Features as one matrix: dense and standardized for members that weigh or measure, raw with NaN for trees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tonggan.floor.base import CannotFitError, Examples, Floats, Goal, Stored
from tonggan.floor.features import Features, Reading, num_rows, take_rows
from tonggan.floor.rows import sample, sizes

Form: TypeAlias = Literal["dense", "gaps", "raw"]

_MOST_NAMES = 200  # of one category that have a column each; the rest counts as never seen
_MOST_ELEMENTS = 40_000_000  # of a matrix
_MOST_BINNED = 200  # columns of numbers; of more, each is told by itself alone
_CLIPPED_AT = 10.0  # standard deviations
_ROWS_FOR_AXES = 5_000

DIFFERENCES = "differences of columns"
_ALIKE = 0.98  # correlation
_ROUNDING = 2e-6  # of a standard deviation, by which float32 may be off
_MOST_COMPARED = 200  # columns
_MOST_PAIRS = 12
_ROWS_FOR_PAIRS = 5_000
_LEAST_ROWS = 20


class Design:
    """How rows become a matrix; fitted once, stored with the member.

    Attributes:
        form: ``dense``: standardized, categories as a column for each name, absent ones as zeros beside an indicator;
            ``gaps``: the same without indicators, and NaN where something is absent or has a name never seen;
            ``raw``: numbers as they are, categories as their index and absent ones as the index behind the last,
            vectors as their ``axes`` principal components, NaN where absent.
    """

    def __init__(
        self, form: Form, inputs: Sequence[Mapping[str, Any]], differences: Differences, columns: NDArray[np.int64]
    ) -> None:
        self.form = form
        self._differences = differences
        self._inputs = inputs
        self._columns = columns

    @staticmethod
    def fit(
        examples: Examples, form: Form, goal: Goal, *, axes: int = 0, bins: int = 0, most_columns: int = 20_000
    ) -> Design:
        """The design of these rows; of too many columns those that say the most about the targets.

        Args:
            examples: rows, hidden copies among them.
            form: as above.
            goal: what is predicted.
            axes: to how many dimensions each input's vectors are reduced; 0 leaves them whole.
            bins: each number of a dense design is also told by how far it fills so many bins of as many rows each, so
                that what weighs columns can bend.
            most_columns: that are kept.

        Raises:
            CannotFitError: no input has vectors or cells, or none of them differs between the rows.
        """
        width = sum(map(_width, examples.features.values()))
        examples = sample(examples, max(_MOST_ELEMENTS // max(width, 1), 1), seed=0)
        differences = Differences.fit(examples.features)
        features = differences.beside(examples.features)
        inputs = [_fitted(name, reading, form, axes, bins) for name, reading in features.items()]
        inputs = [found for found in inputs if "vectors" in found or "cells" in found]
        if not inputs:
            raise CannotFitError(
                "member that reads vectors and cells",
                got="inputs that have neither",
                expected="numbers, categories, or vectors of a frozen encoder",
                remedy="Leave it out, or give it another column",
            )
        design = Design(form, inputs, differences, np.arange(0))
        return Design(
            form, inputs, differences, _telling(design._full(examples.features), examples, goal, most_columns)
        )

    def matrix(self, features: Features) -> Floats:
        """Float64 ``[N, F]``."""
        rows, width = num_rows(features), sum(map(_width, features.values()))
        step = max(_MOST_ELEMENTS // max(width, 1), 1)
        if rows <= step:
            return self._full(features)[:, self._columns]
        parts = [np.arange(start, min(start + step, rows)) for start in range(0, rows, step)]
        return np.concatenate([self.matrix(take_rows(features, part)) for part in parts])

    def categories(self) -> list[int]:
        """The positions of raw columns that hold categories."""
        kinds = [kind for found in self._inputs for kind in self._kinds(found)]
        return [place for place, column in enumerate(self._columns) if kinds[column]]

    def _kinds(self, found: Mapping[str, Any]) -> list[bool]:
        of_vectors = len(found["axes"] if "axes" in found else found["mean"]) if "vectors" in found else 0
        return [False] * of_vectors + [count > 0 for count in found.get("cells", ())]

    def _full(self, features: Features) -> Floats:
        parts = []
        features = self._differences.beside(features)
        for found in self._inputs:
            reading = features[found["name"]]
            parts += _raw(found, reading) if self.form == "raw" else _dense(found, reading, self.form)
        return np.concatenate(parts, axis=1)

    def store(self) -> Stored:
        """For the disk."""
        plain, arrays = [], {"design.columns": self._columns, **self._differences.arrays()}
        for index, found in enumerate(self._inputs):
            plain.append({key: value for key, value in found.items() if not isinstance(value, np.ndarray)})
            arrays |= {f"design.{index}.{key}": v for key, v in found.items() if isinstance(v, np.ndarray)}
        return Stored({"form": self.form, "inputs": plain}, arrays)

    @staticmethod
    def load(plain: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Design:
        """The inverse of ``store``, from all arrays of a member.

        Raises:
            KeyError, ValueError: something is missing.
        """
        inputs = []
        for index, said in enumerate(plain["inputs"]):
            prefix = f"design.{index}."
            held = {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}
            inputs.append({**said, **held})
        return Design(plain["form"], inputs, Differences.of(arrays), arrays["design.columns"])


def _width(reading: Reading) -> int:
    return sum(part.shape[1] for part in (reading.vectors, reading.cells) if part is not None)


def _fitted(name: str, reading: Reading, form: str, axes: int, bins: int) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name}
    present = reading.present
    if reading.vectors is not None and present.any():
        vectors = reading.vectors[present].astype(np.float64)
        mean = vectors.mean(0)
        found |= {"vectors": True, "mean": mean, "scale": float(np.sqrt(np.square(vectors - mean).mean())) or 1.0}
        if form == "raw" and 0 < axes < vectors.shape[1]:
            found["axes"] = _principal_axes(vectors[:: -(-len(vectors) // _ROWS_FOR_AXES)] - mean, axes)
    if reading.cells is not None and reading.cells.shape[1]:
        cells = np.where(present[:, None], reading.cells, np.nan).astype(np.float64)
        found["cells"] = sizes(reading).tolist()
        if form != "raw":
            known = ~np.isnan(cells)
            counts = np.maximum(known.sum(0), 1)
            clipped = np.clip(np.where(known, cells, 0), -_CLIPPED_AT, _CLIPPED_AT)
            center = clipped.sum(0) / counts
            spread = np.sqrt((np.square(clipped - center) * known).sum(0) / counts)
            found |= {"center": center, "spread": np.where(spread > 0, spread, 1.0)}
            numbers = cells[:, np.array(found["cells"]) == 0]
            if bins and 0 < numbers.shape[1] <= _MOST_BINNED:
                found["edges"] = np.stack([_edges(column, bins) for column in numbers.T])
    return found


def _principal_axes(centered: Floats, most: int) -> Floats:
    """``[axes, D]``, of length 1 and the longest first; no more than there are rows, if one of them is of zeros."""
    rows, width = centered.shape
    if width <= rows:
        return np.ascontiguousarray(np.linalg.eigh(centered.T @ centered)[1][:, ::-1][:, :most].T)
    # Of fewer rows than columns, the products of rows with rows tell the same in far less time.
    squares, shares = np.linalg.eigh(centered @ centered.T)
    kept = np.flatnonzero(squares > 1e-12 * max(squares[-1], 1e-300))[::-1][:most]
    axes = shares[:, kept].T @ centered / np.sqrt(squares[kept, None])
    return np.ascontiguousarray(axes) if len(kept) else np.zeros((1, width))


def _edges(column: Floats, bins: int) -> Floats:
    known = column[~np.isnan(column)]
    return np.quantile(known, np.linspace(0, 1, bins + 1)) if len(known) else np.zeros(bins + 1)


def _filled(numbers: Floats, edges: Floats) -> Floats:
    """``[N, columns * bins]``: how far each number fills each bin, -0.5 to 0.5; zeros where it is absent."""
    widths = np.diff(edges)
    share = (numbers[:, :, None] - edges[:, :-1]) / np.where(widths > 0, widths, 1.0)
    steps = np.where(widths > 0, np.clip(share, 0, 1), share > 0) - 0.5
    return np.where(np.isnan(numbers)[:, :, None], 0.0, steps).reshape(len(numbers), -1)


def _vectors(found: Mapping[str, Any], reading: Reading) -> Floats:
    if reading.vectors is None:
        return np.zeros((len(reading), len(found["mean"])))
    vectors = (reading.vectors.astype(np.float64) - found["mean"]) / found["scale"]
    return np.asarray(vectors @ found["axes"].T if "axes" in found else vectors)


def _cells(reading: Reading, width: int) -> Floats:
    cells = np.full((len(reading), width), np.nan) if reading.cells is None else reading.cells.astype(np.float64)
    return np.where(reading.present[:, None], cells, np.nan)


def _dense(found: Mapping[str, Any], reading: Reading, form: Form) -> list[Floats]:
    gap = np.nan if form == "gaps" else 0.0
    parts: list[Floats] = [] if form == "gaps" else [(~reading.present[:, None]).astype(np.float64)]
    if "vectors" in found:
        parts.append(np.where(reading.present[:, None], _vectors(found, reading), gap))
    if "cells" in found:
        counts = np.asarray(found["cells"])
        cells = _cells(reading, len(counts))
        numbers = cells[:, counts == 0]
        clipped = np.clip(numbers, -_CLIPPED_AT, _CLIPPED_AT)
        scaled = (clipped - found["center"][counts == 0]) / found["spread"][counts == 0]
        parts.append(np.where(np.isnan(numbers), gap, scaled))
        if form == "dense":
            parts.append(np.isnan(numbers) * 1.0)
        if "edges" in found:
            parts.append(_filled(numbers, found["edges"]))
        for column in np.flatnonzero(counts):
            names = min(int(counts[column]), _MOST_NAMES)
            codes = np.where(cells[:, column] < names, cells[:, column], np.where(np.isnan(cells[:, column]), names, 0))
            columns = (codes[:, None] == np.arange(names + 1)) * 1.0
            if form == "gaps":
                columns = np.where((codes % names == 0)[:, None], np.nan, columns)
            parts.append(columns)
    return parts


def _raw(found: Mapping[str, Any], reading: Reading) -> list[Floats]:
    parts: list[Floats] = []
    if "vectors" in found:
        parts.append(np.where(reading.present[:, None], _vectors(found, reading), np.nan))
    if "cells" in found:
        counts = np.asarray(found["cells"])
        cells = _cells(reading, len(counts))
        parts.append(np.where(np.isnan(cells) & (counts > 0), counts, cells))
    return parts


def _telling(matrix: Floats, examples: Examples, goal: Goal, most: int) -> NDArray[np.int64]:
    """The columns that differ between rows, and of too many those most correlated with a target."""
    known = ~np.isnan(matrix)
    filled = np.where(known, matrix, 0)
    filled -= filled.sum(0) / np.maximum(known.sum(0), 1)
    filled *= known
    norms = np.sqrt(np.square(filled).sum(0))
    columns = np.flatnonzero((norms > 1e-9) | (known.any(0) & ~known.all(0)))
    if len(columns) > most:
        aims = np.eye(goal.size)[examples.targets] if goal.form == "classes" else examples.targets
        aims = (aims - aims.mean(0)) / np.maximum(aims.std(0), 1e-9)
        strengths = (np.abs(filled[:, columns].T @ aims) / np.maximum(norms[columns, None], 1e-9)).max(1)
        columns = np.sort(columns[np.argsort(-strengths, kind="stable")[:most]])
    if not len(columns):
        raise CannotFitError(
            "member that reads vectors and cells",
            got=f"{len(matrix)} identical rows",
            expected="columns that differ between the rows",
            remedy="Leave it out, or give it another column",
        )
    return columns


@dataclass(frozen=True, eq=False)
class Differences:
    """What pairs of numbers that say nearly the same differ by: of two times how long it took, of two lengths the form.

    No tree and no standardized column shows it, since it is lost beside what the two have in common. Held are the
    pairs, and the line by which the second follows from the first.

    Attributes:
        pairs: int64 ``[P, 2]``, positions among the numbers of all inputs.
        lines: float64 ``[P, 3]``: slope, intercept, and the spread of what is left.
    """

    pairs: NDArray[np.int64]
    lines: Floats

    @staticmethod
    def fit(features: Features) -> Differences:
        """The pairs most alike that are not the same; of very many columns none are compared."""
        found: list[tuple[int, int]] = []
        numbers = np.zeros((0, 0))
        columns = sum(int((sizes(each) == 0).sum()) for each in features.values() if each.cells is not None)
        if 2 <= columns <= _MOST_COMPARED:
            numbers = _numbers(features)
            numbers = numbers[:: -(-len(numbers) // _ROWS_FOR_PAIRS)]
            known = ~np.isnan(numbers)
            held = np.where(known, numbers, 0.0)
            held = np.where(known, held - held.sum(0) / np.maximum(known.sum(0), 1), 0.0)
            squares = np.square(held).T @ known.astype(np.float64)
            norms = np.sqrt(np.maximum(squares * squares.T, 1e-30))
            alike = np.triu(np.abs(held.T @ held) / norms * (known.T.astype(np.int64) @ known >= _LEAST_ROWS), 1)
            first, second = np.unravel_index(np.argsort(-alike, axis=None)[: 4 * _MOST_PAIRS], alike.shape)
            found = [pair for pair in zip(first.tolist(), second.tolist(), strict=True) if alike[pair] >= _ALIKE]
        lines = [(pair, *_line(numbers[:, pair[0]], numbers[:, pair[1]])) for pair in found]
        kept = [line for line in lines if line[3] > _ROUNDING][:_MOST_PAIRS]
        return Differences(
            np.array([line[0] for line in kept], dtype=np.int64).reshape(-1, 2),
            np.array([line[1:] for line in kept], dtype=np.float64).reshape(-1, 3),
        )

    def beside(self, features: Features) -> Features:
        """The features and, as an input of its own, what the pairs differ by; NaN where one of the two is absent."""
        if not len(self.pairs):
            return features
        numbers = _numbers(features)
        slopes, intercepts, spreads = self.lines.T
        left = numbers[:, self.pairs[:, 1]] - slopes * numbers[:, self.pairs[:, 0]] - intercepts
        cells = (left / spreads).astype(np.float32)
        return {**features, DIFFERENCES: Reading(~np.isnan(cells).all(1), cells=cells)}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """For the disk."""
        return {"differences.pairs": self.pairs, "differences.lines": self.lines}

    @staticmethod
    def of(arrays: Mapping[str, NDArray[Any]]) -> Differences:
        """The inverse of ``arrays``."""
        return Differences(arrays["differences.pairs"], arrays["differences.lines"])


def _numbers(features: Features) -> Floats:
    """``[N, C]``: all numbers of all inputs, NaN where one is absent."""
    parts = [np.zeros((len(next(iter(features.values()))), 0))]
    for reading in features.values():
        if reading.cells is not None:
            cells = reading.cells[:, sizes(reading) == 0].astype(np.float64)
            parts.append(np.where(reading.present[:, None], cells, np.nan))
    return np.concatenate(parts, axis=1)


def _line(first: Floats, second: Floats) -> tuple[float, float, float]:
    known = ~(np.isnan(first) | np.isnan(second))
    one, other = first[known], second[known]
    slope = float(((one - one.mean()) * (other - other.mean())).sum() / max(np.square(one - one.mean()).sum(), 1e-30))
    intercept = float(other.mean() - slope * one.mean())
    return slope, intercept, float((other - slope * one - intercept).std())
