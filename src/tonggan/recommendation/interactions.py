"""Who took what, and when: a table of interactions, read once, with what is wrong in it told."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tonggan.cells import cell_number, cell_text
from tonggan.data.findings import Finding, Quarantined
from tonggan.data.table import Table
from tonggan.errors import DataError
from tonggan.floor.base import Floats
from tonggan.recommendation.base import Histories, Places
from tonggan.recommendation.config import InteractionColumns
from tonggan.recommendation.ids import Ids
from tonggan.recommendation.times import read_numbers, read_times

NONE = "none"
_NAMES: Mapping[str, str] = {
    "user": "user|uid|customer|member|visitor|client|reader|account|person|session|buyer|用户|顾客|客户|会员|读者",
    "item": "item|iid|product|sku|movie|film|article|book|isbn|asin|song|track|artist|video|game|news|recipe|business|"
    "restaurant|poi|goods|商品|物品|产品|电影|文章|图书|书|歌曲|视频",
    "rating": "rating|score|stars|grade|preference|count|plays|评分|打分|分数|星级|次数",
    "time": "timestamp|time|date|datetime|when|day|ts|created_?at|时间|日期|时间戳",
}
# Ids before what is only called alike, such as movie_title.
_ENDINGS = (r"[\W_]*(id|no|key|uuid|编号|号)(:\w+)?", r"s?(:\w+)?", r"[\W_].*")
_MIDDLE = 0.5


@dataclass(frozen=True, eq=False)
class Interactions:
    """One row for each pair of a user and an item, the oldest first.

    Attributes:
        users: all of them.
        items: those of the interactions, then those of the table of items alone; likewise ``users``.
        user: int64 ``[N]``.
        item: int64 ``[N]``.
        is_liked: bool ``[N]``.
        times: float64 ``[N]`` in seconds; None where the table has none.
        threshold: ratings from there on are likes; None without ratings.
    """

    users: Ids
    items: Ids
    user: Places
    item: Places
    is_liked: NDArray[np.bool_]
    times: Floats | None
    threshold: float | None

    def __len__(self) -> int:
        return len(self.user)

    def take(self, rows: NDArray[Any]) -> Interactions:
        """Those at ``rows``, a mask or ascending places."""
        times = None if self.times is None else self.times[rows]
        return replace(self, user=self.user[rows], item=self.item[rows], is_liked=self.is_liked[rows], times=times)

    def liked(self) -> Histories:
        """What each user has liked."""
        return self._histories(self.is_liked)

    def all(self) -> Histories:
        """What each user has taken, liked or not."""
        return self._histories(np.ones(len(self), dtype=bool))

    def liked_times(self) -> Floats | None:
        """When each of ``liked().items`` was."""
        if self.times is None:
            return None
        order = np.argsort(self.user[self.is_liked], kind="stable")
        times: Floats = self.times[self.is_liked][order]
        return times

    def _histories(self, rows: NDArray[np.bool_]) -> Histories:
        return Histories.grouped(self.user[rows], self.item[rows], num_users=len(self.users), num_items=len(self.items))


@dataclass(frozen=True, eq=False)
class Read:
    """A table of interactions as it was read.

    Attributes:
        interactions: what could be used.
        columns: which column has which role; NONE where there is none.
        findings: what a person should know.
        quarantine: cells that cannot be used.
        source: what the user called the table.
    """

    interactions: Interactions
    columns: InteractionColumns
    findings: Sequence[Finding]
    quarantine: Sequence[Quarantined]
    source: str


def read_interactions(table: Table, columns: InteractionColumns, *, threshold: float | None) -> Read:
    """Read ``table``.

    Raises:
        DataError: no column of users or of items is found, or what is there cannot be used.
    """
    found = find_roles(table, columns)
    findings: list[Finding] = []
    quarantine: list[Quarantined] = []
    cells = {role: table.values(str(name)) for role, name in found.to_dict().items() if name != NONE}
    kept = np.ones(len(table), dtype=bool)
    for role in ("user", "item"):
        kept &= _present(table, getattr(found, role), cells[role], quarantine)
    times = (
        None if found.time == NONE else read_times(table, str(found.time), cells["time"], kept, findings, quarantine)
    )
    ratings = None
    if found.rating != NONE:
        ratings = _ratings(table, str(found.rating), cells["rating"], quarantine)
    if not kept.any():
        raise DataError(
            f"table {table.source}",
            got=f"no row with a user in '{found.user}' and an item in '{found.item}'",
            expected="rows that have both",
            remedy="Check the columns; --set columns.user=… and columns.item=… name others",
        )
    users, items = (Ids.of(cells[role], stored_as=table.stored_as(getattr(found, role))) for role in ("user", "item"))
    rows = np.flatnonzero(kept)
    order = rows if times is None else rows[np.argsort(times[rows], kind="stable")]
    user, item = (
        np.array([ids.find(cells[role][row]) for row in order.tolist()], dtype=np.int64)
        for ids, role in ((users, "user"), (items, "item"))
    )
    first = np.unique(user * len(items) + item, return_index=True)[1]
    first.sort()
    findings += [*_counted(quarantine), *_duplicates(len(order) - len(first), len(order), found)]
    chosen = order[first]
    liked, least = _liked(ratings, chosen, threshold)
    if times is None:
        findings.append(_without_times(found, table))
    interactions = Interactions(
        users, items, user[first], item[first], liked, None if times is None else times[chosen], least
    )
    _check_size(table, interactions)
    return Read(interactions, found, findings, quarantine, table.source)


def find_roles(table: Table, declared: InteractionColumns) -> InteractionColumns:
    """The column of each role, by name where it is not declared.

    Raises:
        DataError: a declared column is not there, or none or several may be the users or the items.
    """
    roles = {role: name for role, name in declared.to_dict().items() if name is not None}
    for name in roles.values():
        if name != NONE:
            table.require(name)
    for role in _NAMES:
        if role in roles:
            continue
        name = called_like(role, [name for name in table.names if name not in roles.values()])
        if name is None and role in ("user", "item"):
            raise DataError(
                f"table {table.source}",
                got=f"the columns {', '.join(table.names[:20])}, none of which is called like ids of {role}s",
                expected="a column of user ids and a column of item ids",
                remedy=f"Name it: --set columns.{role}=COLUMN",
            )
        roles[role] = name or NONE
    return InteractionColumns(**roles)


def called_like(role: str, names: Sequence[str]) -> str | None:
    """The first of ``names`` that is called as a column of this role is."""
    for ending in _ENDINGS if role in ("user", "item") else _ENDINGS[1:2]:
        pattern = re.compile(rf"(.*[\W_])?({_NAMES[role]}){ending}", re.IGNORECASE)
        for name in names:
            if pattern.fullmatch(name):
                return name
    return None


def _present(table: Table, name: str, cells: Sequence[Any], quarantine: list[Quarantined]) -> NDArray[np.bool_]:
    there = np.array([cell_text(cell) is not None for cell in cells], dtype=bool)
    numbers = table.row_numbers
    quarantine += [
        Quarantined("interactions", int(row), int(numbers[row]), name, "", "no id")
        for row in np.flatnonzero(~there).tolist()
    ]
    return there


def _ratings(table: Table, name: str, cells: Sequence[Any], quarantine: list[Quarantined]) -> Floats:
    """The ratings; NaN where a cell is empty or is no number.

    Raises:
        DataError: most are no numbers.
    """
    ratings = np.array([cell_number(cell) for cell in cells])
    if np.isnan(ratings).mean() > 1 - _MIDDLE:
        ratings = read_numbers(table, name, cells)
    said = [row for row in np.flatnonzero(np.isnan(ratings)).tolist() if cell_text(cells[row]) is not None]
    if len(said) > (1 - _MIDDLE) * len(cells):
        raise DataError(
            f"column '{name}' of {table.source}",
            got=f"ratings that are texts such as {cells[said[0]]!r} (row {table.row_numbers[said[0]]})",
            expected="numbers, of which the greater ones are likes",
            remedy="Write them as numbers, name another column with --set columns.rating=COLUMN, or take every "
            "interaction for a like with --set columns.rating=none",
        )
    quarantine += [
        Quarantined("interactions", int(row), int(table.row_numbers[row]), name, str(cells[row]), "not a number")
        for row in said
    ]
    return ratings


def _liked(ratings: Floats | None, rows: Places, threshold: float | None) -> tuple[NDArray[np.bool_], float | None]:
    """Which rows are likes, and from which rating on."""
    if ratings is None or threshold == 0 or not np.isfinite(ratings[rows]).any():
        return np.ones(len(rows), dtype=bool), None
    least = float(np.nanmedian(ratings[rows])) if threshold is None else threshold
    return np.nan_to_num(ratings[rows], nan=-np.inf) >= least, least


def _counted(quarantine: Sequence[Quarantined]) -> list[Finding]:
    """One finding for each column and reason of cells that cannot be used, but for times, which have their own."""
    groups: dict[tuple[str, str], list[Quarantined]] = {}
    for cell in quarantine:
        if cell.reason != "no time":
            groups.setdefault((cell.column, cell.reason), []).append(cell)
    return [_counted_one(column, reason, cells) for (column, reason), cells in groups.items()]


def _counted_one(column: str, reason: str, cells: Sequence[Quarantined]) -> Finding:
    first, count = cells[0], len(cells)
    message = f"{count:,} ratings in '{column}' are no numbers and count as no like, e.g. '{first.value}'"
    message_zh = f"“{column}”中有 {count:,} 个评分不是数字，按不喜欢处理，例如“{first.value}”"
    if reason == "no id":
        message = f"{count:,} interactions have no id in '{column}' and are left out, e.g. one"
        message_zh = f"{count:,} 条交互在“{column}”中没有编号，已略去，例如"
    return Finding(
        "warning",
        column,
        "interactions",
        count,
        message=f"{message} in row {first.number}.",
        message_zh=f"{message_zh}（第 {first.number} 行）。",
        remedy="Correct the cells that quarantine.csv names",
        remedy_zh="请修正 quarantine.csv 列出的单元格",
    )


def _duplicates(count: int, total: int, columns: InteractionColumns) -> list[Finding]:
    if not count:
        return []
    return [
        Finding(
            "warning" if count > 0.01 * total else "note",
            None,
            "interactions",
            count,
            message=f"{count:,} of {total:,} interactions repeat a pair of '{columns.user}' and '{columns.item}'; the "
            "first of each pair counts.",
            message_zh=f"{total:,} 条交互中有 {count:,} 条重复了同一对“{columns.user}”和“{columns.item}”；"
            "每对只计第一条。",
            remedy="Nothing, where repeats are meant; what a user has taken is not recommended again unless asked for",
            remedy_zh="若本来就有重复，无需处理；用户已有的物品默认不再推荐",
        )
    ]


def _without_times(columns: InteractionColumns, table: Table) -> Finding:
    del columns
    return Finding(
        "warning",
        None,
        "interactions",
        0,
        message=f"{table.source} has no times: the parts are drawn at random, so that the members also learn from "
        "later interactions and the scores are optimistic.",
        message_zh=f"{table.source} 没有时间：只能随机划分，成绩会偏高，因为学到了之后才发生的事。",
        remedy="Add a column of times, or name it: --set columns.time=COLUMN",
        remedy_zh="请加入时间列，或用 --set columns.time=COLUMN 指定",
    )


def _check_size(table: Table, interactions: Interactions) -> None:
    num_users, num_items = len(np.unique(interactions.user)), len(np.unique(interactions.item))
    if num_users < 2 or num_items < 2:
        raise DataError(
            f"table {table.source}",
            got=f"{num_users} users and {num_items} items",
            expected="at least two of each",
            remedy="Check the columns; --set columns.user=… and columns.item=… name others",
        )
