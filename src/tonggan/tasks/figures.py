"""What a report shows of predictions, as plain data: charts and tables under a heading. It draws nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tonggan.wording import Words


@dataclass(frozen=True)
class Line:
    """One curve: its points, and its label."""

    label: Words
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Chart:
    """Lines and dots over two axes; points that are not finite are left out.

    Attributes:
        x_label: of the horizontal axis.
        y_label: of the vertical one.
        lines: curves, with a legend where there are several.
        dots: points without a line.
        weights: of each dot, shown by its area; none where all are alike.
        ticks: of both axes; by default they follow the points.
        mark: where a dashed line stands upright.
        diagonal: whether both axes are the same, with a dashed line where they agree.
        caption: what stands below.
    """

    x_label: Words
    y_label: Words
    lines: Sequence[Line] = ()
    dots: Sequence[tuple[float, float]] = ()
    weights: Sequence[float] = ()
    ticks: Sequence[float] = ()
    mark: float | None = None
    diagonal: bool = False
    caption: Words | None = None


@dataclass(frozen=True)
class Matrix:
    """How often each label (row) was taken for each (column): ``counts[i][j]`` times i was predicted as j."""

    labels: Sequence[str]
    counts: Sequence[Sequence[int]]


@dataclass(frozen=True)
class Table:
    """Cells as they are shown, in rows below the names of the columns."""

    columns: Sequence[Words]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Section:
    """A part of a report: a heading, what explains it, and what is shown."""

    heading: Words
    note: Words
    charts: Sequence[Chart] = ()
    matrix: Matrix | None = None
    table: Table | None = None
