"""How the dates, times of day or durations of a column are written, found on a sample of its texts."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tonggan.cells import cell_number
from tonggan.data.findings import Doubt
from tonggan.modalities import DateConfig, DurationConfig, NumericConfig, TimeOfDayConfig
from tonggan.modalities.date import Epoch, Order
from tonggan.modalities.numeric import FloatArray, is_missing_marker
from tonggan.wording import Words

MOST = 0.95  # of the cells must be read before a column is one of dates; a few typing errors do not change what it is
_LIKELY = 0.5  # of the cells: below, a column has nothing to do with dates
_LONGEST = 64
_MIN_COMPACT = 10  # dates that are nothing but digits, all of them: fewer may be chance
_COMPACT = re.compile(r"\d{8}", re.ASCII)
_OFFSET = re.compile(r".*:\d{2}(?:[.,]\d+)? ?(?:Z|UTC|GMT|[+-]\d{2}:?\d{2})", re.ASCII | re.IGNORECASE)
_DASHED = re.compile(r"\d{1,2}-\d{1,2}-\d{4}.*", re.ASCII)
_SHORT_CLOCK = re.compile(r"\d+:\d{2}", re.ASCII)
# 1:02:03 and 0:45 are hardly times of a clock, which has 01:02:03 and 00:45.
_UNPADDED = re.compile(r"0:\d{2}(?::\d{2})?|\d:\d{2}:\d{2}(?:[.,]\d+)?", re.ASCII)
_LENGTH_NAME = re.compile(
    r"(?i:.*(duration|elapsed|runtime|run_time|playtime|length|laptime|lap_time|time_taken|_took|dauer|laufzeit).*)"
    r"|.*(时长|時長|用时|用時|耗时|耗時|历时|时间长度).*"
)
_NUMBER = re.compile(r"-?(?!\d{8}$)\d+(?:\.\d+)?", re.ASCII)  # no time of its own: 20240305 is one
_EPOCHS: tuple[tuple[float, Epoch, str], ...] = (
    (1e11, "s", "seconds"),
    (1e14, "ms", "milliseconds"),
    (1e17, "us", "microseconds"),
    (math.inf, "ns", "nanoseconds"),
)


@dataclass(frozen=True)
class TimeFormat:
    """How a column's dates, times of day or durations are written.

    Attributes:
        config: reads them.
        numbers: what it reads in the sample, without the cells that it cannot read.
        share: of the cells that say something, those that it reads.
        reason: in words what they are.
        doubt: why they may be meant in another way, or why the column is not read as such.
    """

    config: NumericConfig
    numbers: Sequence[float]
    share: float
    reason: str
    doubt: Doubt | None = None

    @property
    def is_sure(self) -> bool:
        """Whether the column is one of such cells."""
        return self.share >= MOST


def fit_times(values: Sequence[str], name: str) -> TimeFormat | None:
    """How most of ``values``, stripped texts that are not blank, of a column write a time; None where hardly any does.

    Args:
        values: the sample.
        name: of the column: that it is called a duration decides what 01:30 is.
    """
    told = [value for value in values if not is_missing_marker(value)]
    likely = [value for value in told if len(value) <= _LONGEST and any(map(str.isdigit, value))]
    if len(likely) < _LIKELY * len(told) or not told:
        return None
    if sum(map(bool, map(_NUMBER.fullmatch, told))) > (1 - _LIKELY) * len(told):
        return None
    formats = [_fit_dates(told), _fit_clock(told, name)]
    best = max(formats, key=lambda each: each.share)
    if best.share < _LIKELY:
        return None
    markers = dict.fromkeys(value for value in values if is_missing_marker(value))
    said = " and ".join(f"'{text}'" for text in list(markers)[:5])
    return replace(best, reason=f"{best.reason}, {said} count as missing") if markers else best


def fit_declared(config: NumericConfig, values: Sequence[object]) -> TimeFormat:
    """``config``, which a user has declared, with what it leaves open found on ``values`` that are not missing."""
    texts = [str(value) for value in values]
    is_number = [isinstance(value, int | float) or re.fullmatch(r"\d+(\.\d+)?", str(value)) for value in values]
    if isinstance(config, DateConfig) and config.epoch is None and 2 * sum(map(bool, is_number)) > len(values):
        numbers = [float(value) for value in texts if re.fullmatch(r"-?\d+(\.\d+)?(e[+-]?\d+)?", value)]
        if numbers and not all(map(_COMPACT.fullmatch, texts)):
            size = float(np.median(np.abs(numbers)))
            _, epoch, unit = next(each for each in _EPOCHS if size < each[0])
            return _described(config.model_copy(update={"epoch": epoch}), texts, f", {unit} since 1970")
    if isinstance(config, DateConfig) and config.order is None:
        found = _fit_dates(texts)
        assert isinstance(found.config, DateConfig)
        return _described(config.model_copy(update={"order": found.config.order}), texts, _order_in_words(found.config))
    return _described(config, texts)


def by_order(texts: Sequence[str], config: DateConfig) -> dict[Order | None, FloatArray]:
    """What ``config`` reads of ``texts`` ``[N]`` without an order, with the month first, and with the day first."""
    orders: tuple[Order | None, ...] = (None, "month", "day")
    configs = {order: config.model_copy(update={"order": order}) for order in orders}
    return {order: np.array([other.read(text) for text in texts]) for order, other in configs.items()}


def _described(config: NumericConfig, texts: Sequence[str], how: str = "") -> TimeFormat:
    numbers = [number for text in texts if not math.isnan(number := config.read(text))]
    share = len(numbers) / len(texts) if texts else 0.0
    span = f" from {config.written(min(numbers))} to {config.written(max(numbers))}" if numbers else ""
    return TimeFormat(config, numbers, share, f"{config.things.english}{span}{how}")


def _fit_dates(told: Sequence[str]) -> TimeFormat:
    """As dates, with the day or the month first as most cells have it."""
    read = {order: ~np.isnan(numbers) for order, numbers in by_order(told, DateConfig()).items()}
    counts = {order: int(found.sum()) for order, found in read.items()}
    is_open = counts["month"] == counts["day"] > counts[None]
    order: Order | None = "day" if counts["day"] > counts["month"] else "month"
    if counts[None] > max(counts["day"], counts["month"]) or (counts["day"] == counts["month"] and not is_open):
        order = None  # what is read does not depend on it, or each cell says it by itself
    open_cell = next((told[place] for place, found in enumerate(read[None]) if not found and read["day"][place]), None)
    if is_open and open_cell is not None and _DASHED.fullmatch(open_cell):
        order = "day"
    config = DateConfig(order=order)
    found = _described(config, told, _order_in_words(config))
    compact = sum(map(bool, map(_COMPACT.fullmatch, told)))
    if 2 * compact > len(told) and (found.share < 1 or len(set(told)) < _MIN_COMPACT):
        return replace(found, share=0.0)
    if any(_OFFSET.fullmatch(value) for value in told):
        zone = ", with hours in UTC (of another clock: --set columns.NAME.timezone=Asia/Shanghai)"
        found = _described(config, told, _order_in_words(config) + zone)
    doubt = None
    if found.share < MOST:
        doubt = _mixed_orders(told, read) or _partly(config, told, found.share)
    elif is_open and open_cell is not None and order is not None:
        doubt = _open_order(open_cell, order, found.share)
    return replace(found, doubt=doubt)


def _order_in_words(config: DateConfig) -> str:
    return "" if config.order is None else f", with the {config.order} first"


def _open_order(cell: str, order: Order, share: float) -> Doubt:
    other, zh, other_zh = ("day", "月", "日") if order == "month" else ("month", "日", "月")
    return Doubt(
        share,
        Words(
            f"dates such as '{cell}', and no cell says whether the day or the month stands first; the {order} is taken",
            f"的日期（如“{cell}”）无法判断日在前还是月在前，按{zh}在前处理",
        ),
        Words(
            f"If the {other} stands first: --set columns.NAME.order={other}",
            f"如果是{other_zh}在前，请用 --set columns.NAME.order={other}",
        ),
    )


def _mixed_orders(told: Sequence[str], read: Mapping[Order | None, NDArray[np.bool_]]) -> Doubt | None:
    """Where some cells can only have the day first, and others only the month."""
    only = [np.flatnonzero(read["day"] & ~read["month"]), np.flatnonzero(read["month"] & ~read["day"])]
    both = float((read["day"] | read["month"]).mean())
    if not all(map(len, only)) or both < MOST:
        return None
    one, other = (told[places[0]] for places in only)
    return Doubt(
        both,
        Words(
            f"dates in two orders, e.g. '{one}' and '{other}'",
            f"的日期有两种顺序，例如“{one}”和“{other}”",
        ),
        Words(
            "Write all dates in one way, best as 2024-03-05; --set columns.NAME.kind=date reads those of one order",
            "请统一日期的写法，最好写成 2024-03-05；--set columns.NAME.kind=date 只读取其中一种顺序",
        ),
    )


def _partly(config: NumericConfig, told: Sequence[str], share: float) -> Doubt:
    rest = [value for value in dict.fromkeys(told) if math.isnan(config.read(value))][:3]
    shown, shown_zh = ", ".join(f"'{text[:30]}'" for text in rest), "、".join(f"“{text[:30]}”" for text in rest)
    things = config.things
    return Doubt(
        share,
        Words(
            f"{things.english} in {share:.0%} of the cells and other texts in the rest, e.g. {shown}",
            f"约有 {share:.0%} 的单元格是{things.chinese}，其余是别的文本，例如{shown_zh}",
        ),
        Words(
            f"Write these cells as the others are, or leave them empty; --set columns.NAME.kind={config.kind} reads "
            f"the {things.english} and counts the rest as missing",
            f"请统一写法或留空；--set columns.NAME.kind={config.kind} 读取其中的{things.chinese}（其余按缺失处理）",
        ),
    )


def _fit_clock(told: Sequence[str], name: str) -> TimeFormat:
    """As times of day or durations."""
    time, duration = _described(TimeOfDayConfig(), told), _described(DurationConfig(), told)
    if sum(not math.isnan(cell_number(value)) for value in told) > (1 - MOST) * len(told):
        duration = replace(duration, share=0.0)  # numbers are no durations unless they are declared so
    is_length = bool(_LENGTH_NAME.fullmatch(name)) or any(map(_UNPADDED.fullmatch, told))
    chosen = duration if duration.share > time.share or (is_length and duration.share == time.share) else time
    how = ""
    if chosen is duration and any(map(_SHORT_CLOCK.fullmatch, told)):
        how = ", so that 1:30 is 90 seconds (if hours stand first: --set columns.NAME.begins=hours)"
    elif chosen is time and duration.share == time.share and max(time.numbers, default=0.0) < 12 * 3600:
        how = " (if they are durations: --set columns.NAME.kind=duration)"
    doubt = _partly(chosen.config, told, chosen.share) if chosen.share < MOST else None
    return replace(chosen, reason=chosen.reason + how, doubt=doubt)
