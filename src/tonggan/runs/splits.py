"""The tables of a run by split: opened, filtered, drawn from, and cut where there is no validation table.

What their columns mean is not looked at here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tonggan.cells import cell_text
from tonggan.data.catalogue import find_set
from tonggan.data.readers import open_table
from tonggan.data.split import split_rows
from tonggan.data.table import Table
from tonggan.errors import DataError
from tonggan.progress import Progress
from tonggan.runs.recipe import DataConfig

SPLITS = ("train", "valid", "test")


def open_splits(
    data: DataConfig,
    *,
    target: Sequence[str],
    sources: Mapping[str, Any],
    seed: int,
    cache: Path,
    progress: Progress,
) -> dict[str, Table]:
    """The tables by split, with ``where``, ``max_rows`` and the cut between train and valid applied.

    Args:
        data: the recipe's data.
        target: the columns to predict; a class is cut in the same proportion on both sides.
        sources: tables handed over in memory, by split; they take the place of the paths in ``data``.
        seed: of the cut and of ``max_rows``.
        cache: folder of caches.
        progress: told of every table.

    Raises:
        DataError: there is no training table, or one cannot be opened, or nothing is left of it.
    """
    named: dict[str, Any] = {name: getattr(data, name) for name in SPLITS}
    if data.set:
        named = {**find_set(data.set).get(cache=cache, progress=progress)}
    named.update(sources)
    if named.get("train") is None:
        raise DataError(
            "recipe.data",
            got="no table to learn from",
            expected="'set' or 'train'",
            remedy="Name a table to learn from",
        )
    tables = {
        name: _selected(open_table(named[name], cache=cache, progress=progress), data, seed=seed)
        for name in SPLITS
        if named.get(name) is not None
    }
    for column in target:
        tables["train"].require(column)
    if "valid" not in tables:
        tables |= _cut(tables["train"], data, target=target, seed=seed)
    return {name: tables[name] for name in SPLITS if name in tables}


def _selected(table: Table, data: DataConfig, *, seed: int) -> Table:
    for column, values in data.where.items():
        wanted = {cell_text(value) for value in values}
        cells = (cell for part in table.iterate(column) for cell in part)
        rows = np.array([row for row, cell in enumerate(cells) if cell_text(cell) in wanted], dtype=np.int64)
        if len(rows) == 0:
            raise DataError(
                f"recipe.data.where.{column}",
                got=f"no row of {table.source} with one of {', '.join(map(str, values))}",
                expected="at least one",
                remedy="Correct the values",
            )
        table = table.select(rows)
    if data.max_rows is not None and len(table) > data.max_rows:
        chosen = np.random.default_rng(seed).permutation(len(table))[: data.max_rows]
        table = table.select(np.sort(chosen))
    return table


def _cut(table: Table, data: DataConfig, *, target: Sequence[str], seed: int) -> dict[str, Table]:
    labels = table.values(target[0]) if len(target) == 1 else None
    groups = table.values(data.group) if data.group else None
    fractions = (1 - data.valid_fraction, data.valid_fraction)
    train, valid = split_rows(labels, len(table), fractions=fractions, seed=seed, groups=groups)
    return {"train": table.select(train), "valid": table.select(valid)}
