"""Numbers that lie many times as far out as all others of their column: mistyped cells, and sentinels such as -9999."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tonggan.data.findings import Finding
from tonggan.data.table import Table
from tonggan.modalities import NumericConfig
from tonggan.modalities.scales import WILD_SHARE, WILD_TARGET_SHARE, Sample, spread_of, wild_distance
from tonggan.wording import part_zh

_NUM_SHOWN = 5


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
    share = WILD_TARGET_SHARE if is_target else WILD_SHARE
    limit = wild_distance(distances, spread, total=total, share=share)
    wild = [(row, number) for row, number in far if abs(number - spread.center) > limit]
    others = [*ends, *(number for _, number in far if abs(number - spread.center) <= limit)]
    if not wild:
        return []
    span = min(others), max(others)
    return [_finding(table, name, config, wild, span, split=split, total=total, is_target=is_target)]


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
    is_target: bool,
) -> Finding:
    low, high = map(config.written, others)
    things = config.things
    others_zh = "数值" if things.chinese == "数" else things.chinese
    rows = table.row_numbers
    more, more_zh = ("; …", "……") if len(wild) > _NUM_SHOWN else ("", "")
    shown = "; ".join(f"{config.written(number)} in row {rows[row]}" for row, number in wild[:_NUM_SHOWN])
    shown_zh = "、".join(f"第 {rows[row]} 行的 {config.written(number)}" for row, number in wild[:_NUM_SHOWN])
    if is_target:
        effect, effect_zh = "they count for little in training", "它们在训练中几乎不起作用"
        remedy, remedy_zh = "Correct these cells, or remove their rows", "请更正这些单元格，或删除这些行"
    else:
        effect, effect_zh = "they do not set the column's scale", "它们不影响该列的尺度"
        remedy = "Correct these cells; empty them if such a number stands for an unknown one"
        remedy_zh = "请更正这些单元格；如果这样的数表示“未知”，请将其留空"
    return Finding(
        "warning",
        column=name,
        split=split,
        count=len(wild),
        message=f"'{name}' in {split} holds {things.english} far from all others, which are from {low} to {high}: "
        f"{shown}{more} ({len(wild):,} of {total:,}); {effect}.",
        message_zh=f"{part_zh(split)}中“{name}”有远离其余{others_zh}（{low} 至 {high}）的{things.chinese}："
        f"{shown_zh}{more_zh}（{total:,} 个中的 {len(wild):,} 个）；{effect_zh}。",
        remedy=remedy,
        remedy_zh=remedy_zh,
    )
