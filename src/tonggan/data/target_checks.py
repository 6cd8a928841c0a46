"""What can be wrong with a target: rows without one, only one class, imbalance, labels that training never sees."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tonggan.cells import cell_text, places_of
from tonggan.data.box_checks import check_boxes
from tonggan.data.findings import Finding, Quarantined
from tonggan.data.region_scan import RegionColumn, check_declared, check_regions
from tonggan.data.table import Table
from tonggan.data.wild_cells import find_wild_cells
from tonggan.modalities import CategoryConfig, ColumnConfig, MultilabelConfig, NumberConfig
from tonggan.modalities.regions import RegionsConfig
from tonggan.wording import listed, part_zh, shortened

IMBALANCED_SHARE = 0.8  # of the largest class; above, a model that always says it looks good
_MIN_ROWS = 10  # of a class; below, it can hardly be learned or measured
_NUM_SHOWN = 5
_LABEL_TASKS = ("binary", "multiclass", "multilabel")


def check_target(
    tables: Mapping[str, Table],
    name: str,
    *,
    task: str,
    configs: Mapping[str, ColumnConfig],
    extents: Mapping[str, NDArray[np.int64]] | None = None,
    masks: Mapping[str, RegionColumn] | None = None,
) -> tuple[list[Finding], list[Quarantined]]:
    """Findings on the target ``name``, and its rows that have no usable value.

    Args:
        tables: the parts of the data, the training part first; the others may lack the target.
        name: the target column.
        task: ``binary``, ``multiclass``, ``multilabel``, ``regression``, or one that writes text.
        configs: the column's kind in each part, which says how its values are read.
        extents: by part ``[N, 2]``, height and width of the pictures that a target of boxes lies in.
        masks: by part, what was found of a target of masks.
    """
    extents, masks = extents or {}, masks or {}
    first, *others = [split for split, table in tables.items() if name in table.names]
    config = configs[first]
    if task == "regression":
        findings, quarantine = _check_numbers(tables[first], name, split=first, config=config, is_train=True)
    elif task == "detect":
        counts, findings, quarantine = check_boxes(tables[first], name, split=first, extents=extents.get(first))
    elif task == "segment":
        findings, quarantine = check_regions(tables[first], name, masks[first], split=first, known=None)
        assert isinstance(config, RegionsConfig), "a target of masks is a column of masks"
        findings += check_declared(tables[first], name, masks[first], split=first, classes=config.classes)
        counts = Counter(str(value) for values in masks[first].values.values() for value in values)
    elif task not in _LABEL_TASKS:
        findings, quarantine = _check_texts(tables[first], name, split=first)
    else:
        counts, quarantine = _read_labels(tables[first], name, split=first, config=config, known=None)
        findings = _unusable(name, first, quarantine, num_rows=len(tables[first]))
        if len(quarantine) < len(tables[first]):
            findings += (
                _one_value(name, first, list(counts)) if len(counts) < 2 else _imbalance(name, first, counts, config)
            )
    for split in others:
        labels = list(counts) if task in (*_LABEL_TASKS, "detect", "segment") else ()
        found, bad = check_measured_target(
            tables[split],
            name,
            split=split,
            task=task,
            config=configs[split],
            labels=labels,
            extents=extents.get(split),
            masks=masks.get(split),
        )
        findings += found
        quarantine += bad
    return findings, quarantine


def check_measured_target(
    table: Table,
    name: str,
    *,
    split: str,
    task: str,
    config: ColumnConfig,
    labels: Sequence[str],
    extents: NDArray[np.int64] | None = None,
    masks: RegionColumn | None = None,
) -> tuple[list[Finding], list[Quarantined]]:
    """The same of rows that a model is measured on, where training has ``labels``."""
    if task == "regression":
        return _check_numbers(table, name, split=split, config=config, is_train=False)
    if task == "detect":
        return check_boxes(table, name, split=split, known=labels, extents=extents)[1:]
    if task == "segment":
        assert masks is not None, "a target of masks is scanned"
        return check_regions(table, name, masks, split=split, known=frozenset(map(int, labels)))
    if task not in _LABEL_TASKS:
        return _check_texts(table, name, split=split)
    _, bad = _read_labels(table, name, split=split, config=config, known=labels)
    return _unusable(name, split, bad, num_rows=len(table)), bad


def _check_texts(table: Table, name: str, *, split: str) -> tuple[list[Finding], list[Quarantined]]:
    """Texts to be written may be new in every row; only those that are not there cannot be used."""
    numbers = table.row_numbers
    empty = [(row, value) for row, value in _cells(table, name) if cell_text(value) is None]
    bad = [_quarantined(split, row, numbers, name, value, "no value") for row, value in empty]
    return _unusable(name, split, bad, num_rows=len(table)), bad


def _check_numbers(
    table: Table, name: str, *, split: str, config: ColumnConfig, is_train: bool
) -> tuple[list[Finding], list[Quarantined]]:
    written = config if isinstance(config, NumberConfig) else NumberConfig()
    bad: list[Quarantined] = []
    numbers = table.row_numbers
    low, high = math.inf, -math.inf
    for row, value in _cells(table, name):
        number = written.read(value)
        if math.isnan(number):
            reason = "no finite number" if written.is_unreadable(value) else "no value"
            bad.append(_quarantined(split, row, numbers, name, value, reason))
        else:
            low, high = min(low, number), max(high, number)
    findings = _unusable(name, split, bad, num_rows=len(table))
    if is_train and low == high:
        findings += _one_value(name, split, [f"{low:g}"])
    return findings + find_wild_cells(table, name, config=written, split=split, is_target=True), bad


def _read_labels(
    table: Table, name: str, *, split: str, config: ColumnConfig, known: Sequence[str] | None
) -> tuple[Counter[str], list[Quarantined]]:
    """How often each label occurs, and the cells that are empty or have a label that is not in ``known``."""
    counts: Counter[str] = Counter()
    bad: list[Quarantined] = []
    numbers = table.row_numbers
    places = None if known is None else places_of(known)
    for row, value in _cells(table, name):
        if isinstance(config, MultilabelConfig):
            parts = config.split(value)
        else:
            parts = [config.read(value) if isinstance(config, CategoryConfig) else value]
        labels = [text for text in map(cell_text, parts or ()) if text is not None]
        if parts is None or (not labels and not isinstance(config, MultilabelConfig)):
            bad.append(_quarantined(split, row, numbers, name, value, "no value"))
        elif places is not None and any(label not in places for label in labels):
            reason = "a label that the training part does not have"
            bad.append(_quarantined(split, row, numbers, name, value, reason))
        else:
            counts.update(labels)
    return counts, bad


def _cells(table: Table, name: str) -> Iterator[tuple[int, Any]]:
    row = 0
    for values in table.iterate(name):
        yield from enumerate(values, row)
        row += len(values)


def _quarantined(split: str, row: int, numbers: NDArray[np.int64], name: str, value: Any, reason: str) -> Quarantined:
    return Quarantined(split, row, int(numbers[row]), name, "" if value is None else str(value), reason)


_REASONS_ZH = {
    "no value": "没有值",
    "no finite number": "不是有限的数",
    "a label that the training part does not have": "含有训练部分中没有的标签",
}


def _unusable(name: str, split: str, bad: list[Quarantined], *, num_rows: int) -> list[Finding]:
    """A finding for each reason in ``bad``; an error where no row is left to learn from or to be measured."""
    findings = []
    for reason, count in Counter(entry.reason for entry in bad).most_common():
        example = next(entry for entry in bad if entry.reason == reason)
        value = shortened(example.value)
        shown = f", e.g. '{value}' in row {example.number}" if value else ""
        shown_zh = f"，例如第 {example.number} 行的“{value}”" if value else ""
        findings.append(
            Finding(
                "error" if len(bad) == num_rows else "warning",
                column=name,
                split=split,
                count=count,
                message=f"{count:,} of {num_rows:,} rows of {split} have {reason} in the target '{name}'{shown}.",
                message_zh=f"{part_zh(split)}的 {num_rows:,} 行中有 {count:,} 行的目标“{name}”"
                f"{_REASONS_ZH[reason]}{shown_zh}。",
                remedy="Correct these cells, or remove the rows",
                remedy_zh="请更正这些单元格，或删除这些行",
            )
        )
    return findings


def _one_value(name: str, split: str, values: list[str]) -> list[Finding]:
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


def _imbalance(name: str, split: str, counts: Counter[str], config: ColumnConfig) -> list[Finding]:
    findings = []
    largest, most = counts.most_common(1)[0]
    share = most / counts.total()
    if share > IMBALANCED_SHARE and not isinstance(config, MultilabelConfig):
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
    rare = sorted(label for label, count in counts.items() if count < _MIN_ROWS)
    if rare:
        names, names_zh = listed(rare, limit=_NUM_SHOWN)
        findings.append(
            Finding(
                "warning" if 2 * len(rare) > len(counts) else "note",
                column=name,
                split=split,
                count=sum(counts[label] for label in rare),
                message=f"{len(rare):,} of {len(counts):,} labels of '{name}' have fewer than {_MIN_ROWS} rows in "
                f"{split}: {names}.",
                message_zh=f"“{name}”的 {len(counts):,} 个标签中有 {len(rare):,} 个在{part_zh(split)}中"
                f"不足 {_MIN_ROWS} 行：{names_zh}。",
                remedy="Add rows of these labels, or join them into one",
                remedy_zh="请增加这些标签的行，或将它们合并",
            )
        )
    return findings
