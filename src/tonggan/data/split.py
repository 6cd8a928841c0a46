"""Divide rows into parts, e.g. training and validation, in the same proportions for each label, or by time.

It works on row numbers and cells alone; it finds no duplicates (the doctor does).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tonggan.cells import cell_number, cell_text
from tonggan.data.time_format import fit_times
from tonggan.errors import ConfigError, DataError

# Labels of which more than this share occur only once are no classes, but numbers or sets of tags.
_MAX_SINGLE_SHARE = 0.05
# A label of this many rows for each part is in every part: what a part does not hold cannot be measured there. That is
# so as long as there are few labels, at most this share of the rows of the smallest part, so that sizes hardly change.
_ROWS_OF_EACH_PART, _MAX_LABEL_SHARE = 2, 0.1


def split_rows(
    labels: Sequence[Any] | None,
    num_rows: int,
    *,
    fractions: Sequence[float],
    seed: int,
    groups: Sequence[Any] | None = None,
) -> list[NDArray[np.int64]]:
    """The row numbers of each part, ascending; every row is in exactly one part and no part is empty.

    With ``labels``, each label's rows are divided by ``fractions`` and what is left over evens the parts out. A label
    that occurs once goes to the first part, so that no other part holds a class that training never saw; where many
    occur once (numbers, tags), they are divided like one label.

    Args:
        labels: one hashable or printable value for each row; None divides without regard to labels.
        num_rows: how many rows there are.
        fractions: the share of each part; their sum is 1.
        seed: the same seed divides the same rows in the same way.
        groups: rows with an equal value, e.g. one patient's, stay together; a missing value is a group of its own.

    Raises:
        ConfigError: fractions that are not positive or do not sum to 1.
        DataError: fewer rows, or groups, than parts.
    """
    if min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ConfigError(
            "split", got=f"fractions {list(fractions)}", expected="positive ones that sum to 1", remedy="Correct them"
        )
    random = np.random.default_rng(seed)
    strata = np.zeros(num_rows, dtype=np.int64) if labels is None else _strata(labels)
    assert len(strata) == num_rows, f"{len(strata)} labels for {num_rows} rows"
    if groups is None:
        _check_enough(num_rows, len(fractions), what="rows")
        parts = _divide(strata, np.array(fractions), random)
    else:
        assert len(groups) == num_rows, f"{len(groups)} groups for {num_rows} rows"
        codes = _group_codes(groups)
        _check_enough(num_groups(groups), len(fractions), what="groups")
        parts = _divide_groups(codes, strata, np.array(fractions), random)
    return [np.flatnonzero(parts == part) for part in range(len(fractions))]


def num_groups(groups: Sequence[Any]) -> int:
    """How many groups of rows there are, as ``split_rows`` takes them."""
    return len(np.unique(_group_codes(groups)))


def deal_rows(
    labels: Sequence[Any] | None, num_rows: int, *, parts: int, seed: int, groups: Sequence[Any] | None = None
) -> list[NDArray[np.int64]]:
    """The row numbers of equal parts, ascending, each of which is held out once, so that none comes first.

    Unlike ``split_rows``, no part is given the labels that occur a few times only.

    Args:
        labels: as for ``split_rows``.
        num_rows: how many rows there are.
        parts: how many parts.
        seed: the same seed divides the same rows in the same way.
        groups: as for ``split_rows``.

    Raises:
        DataError: fewer rows, or groups, than parts.
    """
    if groups is not None:
        return split_rows(labels, num_rows, fractions=[1 / parts] * parts, seed=seed, groups=groups)
    _check_enough(num_rows, parts, what="rows")
    order = np.random.default_rng(seed).permutation(num_rows)
    if labels is not None:
        order = order[np.argsort(_codes(labels)[order], kind="stable")]
    dealt = np.empty(num_rows, dtype=np.int64)
    dealt[order] = np.arange(num_rows) % parts
    return [np.flatnonzero(dealt == part) for part in range(parts)]


def split_by_time(moments: NDArray[np.float64], *, fractions: Sequence[float]) -> list[NDArray[np.int64]]:
    """The row numbers of each part, ascending: all rows of a part are later than all of the parts before it.

    Rows of one moment stay together, so the parts are as near to ``fractions`` as that allows; no part is empty.

    Args:
        moments: ``[N]``, as ``moments_of`` reads them.
        fractions: the share of each part, the earliest first; their sum is 1.

    Raises:
        DataError: fewer different moments than parts.
    """
    distinct, counts = np.unique(moments, return_counts=True)
    _check_enough(len(distinct), len(fractions), what="different times")
    # How many rows there are up to each moment; a cut falls behind one of these, and leaves one for each later part.
    until = np.cumsum(counts)
    cuts = [0]
    for part, share in enumerate(np.cumsum(fractions)[:-1], start=1):
        first, last = cuts[-1], len(distinct) - (len(fractions) - part)
        cuts.append(first + 1 + int(np.argmin(np.abs(until[first:last] - share * len(moments)))))
    cuts.append(len(distinct))
    bounds = [*distinct[np.array(cuts[:-1])].tolist(), math.inf]
    return [np.flatnonzero((moments >= low) & (moments < high)) for low, high in pairwise(bounds)]


def moments_of(values: Sequence[Any], column: str) -> NDArray[np.float64]:
    """``[N]``: the times in the cells of a column, as numbers that grow with time; a time without a zone is UTC.

    Raises:
        DataError: a cell is neither number, date nor time, or some are numbers and others dates.
    """
    numbers = np.array([cell_number(value) for value in values], dtype=np.float64)
    if np.isnan(numbers).all():
        written = fit_times([text for value in values if (text := cell_text(value))], column)
        if written is not None:
            numbers = np.array([written.config.read(value) for value in values], dtype=np.float64)
    unread = np.flatnonzero(np.isnan(numbers))
    if len(unread):
        raise DataError(
            f"times in column '{column}'",
            got=f"{values[int(unread[0])]!r} in row {int(unread[0]) + 1} of {len(values)}, and {len(unread) - 1} more",
            expected="in every row a number, or in every row a date or time such as 2024-03-05 10:30",
            remedy="Correct the column, or leave such rows out with data.where",
        )
    return numbers


def without_groups(learned: NDArray[np.int64], held: NDArray[np.int64], groups: Sequence[Any]) -> NDArray[np.int64]:
    """Those of the rows ``learned`` whose group has no row in ``held``; a missing group is one of its own."""
    codes = _group_codes(groups)
    return learned[~np.isin(codes[learned], codes[held])]


def _check_enough(count: int, num_parts: int, *, what: str) -> None:
    if count < num_parts:
        raise DataError(
            "split",
            got=f"{count} {what}",
            expected=f"at least {num_parts}, one for each part",
            remedy="Add rows, or pass a table for each part",
        )


def _codes(values: Sequence[Any]) -> NDArray[np.int64]:
    """A number for each distinct value, in order of appearance."""
    known: dict[str, int] = {}
    keys = (cell_text(value) or f"\0{value!r}" for value in values)
    return np.fromiter((known.setdefault(key, len(known)) for key in keys), dtype=np.int64, count=len(values))


def _group_codes(groups: Sequence[Any]) -> NDArray[np.int64]:
    codes = _codes(groups)
    missing = np.array([cell_text(group) is None for group in groups], dtype=bool)
    codes[missing] = len(groups) + np.arange(missing.sum())
    return codes


def _strata(labels: Sequence[Any]) -> NDArray[np.int64]:
    codes = _codes(labels)
    counts = np.bincount(codes, minlength=1)
    single = counts[codes] == 1
    if single.mean() > _MAX_SINGLE_SHARE:
        codes[single] = len(counts)
    return codes


def _divide(
    strata: NDArray[np.int64], fractions: NDArray[np.float64], random: np.random.Generator
) -> NDArray[np.int64]:
    """The part of each row."""
    parts = np.empty(len(strata), dtype=np.int64)
    order = random.permutation(len(strata))
    order = order[np.argsort(strata[order], kind="stable")]
    due = np.zeros(len(fractions))
    labels = np.split(order, np.flatnonzero(np.diff(strata[order])) + 1)
    most_labels = _MAX_LABEL_SHARE * float(fractions.min()) * len(strata)
    for rows in labels:
        exact = len(rows) * fractions
        counts = np.floor(exact + 1e-9).astype(np.int64)
        due += exact - counts
        for _ in range(len(rows) - counts.sum()):
            part = int(np.argmax(due)) if len(rows) > 1 else 0
            counts[part] += 1
            due[part] -= 1
        if counts[0] == 0:
            counts[0] += 1
            counts[np.argmax(counts[1:]) + 1] -= 1
        if len(labels) <= most_labels and len(rows) >= _ROWS_OF_EACH_PART * len(fractions):
            for empty in np.flatnonzero(counts == 0):
                largest = np.argmax(counts)
                counts[empty] += 1
                counts[largest] -= 1
                due[empty] -= 1
                due[largest] += 1
        parts[rows] = np.repeat(np.arange(len(fractions)), counts)
    sizes = np.bincount(parts, minlength=len(fractions))
    for empty in np.flatnonzero(sizes == 0):
        row = order[np.flatnonzero(parts[order] == np.argmax(sizes))[-1]]
        parts[row] = empty
        sizes = np.bincount(parts, minlength=len(fractions))
    return parts


def _divide_groups(
    groups: NDArray[np.int64],
    strata: NDArray[np.int64],
    fractions: NDArray[np.float64],
    random: np.random.Generator,
) -> NDArray[np.int64]:
    """The part of each row, groups whole: the largest groups first, each to the part that lacks its labels most."""
    _, groups = np.unique(groups, return_inverse=True)
    _, strata = np.unique(strata, return_inverse=True)
    order = np.argsort(groups, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    totals = np.bincount(strata)
    lacking = fractions[:, None] * totals
    parts = np.empty(len(groups), dtype=np.int64)
    sizes = np.zeros(len(fractions), dtype=np.int64)
    shuffled = random.permutation(len(members))
    ordered = sorted(shuffled.tolist(), key=lambda group: -len(members[group]))
    for position, group in enumerate(ordered):
        rows = members[group]
        labels, counts = np.unique(strata[rows], return_counts=True)
        # What a part lacks of these labels, as a share of what it should get.
        need = (lacking[:, labels] / (fractions[:, None] * totals[labels])) @ counts
        if len(ordered) - position <= np.count_nonzero(sizes == 0):
            need[sizes > 0] = -np.inf
        part = int(np.argmax(need))
        parts[rows] = part
        sizes[part] += len(rows)
        lacking[part, labels] -= counts
    return parts
