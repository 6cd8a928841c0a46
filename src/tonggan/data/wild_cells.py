"""Numbers that lie many times as far out as all others of their column: mistyped cells, and sentinels such as -9999."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tonggan.data.findings import Finding
from tonggan.data.table import Table
from tonggan.modalities import NumericConfig
from tonggan.modalities.scales import WILD_SHARE, WILD_TARGET_SHARE, Sample, spread_of, wild_distance
from tonggan.wording import Words, part_zh

_NUM_SHOWN = 5


class _Effect(NamedTuple):
    """What wild cells do, and what to do about them."""

    effect: Words
    remedy: Words


_WILD_INPUT = _Effect(
    Words("they do not set the column's scale", "它们不影响该列的尺度"),
    Words(
        "Correct these cells; if such a number stands for an unknown one: "
        "--set 'columns.NAME={kind: KIND, missing: [NUMBER]}'",
        "请更正这些单元格；如果这样的数表示“未知”，请用 --set 'columns.NAME={kind: KIND, missing: [NUMBER]}'",
    ),
)
_WILD_TARGET = _Effect(
    Words("they count for little in training", "它们在训练中几乎不起作用"),
    Words("Correct these cells, or remove their rows", "请更正这些单元格，或删除这些行"),
)
_MARKER = _Effect(
    Words("the model learns them as any other", "模型会照常学习它们"),
    Words(
        "If this number stands for an unknown one: --set 'columns.NAME={kind: KIND, missing: [NUMBER]}'",
        "如果这个数表示“未知”，请用 --set 'columns.NAME={kind: KIND, missing: [NUMBER]}'",
    ),
)


def find_wild_cells(table: Table, name: str, *, config: NumericConfig, split: str, is_target: bool) -> list[Finding]:
    """A finding that names the wild cells of the number column ``name`` of one part, if it has any."""
    sample = Sample()
    low, high = math.inf, -math.inf
    for _, numbers in _chunks(table, name, config):
        sample.add(numbers)
        low, high = float(np.fmin.reduce(numbers, initial=low)), float(np.fmax.reduce(numbers, initial=high))
    spread = spread_of(sample.values)
    if not spread.is_far(np.array([low, high])).any():
        return []
    far: list[tuple[int, float]] = []
    ends, total = [], 0
    for first, numbers in _chunks(table, name, config):
        total += int((~np.isnan(numbers)).sum())
        is_far = spread.is_far(numbers)
        places = np.flatnonzero(is_far)
        far += zip((places + first).tolist(), numbers[places].tolist(), strict=True)
        near = numbers[~is_far & ~np.isnan(numbers)]
        ends += [near.min(), near.max()] if len(near) else []
    distances = spread.distances(np.array([*ends, *(number for _, number in far)]))
    limit = wild_distance(distances, spread, total=total, share=WILD_TARGET_SHARE if is_target else WILD_SHARE)
    is_marker = False
    if is_target and not (distances > limit).any():
        # So many are learned like any other. One number again and again is rather what stands for an unknown one.
        limit = wild_distance(distances, spread, total=total, share=WILD_SHARE)
        is_marker = len(set(distances[distances > limit])) == 1
        limit = limit if is_marker else math.inf
    wild = [(row, number) for row, number in far if abs(number - spread.center) > limit]
    others = [*ends, *(number for _, number in far if abs(number - spread.center) <= limit)]
    if not wild:
        return []
    span = min(others), max(others)
    effect = _MARKER if is_marker else _WILD_TARGET if is_target else _WILD_INPUT
    return [_finding(table, name, config, wild, span, split=split, total=total, effect=effect)]


def _chunks(table: Table, name: str, config: NumericConfig) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """The column's cells as numbers, NaN where they are none, with the first row of each chunk."""
    first = 0
    for values in table.iterate(name):
        yield first, np.array([config.read(value) for value in values])
        first += len(values)


def _finding(
    table: Table,
    name: str,
    config: NumericConfig,
    wild: list[tuple[int, float]],
    others: tuple[float, float],
    *,
    split: str,
    total: int,
    effect: _Effect,
) -> Finding:
    low, high = map(config.written, others)
    things = config.things
    others_zh = "数值" if things.chinese == "数" else things.chinese
    rows = table.row_numbers
    more, more_zh = ("; …", "……") if len(wild) > _NUM_SHOWN else ("", "")
    shown = "; ".join(f"{config.written(number)} in row {rows[row]}" for row, number in wild[:_NUM_SHOWN])
    shown_zh = "、".join(f"第 {rows[row]} 行的 {config.written(number)}" for row, number in wild[:_NUM_SHOWN])
    number = config.written(wild[0][1])
    remedy, remedy_zh = (
        text.replace("NAME", name).replace("KIND", config.kind).replace("NUMBER", number)
        for text in (effect.remedy.english, effect.remedy.chinese)
    )
    return Finding(
        "warning",
        column=name,
        split=split,
        count=len(wild),
        message=f"'{name}' in {split} holds {things.english} far from all others, which are from {low} to {high}: "
        f"{shown}{more} ({len(wild):,} of {total:,}); {effect.effect.english}.",
        message_zh=f"{part_zh(split)}中“{name}”有远离其余{others_zh}（{low} 至 {high}）的{things.chinese}："
        f"{shown_zh}{more_zh}（{total:,} 个中的 {len(wild):,} 个）；{effect.effect.chinese}。",
        remedy=remedy,
        remedy_zh=remedy_zh,
    )
