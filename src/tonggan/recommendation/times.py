"""When interactions were: a column of times or dates as seconds, with what is wrong in it told."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tonggan.cells import cell_number, cell_text
from tonggan.data.findings import Finding, Quarantined
from tonggan.data.kinds import guess_columns
from tonggan.data.table import Table
from tonggan.floor.base import Floats
from tonggan.modalities import DateConfig, NumericConfig

_LIKELY_TIMES = 0.95
_MIDDLE = 0.5
_DAY = 86_400.0
_LAST_DATE = 2.5e11  # seconds since 1970: about the year 9900


def read_numbers(table: Table, name: str, cells: Sequence[Any]) -> Floats:
    """The column as the numbers, dates or durations that it seems to hold; NaN where a cell is none."""
    config = guess_columns(table, target=(), declared={})[name].config
    if not isinstance(config, NumericConfig):
        return np.full(len(cells), np.nan)
    return np.array([config.read(cell) for cell in cells], dtype=np.float64)


def read_times(
    table: Table,
    name: str,
    cells: Sequence[Any],
    kept: NDArray[np.bool_],
    findings: list[Finding],
    quarantine: list[Quarantined],
) -> Floats | None:
    """Seconds; rows without a time count as the oldest. None where the column holds no times at all."""
    times = np.array([cell_number(cell) for cell in cells])
    if np.isnan(times).mean() > 1 - _LIKELY_TIMES:
        times = read_numbers(table, name, cells)
        if np.isnan(times).mean() > _MIDDLE:
            times = np.array([DateConfig().read(cell) for cell in cells], dtype=np.float64)
    missing = np.isnan(times)
    if missing.all() or np.nanmin(times) == np.nanmax(times):
        findings.append(_no_order(name, [cell for cell in cells if cell_text(cell) is not None], missing))
        return None
    if missing[kept].any():
        rows = np.flatnonzero(missing & kept)
        findings.append(
            Finding(
                "warning",
                name,
                "interactions",
                len(rows),
                message=f"{len(rows):,} interactions have no time that can be read; they count as the oldest and are "
                "never asked for.",
                message_zh=f"{len(rows):,} 条交互没有可读取的时间；按最早的处理，只用于学习，不用于评测。",
                remedy=f"Fill '{name}' in",
                remedy_zh=f"请补全“{name}”",
            )
        )
        quarantine += [
            Quarantined("interactions", int(row), int(table.row_numbers[row]), name, str(cells[row] or ""), "no time")
            for row in rows.tolist()
        ]
        times[missing] = np.nanmin(times)
    times = times * _seconds(float(np.median(times)))
    findings += _in_future(name, times[kept])
    return times


def _no_order(name: str, filled: Sequence[Any], missing: NDArray[np.bool_]) -> Finding:
    """That a column of times, of which the cells ``filled`` are not empty, says nothing of what came first."""
    if not filled:
        said, said_zh = f"Column '{name}' is empty.", f"“{name}”列是空的。"
    elif missing.all():
        said = f"Column '{name}' holds no times that can be read, e.g. {filled[0]!r}."
        said_zh = f"“{name}”列中没有可以读取的时间，例如 {filled[0]!r}。"
    else:
        said = f"All times in '{name}' are the same, {filled[0]!r}: they do not say what came first."
        said_zh = f"“{name}”列中的时间全都相同（{filled[0]!r}），看不出先后。"
    return Finding(
        "warning",
        name,
        "interactions",
        len(missing),
        message=said,
        message_zh=said_zh,
        remedy="Write them as 2024-03-05 10:30 or as seconds since 1970, or name another column: "
        "--set columns.time=COLUMN",
        remedy_zh="请写成 2024-03-05 10:30 或自 1970 年起的秒数，或用 --set columns.time=COLUMN 指定另一列",
    )


def _seconds(typical: float) -> float:
    """What one of the times' units is in seconds: since 1970 they are seconds, or a thousandth of the unit before."""
    return next((unit for least, unit in ((1e17, 1e-9), (1e14, 1e-6), (1e11, 1e-3)) if typical > least), 1.0)


def _in_future(name: str, times: Floats) -> list[Finding]:
    """That some of the ``times``, in seconds since 1970, are yet to come; all of them are of a calendar of its own."""
    late = times > time.time() + _DAY
    if not 0 < late.mean() < _MIDDLE:
        return []
    last, count = written_time(float(times.max())), int(late.sum())
    return [
        Finding(
            "warning",
            name,
            "interactions",
            count,
            message=f"{count:,} times in '{name}' lie in the future, up to {last}; the test asks for the latest ones.",
            message_zh=f"“{name}”列中有 {count:,} 个时间在将来，最晚为 {last}；测试部分取的正是最晚的交互。",
            remedy="Correct them, or leave them empty: then they count as the oldest",
            remedy_zh="请修正，或留空：留空的按最早的处理",
        )
    ]


def written_time(seconds: float) -> str:
    """A moment since 1970 as a date; as it is where it is hardly one."""
    if not _DAY < seconds < _LAST_DATE:
        return f"{seconds:g}"
    return str(np.datetime64(int(seconds), "s")).removesuffix("T00:00:00").replace("T", " ")
