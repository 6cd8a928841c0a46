"""What can be wrong with a target: rows without one, only one class, imbalance, labels that training never sees."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from tonggan.cells import LARGEST, cell_text, places_of
from tonggan.data.cell_findings import why_unreadable
from tonggan.data.findings import Finding, Quarantined
from tonggan.data.region_scan import RegionColumn
from tonggan.data.table import Table
from tonggan.data.wild_cells import find_wild_cells
from tonggan.modalities import ColumnConfig, NumberConfig, NumericConfig
from tonggan.wording import Words, listed, part_zh, shortened

IMBALANCED_SHARE = 0.8  # of the largest class; above, a model that always says it looks good
_MIN_COUNT = 10  # rows or objects of a class; below, it can hardly be learned or measured
_NUM_SHOWN = 5
NO_VALUE = "no value"
"""Why a cell without anything cannot be used."""
_NO_NUMBER = "no finite number"
_TOO_LARGE = f"a number beyond {LARGEST:g}"
_NEW_LABEL = "a label that the training part does not have"
_MORE_OF_THEM = Words(
    "Correct these labels, or add rows of them, so that every part has some",
    "请更正这些标签，或为其增加行，使各部分都有",
)
# By reason: what such rows have, in both languages.
_REASONS = {
    NO_VALUE: (NO_VALUE, "没有值"),
    _NO_NUMBER: (_NO_NUMBER, "不是有限的数"),
    _TOO_LARGE: (_TOO_LARGE, f"是大于 {LARGEST:g} 的数"),
    _NEW_LABEL: (_NEW_LABEL, "含有训练部分中没有的标签"),
}


@dataclass(frozen=True)
class TargetColumn:
    """A target in one part of the data, to be looked at.

    Attributes:
        table: the part.
        name: the column.
        split: name of the part.
        config: how its values are read.
        known: the labels of the training part; None where this is the training part.
        extents: ``[N, 2]``, height and width of the pictures that the target lies in, if it does.
        masks: what was found of a target of masks.
    """

    table: Table
    name: str
    split: str
    config: ColumnConfig
    known: Sequence[str] | None = None
    extents: NDArray[np.int64] | None = None
    masks: RegionColumn | None = None

    def cells(self) -> Iterator[tuple[int, Any]]:
        """Rows and what they have."""
        row = 0
        for values in self.table.iterate(self.name):
            yield from enumerate(values, row)
            row += len(values)

    def bad(self, row: int, value: Any, reason: str) -> Quarantined:
        """The entry of a cell that cannot be used."""
        shown = "" if value is None else str(value)
        return Quarantined(self.split, row, int(self.table.row_numbers[row]), self.name, shown, reason)


Checked = tuple[Counter[str], list[Finding], list[Quarantined]]
"""How often each label occurs, where there are any, findings, and the cells without a usable value."""


class TargetTask(Protocol):
    """What the doctor asks of a task."""

    predicts_numbers: ClassVar[bool]

    def check(self, column: TargetColumn) -> Checked:
        """What can be wrong with a column of its target."""


def check_values(column: TargetColumn) -> Checked:
    """Values may be new in every row, as texts are; only those that are not there or not readable cannot be used."""
    bad = []
    for row, value in column.cells():
        if cell_text(value) is None:
            bad.append(column.bad(row, value, NO_VALUE))
        elif column.config.is_unreadable(value):
            bad.append(column.bad(row, value, why_unreadable(column.config)))
    return Counter(), _unusable(column, bad), bad


def check_numbers(column: TargetColumn) -> Checked:
    """What is no number cannot be used."""
    # Numbers are asked for; the column may be taken for classes.
    written = column.config if isinstance(column.config, NumericConfig) else NumberConfig()
    column = replace(column, config=written)
    bad: list[Quarantined] = []
    low, high = math.inf, -math.inf
    for row, value in column.cells():
        number = written.read(value)
        if math.isnan(number):
            bad.append(column.bad(row, value, _why_no_number(value) if written.is_unreadable(value) else NO_VALUE))
        else:
            low, high = min(low, number), max(high, number)
    findings = _unusable(column, bad)
    if column.known is None and low == high:
        findings += _one_value(column, [f"{low:g}"])
    wild = find_wild_cells(column.table, column.name, config=written, split=column.split, is_target=True)
    return Counter(), findings + wild, bad


def _why_no_number(value: object) -> str:
    try:
        return _TOO_LARGE if math.isfinite(float(str(value))) else _NO_NUMBER
    except ValueError:
        return _NO_NUMBER


def check_labels(column: TargetColumn) -> Checked:
    """Cells that are empty, or have a label that training does not have, cannot be used."""
    counts, bad = _read_labels(column)
    findings = _unusable(column, bad)
    if column.known is None and len(bad) < len(column.table):
        findings += _one_value(column, list(counts)) if len(counts) < 2 else _imbalance(column, counts)
        findings += _alike(column, counts)
    return counts, findings, bad


def _read_labels(column: TargetColumn) -> tuple[Counter[str], list[Quarantined]]:
    counts: Counter[str] = Counter()
    bad: list[Quarantined] = []
    places = None if column.known is None else places_of(column.known)
    for row, value in column.cells():
        labels = column.config.labels(value)
        names = [str(cell_text(label)) for label in labels or ()]
        if labels is None:
            bad.append(column.bad(row, value, NO_VALUE))
        elif places is not None and any(name not in places for name in names):
            bad.append(column.bad(row, value, _NEW_LABEL))
        else:
            counts.update(names)
    return counts, bad


def _unusable(column: TargetColumn, bad: list[Quarantined]) -> list[Finding]:
    """A finding for each reason in ``bad``; an error where no row is left to learn from or to be measured."""
    findings = []
    name, split, num_rows = column.name, column.split, len(column.table)
    for reason, count in Counter(entry.reason for entry in bad).most_common():
        example = next(entry for entry in bad if entry.reason == reason)
        value = shortened(example.value)
        shown = f", e.g. '{value}' in row {example.number}" if value else ""
        shown_zh = f"，例如第 {example.number} 行的“{value}”" if value else ""
        has, has_zh = _REASONS.get(reason, (f"a value {reason}", str(getattr(example.reason, "chinese", reason))))
        findings.append(
            Finding(
                "error" if len(bad) == num_rows else "warning",
                column=name,
                split=split,
                count=count,
                message=f"{count:,} of {num_rows:,} rows of {split} have {has} in the target '{name}'{shown}.",
                message_zh=f"{part_zh(split)}的 {num_rows:,} 行中有 {count:,} 行的目标“{name}”{has_zh}{shown_zh}。",
                remedy=_MORE_OF_THEM.english if reason == _NEW_LABEL else "Correct these cells, or remove the rows",
                remedy_zh=_MORE_OF_THEM.chinese if reason == _NEW_LABEL else "请更正这些单元格，或删除这些行",
            )
        )
    return findings


def _one_value(column: TargetColumn, values: list[str]) -> list[Finding]:
    name, split = column.name, column.split
    shown = f"'{values[0]}'" if values else "no label"
    return [
        Finding(
            "error",
            column=name,
            split=split,
            count=0,
            message=f"The target '{name}' is {shown} in every row of {split}; there is nothing to learn.",
            message_zh=f"{part_zh(split)}每一行的目标“{name}”都是{shown if values else '空标签'}；没有可区分的内容。",
            remedy="Choose another target, or add rows with other values",
            remedy_zh="请选择别的目标，或加入取其他值的行",
        )
    ]


def _alike(column: TargetColumn, counts: Counter[str]) -> list[Finding]:
    """The finding on labels that are probably one, in small and in capital letters."""
    spelled: dict[str, list[str]] = {}
    for label in sorted(counts):
        spelled.setdefault(label.casefold(), []).append(label)
    several = [label for labels in spelled.values() if len(labels) > 1 for label in labels]
    if not several:
        return []
    names, names_zh = listed(several, limit=2 * _NUM_SHOWN)
    return [
        Finding(
            "warning",
            column=column.name,
            split=column.split,
            count=sum(counts[label] for label in several),
            message=f"Labels of '{column.name}' differ only in case, and count as several: {names}.",
            message_zh=f"“{column.name}”的一些标签只在大小写上不同，却算作不同的标签：{names_zh}。",
            remedy="Write each label in one way, unless they mean different things",
            remedy_zh="请统一每个标签的写法，除非它们含义不同",
        )
    ]


def _imbalance(column: TargetColumn, counts: Counter[str]) -> list[Finding]:
    name, split = column.name, column.split
    findings = []
    largest, most = counts.most_common(1)[0]
    share = most / counts.total()
    if share > IMBALANCED_SHARE and column.config.form != "names":
        findings.append(
            Finding(
                "warning",
                column=name,
                split=split,
                count=most,
                message=f"{share:.1%} of {split} have the target '{largest}'; always saying so is right as often.",
                message_zh=f"{part_zh(split)}中 {share:.1%} 的目标是“{largest}”；始终这样回答也有同样的正确率。",
                remedy="Look at balanced accuracy and F1 of the rare class; --set task.class_weights=balanced lets "
                "every class count the same in training",
                remedy_zh="请看平衡准确率和少数类的 F1；--set task.class_weights=balanced 使各类别在训练中同等重要",
            )
        )
    remedy = Words("Add rows of these labels, or join them into one", "请增加这些标签的行，或将它们合并")
    return findings + find_rare(
        column, counts, things=Words("labels", "标签"), units=Words("rows", "行"), remedy=remedy
    )


def find_rare(
    column: TargetColumn, counts: Counter[str], *, things: Words, units: Words, remedy: Words
) -> list[Finding]:
    """The finding on labels that occur too rarely to be learned or measured, if there are any.

    Args:
        column: the target.
        counts: how often each label occurs.
        things: what the labels are called.
        units: what is counted.
        remedy: what can be done.
    """
    rare = sorted(label for label, count in counts.items() if count < _MIN_COUNT)
    if not rare:
        return []
    names, names_zh = listed(rare, limit=_NUM_SHOWN)
    return [
        Finding(
            "warning" if 2 * len(rare) > len(counts) else "note",
            column=column.name,
            split=column.split,
            count=sum(counts[label] for label in rare),
            message=f"{len(rare):,} of {len(counts):,} {things.english} of '{column.name}' have fewer than "
            f"{_MIN_COUNT} {units.english} in {column.split}: {names}.",
            message_zh=f"“{column.name}”的 {len(counts):,} 个{things.chinese}中有 {len(rare):,} 个"
            f"在{part_zh(column.split)}中不足 {_MIN_COUNT} {units.chinese}：{names_zh}。",
            remedy=remedy.english,
            remedy_zh=remedy.chinese,
        )
    ]
