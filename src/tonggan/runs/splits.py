"""The tables of a run by split: opened, filtered, drawn from, and cut where there is no validation table.

What their columns mean is not looked at here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tonggan.cells import cell_text
from tonggan.data.catalogue import find_set
from tonggan.data.readers import open_table
from tonggan.data.split import deal_rows, moments_of, split_by_time, split_rows, without_groups
from tonggan.data.table import Table
from tonggan.errors import ConfigError, DataError
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
    folds: bool = False,
) -> dict[str, Table]:
    """The tables by split, with ``where``, ``max_rows`` and the cut between train and valid applied.

    Args:
        data: the recipe's data.
        target: the columns to predict; a class is cut in the same proportion on both sides.
        sources: tables handed over in memory, by split; they take the place of the paths in ``data``.
        seed: of the cut and of ``max_rows``.
        cache: folder of caches.
        progress: told of every table.
        folds: whether 'train' stays whole, to be cut into folds.

    Raises:
        ConfigError: there is a validation table beside folds.
        DataError: there is no training table, or one cannot be opened, or nothing is left of it.
    """
    named: dict[str, Any] = {name: getattr(data, name) for name in SPLITS}
    if data.set:
        named = {**find_set(data.set).get(cache=cache, progress=progress)}
        if folds and named.pop("valid", None) is not None:
            progress.say("Folds are cut from the training part alone; the set's own validation part is left out.")
    named.update(sources)
    if folds and named.get("valid") is not None:
        raise ConfigError(
            "recipe.study.folds",
            got="a validation table beside folds",
            expected="one table to learn from, which is cut into folds",
            remedy="Leave the validation table out, or the folds",
        )
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
    if "valid" not in tables and not folds:
        tables |= _cut(tables["train"], data, target=target, seed=seed, progress=progress)
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


def _cut(table: Table, data: DataConfig, *, target: Sequence[str], seed: int, progress: Progress) -> dict[str, Table]:
    fractions = (1 - data.valid_fraction, data.valid_fraction)
    rows = np.arange(len(table))
    if data.time is not None:
        ((train, valid),) = _cuts_by_time(table, rows, data, fractions)
        left_out = len(table) - len(train) - len(valid)
        if left_out:
            progress.say(f"{left_out:,} earlier rows are left out: their '{data.group}' is also validated on.")
    else:
        labels, groups = _labels_and_groups(table, rows, data, target)
        train, valid = split_rows(labels, len(table), fractions=fractions, seed=seed, groups=groups)
    return {"train": table.select(train), "valid": table.select(valid)}


def cut_folds(
    table: Table, rows: NDArray[np.int64], data: DataConfig, *, target: Sequence[str], count: int, seed: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Of each fold, positions in ``rows`` to learn from and to validate on; the latter are in no two folds.

    By time there is one part more than folds: each is validated on but the earliest, and learned from is what came
    before it.

    Args:
        table: with the columns that ``data`` groups and orders by.
        rows: of the table.
        data: the recipe's data.
        target: the columns to predict; a class is dealt out to the folds in the same proportion.
        count: of folds.
        seed: of the cuts.

    Raises:
        DataError: fewer rows, groups or times than folds, or nothing is left to learn from.
    """
    if data.time is not None:
        return _cuts_by_time(table, rows, data, [1 / (count + 1)] * (count + 1))
    labels, groups = _labels_and_groups(table, rows, data, target)
    parts = deal_rows(labels, len(rows), parts=count, seed=seed, groups=groups)
    return [(np.setdiff1d(np.arange(len(rows)), part), part) for part in parts]


def _labels_and_groups(
    table: Table, rows: NDArray[np.int64], data: DataConfig, target: Sequence[str]
) -> tuple[list[Any] | None, list[Any] | None]:
    labels = table.values(target[0], rows) if len(target) == 1 else None
    return labels, table.values(data.group, rows) if data.group else None


def _cuts_by_time(
    table: Table, rows: NDArray[np.int64], data: DataConfig, fractions: Sequence[float]
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """For each part of ``fractions`` but the first, the positions of earlier rows, and its own."""
    assert data.time is not None, "without a time there is no order"
    parts = split_by_time(moments_of(table.values(data.time, rows), data.time), fractions=fractions)
    groups = table.values(data.group, rows) if data.group else None
    found = []
    for place, part in enumerate(parts[1:], start=1):
        learned = np.sort(np.concatenate(parts[:place]))
        if groups is not None:
            learned = without_groups(learned, part, groups)
        if not len(learned):
            raise DataError(
                f"rows by '{data.time}'",
                got=f"no earlier row whose '{data.group}' is not among the {len(part):,} later ones as well",
                expected="rows to learn from before those to validate on",
                remedy="Leave out data.group or data.time, or use fewer folds",
            )
        found.append((learned, part))
    return found
