"""What gives the target away: columns, and rows of one part of the data that come again in another.

A column leaks when it is the target itself, another name for it, or determines it value by value. Repeated rows are
found by decoded content for pictures and sounds, and by all inputs: a test row that training has seen makes the test
score too good. Near duplicates (a picture saved twice with different compression) are not found.

A column is judged by what its values alone predict on rows that were held out, so a strong feature (one that is right
nine times in ten) is no leak, and neither is a text that merely never repeats. Combinations of columns are not tried.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tonggan.cells import cell_text
from tonggan.data.findings import Finding
from tonggan.data.scan import MediaColumn
from tonggan.data.table import Table
from tonggan.modalities import ColumnConfig
from tonggan.wording import part_zh

_SAMPLE_SIZE = 20_000
_MAX_CHARACTERS = 200  # longer texts are content, not names
_MIN_ROWS = 40
_MIN_ROWS_PER_VALUE = 10  # below, a value is too rare for its own rule to be one
_MIN_OTHER_ROWS = 10  # held-out rows outside the largest class; fewer prove nothing
_MIN_ACCURACY = 0.99
_MIN_CORRELATION = 0.9999
# From this share of a part's rows on, a repetition moves its score visibly.
_WARNING_SHARE = 0.01


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
        form = columns[column].form
        if form in ("number", "name") or (form in ("text", "other") and _is_short(table, column, rows)):
            values = _values(table, column, rows, columns[column])
            for name, wanted in targets.items():
                reason = _reason(values, wanted, held_out, are_numbers=regression and form == "number")
                findings += [_finding(column, name, *reason, num_rows=len(table))] if reason else []
        elif not regression:
            for name, wanted in targets.items():
                findings += _folder_finding(column, name, table, rows, wanted)
    return findings


def _values(table: Table, name: str, rows: NDArray[np.int64], config: ColumnConfig) -> list[Any]:
    """The cells of a column, numbers read as they are written there."""
    values = table.values(name, rows)
    return [config.read(value) for value in values] if config.form == "number" else values


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


def find_duplicates(
    tables: Mapping[str, Table],
    *,
    inputs: Sequence[str],
    media: Mapping[str, Mapping[str, MediaColumn]],
    cells_only: bool,
) -> list[Finding]:
    """A finding for each pair of parts that share content.

    Args:
        tables: the parts of the data, in the order in which they are used.
        inputs: the columns that a model reads.
        media: scanned columns by part and name; all parts must have been scanned into the same cache.
        cells_only: whether all inputs are numbers and categories, where equal rows are usual.
    """
    findings = []
    keys = {split: input_keys(table, inputs, media[split]) for split, table in tables.items()}
    for one, other in combinations(tables, 2):
        for name in inputs:
            if name in media[one] and name in media[other]:
                count = _num_shared(_content(media[one][name]), _content(media[other][name]))
                findings += _media_finding(name, one, other, count, media[other][name])
        if len(inputs) > 1 or inputs[0] not in media[one]:
            findings += _row_finding(
                one, other, _num_shared(keys[one], keys[other]), keys[other], cells_only=cells_only
            )
    return findings


def input_keys(table: Table, inputs: Sequence[str], media: Mapping[str, MediaColumn]) -> NDArray[np.uint64]:
    """uint64 ``[N]``: equal for rows whose inputs are all equal; 0 for a row without any input."""
    keys = np.zeros(len(table), dtype=np.uint64)
    anything = np.zeros(len(table), dtype=bool)
    for name in inputs:
        column = _content(media[name]) if name in media else _cell_keys(table, name)
        anything |= column != 0
        keys = _mixed(keys ^ column)
    return np.where(anything, keys, np.uint64(0))


def _content(column: MediaColumn) -> NDArray[np.uint64]:
    """A number for each content, 0 where there is none."""
    return (column.slots + 1).astype(np.uint64)


def _cell_keys(table: Table, name: str) -> NDArray[np.uint64]:
    keys = np.zeros(len(table), dtype=np.uint64)
    row = 0
    for values in table.iterate(name):
        for value in values:
            text = cell_text(value)
            if text is not None:
                digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
                keys[row] = int.from_bytes(digest, "little") or 1
            row += 1
    return keys


def _mixed(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A bijection that scatters its argument (the finalizer of SplitMix64, Steele et al. 2014)."""
    keys = keys + np.uint64(0x9E3779B97F4A7C15)
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))


def _num_shared(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> int:
    """How many rows of ``other`` have a key that is not 0 and occurs in ``one``."""
    return int(np.isin(other[other != 0], one).sum())


def _media_finding(name: str, one: str, other: str, count: int, column: MediaColumn) -> list[Finding]:
    if not count:
        return []
    share = count / int((column.slots >= 0).sum())
    return [
        Finding(
            "warning" if share >= _WARNING_SHARE else "note",
            column=name,
            split=other,
            count=count,
            message=f"{count:,} rows of {other} ({share:.1%}) have a file in '{name}' with the same content as one in "
            f"{one}; a score on {other} may be too good.",
            message_zh=f"{part_zh(other)}中有 {count:,} 行（{share:.1%}）的“{name}”与{part_zh(one)}中的文件内容相同；"
            f"{part_zh(other)}上的得分可能偏高。",
            remedy=f"Cut the data so that rows with the same '{name}' stay together, or remove them from {other}",
            remedy_zh=f"划分数据时让“{name}”相同的行留在同一部分，或从{part_zh(other)}中删除这些行",
        )
    ]


def _row_finding(one: str, other: str, count: int, keys: NDArray[np.uint64], *, cells_only: bool) -> list[Finding]:
    if not count:
        return []
    share = count / len(keys)
    return [
        Finding(
            "warning" if share >= _WARNING_SHARE and not cells_only else "note",
            column=None,
            split=other,
            count=count,
            message=f"{count:,} rows of {other} ({share:.1%}) equal a row of {one} in every input; a score on {other} "
            "may be too good.",
            message_zh=f"{part_zh(other)}中有 {count:,} 行（{share:.1%}）的所有输入与{part_zh(one)}中某行完全相同；"
            f"{part_zh(other)}上的得分可能偏高。",
            remedy=f"Remove the repeated rows from {other}",
            remedy_zh=f"从{part_zh(other)}中删除重复的行",
        )
    ]
