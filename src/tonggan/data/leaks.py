"""Columns that give the target away: the target itself, another name for it, or what determines it value by value.

A column is judged by what its values alone predict on rows that were held out, so a strong feature (one that is right
nine times in ten) is no leak, and neither is a text that merely never repeats. Combinations of columns are not tried.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tonggan.cells import cell_text
from tonggan.data.findings import Finding
from tonggan.data.table import Table
from tonggan.modalities import ColumnConfig, NumberConfig

_SAMPLE_SIZE = 20_000
_MAX_CHARACTERS = 200  # longer texts are content, not names
_MIN_ROWS = 40
_MIN_ROWS_PER_VALUE = 10  # below, a value is too rare for its own rule to be one
_MIN_OTHER_ROWS = 10  # held-out rows outside the largest class; fewer prove nothing
_MIN_ACCURACY = 0.99
_MIN_CORRELATION = 0.9999


def find_leaks(
    table: Table,
    *,
    columns: Mapping[str, ColumnConfig],
    inputs: Sequence[str],
    target: Sequence[str],
    regression: bool,
) -> list[Finding]:
    """A finding for each input and target where the one gives the other away; 20,000 rows are looked at.

    Args:
        table: the training part.
        columns: the kind of each column.
        inputs: the columns that a model reads.
        target: the columns to predict.
        regression: whether the targets are numbers.
    """
    random = np.random.default_rng(0)
    rows = np.sort(random.permutation(len(table))[:_SAMPLE_SIZE])
    held_out = random.random(len(rows)) < 0.5
    targets = {name: _values(table, name, rows, columns[name]) for name in target}
    findings = []
    for column in inputs:
        kind = columns[column].kind
        if kind in ("number", "category") or (kind == "text" and _is_short(table, column, rows)):
            values = _values(table, column, rows, columns[column])
            for name, wanted in targets.items():
                reason = _reason(values, wanted, held_out, are_numbers=regression and kind == "number")
                findings += [_finding(column, name, *reason, num_rows=len(table))] if reason else []
        elif not regression:
            for name, wanted in targets.items():
                findings += _folder_finding(column, name, table, rows, wanted)
    return findings


def _values(table: Table, name: str, rows: NDArray[np.int64], config: ColumnConfig) -> list[Any]:
    """The cells of a column, numbers read as they are written there."""
    values = table.values(name, rows)
    return [config.read(value) for value in values] if isinstance(config, NumberConfig) else values


def _is_short(table: Table, column: str, rows: NDArray[np.int64]) -> bool:
    """Whether the texts may be names; told from a few, as 20,000 long ones would fill the memory."""
    texts = [cell_text(value) or "" for value in table.values(column, rows[:: max(1, len(rows) // 64)])]
    return sum(map(len, texts)) <= _MAX_CHARACTERS * len(texts)


def _reason(
    values: Sequence[Any], wanted: Sequence[Any], held_out: NDArray[np.bool_], *, are_numbers: bool
) -> tuple[str, str] | None:
    """Why ``values`` give ``wanted`` away, in two languages; None where they do not."""
    cells = [cell_text(value) for value in values]
    targets = [cell_text(value) for value in wanted]
    both = [index for index in range(len(cells)) if cells[index] is not None and targets[index] is not None]
    if len(both) < _MIN_ROWS or len({targets[index] for index in both}) < 2:
        return None
    if sum(cells[index] == targets[index] for index in both) >= 0.999 * len(both):
        return "is the same as", "完全等于"
    if are_numbers:
        return _linear(values, wanted)
    learned = [(cells[index], targets[index]) for index in both if not held_out[index]]
    asked = [(cells[index], targets[index]) for index in both if held_out[index]]
    if not _predicts(learned, asked):
        return None
    pairs = set(learned)
    if len(pairs) == len({cell for cell, _ in pairs}) == len({name for _, name in pairs}):
        return "is another name for", "只是换了名称的"
    return "alone predicts", "单独即可预测"


def _predicts(learned: Sequence[tuple[Any, Any]], asked: Sequence[tuple[Any, Any]]) -> bool:
    """Whether the commonest target of each value in ``learned`` is nearly always right for ``asked``."""
    targets_of: defaultdict[Any, Counter[Any]] = defaultdict(Counter)
    for cell, name in learned:
        targets_of[cell][name] += 1
    if len(targets_of) * _MIN_ROWS_PER_VALUE > len(learned) + len(asked):
        return False
    rules = {cell: counts.most_common(1)[0][0] for cell, counts in targets_of.items()}
    right = sum(rules[cell] == name for cell, name in asked if cell in rules)
    most = max(Counter(name for _, name in asked).values(), default=0)
    # Values never seen count as wrong. Being always right where one class is nearly all proves nothing.
    return len(asked) - most >= _MIN_OTHER_ROWS and right >= max(
        _MIN_ACCURACY * len(asked), len(asked) - 0.1 * (len(asked) - most)
    )


def _linear(values: Sequence[Any], wanted: Sequence[Any]) -> tuple[str, str] | None:
    """A number that is the target in another unit."""
    pairs = np.array([values, wanted], dtype=np.float64).T
    pairs = pairs[~np.isnan(pairs).any(axis=1)]
    if len(pairs) < _MIN_ROWS or (pairs == pairs[0]).all(axis=0).any():
        return None
    if abs(float(np.asarray(np.corrcoef(pairs.T))[0, 1])) < _MIN_CORRELATION:
        return None
    return "is a linear function of", "线性等价于"


def _finding(column: str, target: str, reason: str, reason_zh: str, *, num_rows: int) -> Finding:
    return Finding(
        "warning",
        column=column,
        split="train",
        count=num_rows,
        message=f"Column '{column}' {reason} the target '{target}'; a model would learn little else.",
        message_zh=f"列“{column}”{reason_zh}目标“{target}”；模型几乎不会再学别的。",
        remedy=f"If '{column}' is not known when predicting, declare it as 'ignore'",
        remedy_zh=f"如果预测时并不知道“{column}”，请把它声明为 ignore",
    )


def _folder_finding(
    column: str, target: str, table: Table, rows: NDArray[np.int64], wanted: Sequence[Any]
) -> list[Finding]:
    """Paths whose folder is named after the target: no leak, as no model reads paths, but good to know."""
    stored = table.column_type(column)
    if not (pa.types.is_string(stored) or pa.types.is_large_string(stored)):
        return []
    pairs = [
        (PurePosixPath(path).parent.name.casefold(), name.casefold())
        for path, name in zip(map(cell_text, table.values(column, rows)), map(cell_text, wanted), strict=True)
        if path is not None and name is not None
    ]
    if len(pairs) < _MIN_ROWS or sum(folder == name for folder, name in pairs) < _MIN_ACCURACY * len(pairs):
        return []
    return [
        Finding(
            "note",
            column=column,
            split="train",
            count=len(pairs),
            message=f"The folders in '{column}' are named after the target '{target}'. The model reads the files, not "
            "their paths, so this gives nothing away.",
            message_zh=f"“{column}”中的文件夹以目标“{target}”命名。模型只读取文件内容，不读取路径，因此不构成泄漏。",
            remedy="Do not add the path as a text column",
            remedy_zh="不要把路径作为文本列加入",
        )
    ]
