"""Rows of one part of the data that come again in another: by decoded content for pictures and sounds, by all inputs.

A test row that training has seen makes the test score too good. Near duplicates (a picture saved twice with different
compression) are not found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from tonggan.cells import cell_text
from tonggan.data.findings import Finding
from tonggan.data.scan import MediaColumn
from tonggan.data.table import Table
from tonggan.wording import part_zh

# From this share of a part's rows on, a repetition moves its score visibly.
_WARNING_SHARE = 0.01


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
