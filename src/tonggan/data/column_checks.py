"""What can be wrong with columns: files that cannot be used, cells that are empty, constant or cut off, names, sums."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tonggan.cells import cell_text
from tonggan.data.cell_findings import CellFindings, why_unreadable
from tonggan.data.findings import Doubt, Finding, Quarantined, Severity
from tonggan.data.profiles import MediaProfile
from tonggan.data.scan import MediaColumn, MediaStatus, media_path
from tonggan.data.table import Table
from tonggan.data.wild_cells import find_wild_cells
from tonggan.errors import DataError
from tonggan.modalities import ColumnConfig, NumericConfig
from tonggan.modalities.base import Limit, MediaConfig, Range
from tonggan.modalities.number import parse_cell
from tonggan.modalities.video import WITH_SOUND
from tonggan.wording import Words, catalog, part_zh, shortened

_MAX_STRAY_SHARE = 0.01  # of a number column's cells that are not numbers
_ROWS_PER_READ = 256  # the cells may hold whole files
_NO_FILE = "no file at this path"
_MAX_PATH = 120  # characters that are shown
_TOTALS = frozenset({
    "total", "totals", "grand total", "sum", "subtotal", "合计", "总计", "小计", "總計", "合計", "gesamt", "summe",
    "итого",
})  # fmt: skip
_YEARS = range(1900, 2101)


def check_media(
    table: Table,
    name: str,
    column: MediaColumn,
    *,
    config: ColumnConfig,
    split: str,
    is_train: bool,
    is_compared: bool = False,
) -> tuple[list[Finding], list[Quarantined]]:
    """Findings on a scanned column of pictures or recordings, and its cells that cannot be used.

    Absent (an empty cell), missing (a wrong path) and unreadable are distinguished. It is an error when the training
    part names files and none of them can be used.
    """
    bad = _bad_cells(table, name, column, split=split)
    num_absent, num_present = column.count(MediaStatus.ABSENT), column.count(MediaStatus.PRESENT)
    findings = []
    for status in (MediaStatus.MISSING, MediaStatus.UNREADABLE):
        rows = column.rows(status)
        if len(rows):
            example = next(entry for entry in bad if entry.row == rows[0])
            hopeless = is_train and num_present == 0
            findings.append(_bad_files(name, split, len(rows), len(table), example, status=status, hopeless=hopeless))
    if num_absent == len(table) and not is_compared:
        findings.append(_empty(name, split, len(table)))
    elif num_absent:
        findings.append(
            Finding(
                "note",
                column=name,
                split=split,
                count=num_absent,
                message=f"{num_absent:,} of {len(table):,} rows of {split} have an empty cell in '{name}'.",
                message_zh=f"{part_zh(split)}的 {len(table):,} 行中有 {num_absent:,} 行的“{name}”为空。",
                remedy="Nothing to do: the input counts as absent there",
                remedy_zh="无需处理：这些行按缺少该输入处理",
            )
        )
    if is_train and num_present > 1 and num_present + num_absent == len(table) and len(np.unique(column.slots)) == 1:
        findings.append(_constant(name, split, len(table), "the same file"))
    assert isinstance(config, MediaConfig), "only media are scanned"
    return findings + _check_contents(name, column, config, split=split, is_train=is_train), bad


def _check_contents(
    name: str, column: MediaColumn, config: MediaConfig, *, split: str, is_train: bool
) -> list[Finding]:
    """Findings on what the files hold."""
    findings = []
    if column.lengths is not None and config.limit is not None:
        count = sum(map(config.exceeds, column.lengths.tolist()))
        if count:
            findings.append(_cut_off(name, split, count, column.count(MediaStatus.PRESENT), config.limit))
    if is_train and config.range is not None and getattr(config, config.range.field) is not None:
        findings.append(_scaled(name, column, split, config.range, getattr(config, config.range.field)))
    odd = config.build().odd
    return findings + [_odd(name, split, len(rows), config.things, *odd[what]) for what, rows in column.odd.items()]


def check_unread(name: str, profile: MediaProfile, *, split: str) -> list[Finding]:
    """A note on what of files is not read, by the profile of the training part: further frames, sound of clips."""
    heard = profile.facts.get("sound", {}).get(WITH_SOUND, 0)
    if heard:
        return [_unheard(name, heard, profile.sampled, split)]
    count = profile.facts.get("number of frames", {}).get("several frames", 0)
    if not count:
        return []
    return [
        Finding(
            "note",
            column=name,
            split=split,
            count=count,
            message=f"Of {profile.sampled:,} pictures in '{name}' of {split} that were looked at, {count:,} have "
            "several frames or pages; only the first is read.",
            message_zh=f"抽查{part_zh(split)}的“{name}”中 {profile.sampled:,} 张图片，"
            f"有 {count:,} 张含多帧或多页；只读取第一帧。",
            remedy="Export the frames that matter as pictures of their own",
            remedy_zh="请把重要的帧或页导出为单独的图片",
        )
    ]


def _unheard(name: str, count: int, sampled: int, split: str) -> Finding:
    return Finding(
        "note",
        column=name,
        split=split,
        count=count,
        message=f"Of {sampled:,} clips in '{name}' of {split} that were looked at, {count:,} have a sound track; it is "
        "not read here.",
        message_zh=f"抽查{part_zh(split)}的“{name}”中 {sampled:,} 段视频，有 {count:,} 段含音轨；此列不读取声音。",
        remedy="To hear it, put the same paths into another column NAME, with --set columns.NAME.kind=audio",
        remedy_zh="如需读取声音，请把同样的路径放入另一列 NAME，并设置 --set columns.NAME.kind=audio",
    )


def require_cells(table: Table, name: str, *, config: ColumnConfig) -> None:
    """Check that the column ``name`` is there and that its cells can be read as texts, numbers or categories if they
    are to be; those of other kinds may be of any type.

    Raises:
        DataError: there is no such column, or its cells hold lists, structures or, for texts, bytes.
    """
    stored = table.column_type(name)
    if config.form == "other":
        return
    is_bytes = config.form == "text" and (pa.types.is_binary(stored) or pa.types.is_large_binary(stored))
    if pa.types.is_nested(stored) or is_bytes:
        cells = (value for values in table.iterate(name, batch_size=_ROWS_PER_READ) for value in values)
        example = shortened(repr(next((value for value in cells if value is not None), None)), limit=60)
        what = "bytes" if is_bytes else "a structure" if pa.types.is_struct(stored) else "a list"
        raise DataError(
            f"column '{name}' of {table.source}",
            got=f"{what} in a cell, such as {example}",
            expected=f"one {'value' if config.form == 'name' else config.kind} in each cell, as the column is of kind "
            f"{config.kind}",
            remedy="Join or take apart what the cells hold; a column of several rows goes into a mapping of columns",
        )


def check_cells(
    table: Table, name: str, *, config: ColumnConfig, split: str, is_train: bool, is_compared: bool = False
) -> list[Finding]:
    """Findings on a column of texts, numbers or categories.

    Where it ``is_compared`` with the training part, stray and missing cells are told there.
    """
    column = CellFindings(name, split, table.row_numbers)
    distinct: set[str] = set()
    num_missing = num_cut = 0
    stray: list[tuple[int, str]] = []
    cells = (cell for values in table.iterate(name) for cell in values)
    for row, value in enumerate(cells):
        text = cell_text(value)
        if text is None:
            num_missing += 1
            continue
        if len(distinct) < 2:
            distinct.add(text)
        num_cut += config.exceeds(text)
        if not is_compared and config.is_unreadable(value):
            stray.append((row, text))
    findings = []
    if num_missing == len(table) and not is_compared:
        findings.append(_empty(name, split, len(table)))
    if is_train and len(distinct) == 1 and not num_missing:
        findings.append(_constant(name, split, len(table), f"'{shortened(next(iter(distinct)))}'"))
    if stray:
        findings.append(_stray(column, stray, config))
    if num_cut and config.limit is not None:
        findings.append(_cut_off(name, split, num_cut, len(table) - num_missing, config.limit))
    if isinstance(config, NumericConfig):
        findings += find_wild_cells(table, name, config=config, split=split, is_target=False)
    return findings


def check_doubt(name: str, doubt: Doubt, *, config: ColumnConfig, split: str, num_rows: int) -> Finding:
    """The finding on a column that may be meant in another way than it is read."""
    kind_zh = catalog().translate(config.kind)
    return Finding(
        "warning",
        column=name,
        split=split,
        count=round(doubt.share * num_rows),
        message=f"Column '{name}' holds {doubt.problem.english}; it is read as {config.kind}.",
        message_zh=f"“{name}”列{doubt.problem.chinese}；目前按{kind_zh}读取。",
        remedy=doubt.remedy.english.replace("NAME", name),
        remedy_zh=doubt.remedy.chinese.replace("NAME", name),
    )


def _bad_cells(table: Table, name: str, column: MediaColumn, *, split: str) -> list[Quarantined]:
    rows = np.flatnonzero(np.isin(column.status, [MediaStatus.MISSING, MediaStatus.UNREADABLE]))
    numbers = table.row_numbers
    bad = []
    for first in range(0, len(rows), _ROWS_PER_READ):
        some = rows[first : first + _ROWS_PER_READ]
        for row, value in zip(some.tolist(), table.values(name, some), strict=True):
            reason = column.problems.get(row, _NO_FILE)
            bad.append(Quarantined(split, row, int(numbers[row]), name, media_path(value), reason))
    return bad


def _bad_files(
    name: str, split: str, count: int, num_rows: int, example: Quarantined, *, status: MediaStatus, hopeless: bool
) -> Finding:
    severity: Severity = "error" if hopeless else "warning"
    path = shortened(example.value or "", limit=_MAX_PATH)
    which = f"'{path}' in row {example.number}" if path else f"row {example.number}"
    which_zh = f"第 {example.number} 行" + (f"的“{path}”" if path else "")
    none, none_zh = (" No file can be used.", "没有任何可用的文件。") if hopeless else ("", "")
    if status == MediaStatus.MISSING:
        message = (
            f"{count:,} of {num_rows:,} rows of {split} name a file in '{name}' that is not there, e.g. {which}.{none}"
        )
        message_zh = (
            f"{part_zh(split)}的 {num_rows:,} 行中有 {count:,} 行的“{name}”指向不存在的文件，例如{which_zh}。{none_zh}"
        )
        remedy = "Correct the paths; they are relative to the folder of the table"
        remedy_zh = "请更正路径；路径相对于表所在的文件夹"
    else:
        message = (
            f"{count:,} of {num_rows:,} rows of {split} have a file in '{name}' that cannot be read, e.g. {which}: "
            f"{example.reason}.{none}"
        )
        message_zh = (
            f"{part_zh(split)}的 {num_rows:,} 行中有 {count:,} 行的“{name}”无法读取，例如{which_zh}："
            f"{catalog().translate(example.reason)}。{none_zh}"
        )
        remedy = "Restore the files named in quarantine.csv, or leave their cells empty"
        remedy_zh = "请恢复 quarantine.csv 中列出的文件，或将其单元格留空"
    return Finding(severity, name, split, count, message, message_zh, remedy, remedy_zh)


def _empty(name: str, split: str, num_rows: int) -> Finding:
    return Finding(
        "warning",
        column=name,
        split=split,
        count=num_rows,
        message=f"Column '{name}' is empty in every row of {split}.",
        message_zh=f"“{name}”列在{part_zh(split)}的每一行都为空。",
        remedy="Fill it, or declare it as 'ignore'",
        remedy_zh="请填写该列，或把它声明为 ignore",
    )


def _constant(name: str, split: str, num_rows: int, value: str) -> Finding:
    return Finding(
        "warning",
        column=name,
        split=split,
        count=num_rows,
        message=f"Column '{name}' holds {value} in every row of {split}; nothing can be learned from it.",
        message_zh=f"“{name}”列在{part_zh(split)}的每一行都相同；从中学不到任何东西。",
        remedy="Declare it as 'ignore'",
        remedy_zh="请把它声明为 ignore",
    )


def _stray(column: CellFindings, stray: list[tuple[int, str]], config: ColumnConfig) -> Finding:
    reason = why_unreadable(config)
    return column.finding(
        "warning" if len(stray) > _MAX_STRAY_SHARE * len(column.numbers) else "note",
        len(stray),
        stray[0],
        what=(f"are {reason}", reason.chinese),
        then=("; they count as missing", "；按缺失处理"),
        remedy=("Write these cells as the others are, or leave them empty", "请按其他单元格的写法改写，或留空"),
    )


def _cut_off(name: str, split: str, count: int, total: int, limit: Limit) -> Finding:
    """``count`` of ``total`` are longer than the ``limit`` up to which they are read."""
    setting = f"--set columns.{name}.{limit.setting}"
    return Finding(
        "note",
        column=name,
        split=split,
        count=count,
        message=f"{count:,} of {total:,} {limit.things.english} in '{name}' of {split} are longer than the "
        f"{limit.most.english} that are read; the rest of them is cut off.",
        message_zh=f"{part_zh(split)}的“{name}”中 {total:,} {limit.things.chinese}"
        f"有 {count:,} 段超过读取的 {limit.most.chinese}；其余部分被截去。",
        remedy=f"Set how much is read, e.g. {setting}, or shorten them to what matters",
        remedy_zh=f"请设置读取的长度，例如 {setting}，或只保留重要的部分",
    )


def _scaled(name: str, column: MediaColumn, split: str, scale: Range, value: float) -> Finding:
    setting = f"--set columns.{name}.{scale.field}={scale.usual}"
    return Finding(
        "note",
        column=name,
        split=split,
        count=column.count(MediaStatus.PRESENT),
        message=f"{scale.things.english} in '{name}' are read with {value:.10g} as {scale.end.english}, "
        "by the values that they hold.",
        message_zh=f"“{name}”中{scale.things.chinese}按其取值以 {value:.10g} 为{scale.end.chinese}读取。",
        remedy=f"Set another value where that is wrong, e.g. {setting}",
        remedy_zh=f"如果不对，请设置别的值，例如 {setting}",
    )


def _odd(name: str, split: str, count: int, things: Words, what: Words, remedy: Words) -> Finding:
    return Finding(
        "note",
        column=name,
        split=split,
        count=count,
        message=f"{count:,} {things.english} in '{name}' of {split} {what.english}.",
        message_zh=f"{part_zh(split)}的“{name}”中有 {count:,} {things.chinese}{what.chinese}。",
        remedy=remedy.english,
        remedy_zh=remedy.chinese,
    )


def check_layout(table: Table, *, split: str) -> list[Finding]:
    """Findings on the last row and on the names of the columns."""
    return [*_check_last_row(table, split), *_check_names(table, split)]


def _check_last_row(table: Table, split: str) -> list[Finding]:
    last = int(np.argmax(table.row_numbers))
    for name in table.names:
        text = cell_text(table.values(name, np.array([last]))[0])
        if text is not None and text.casefold().rstrip(":： ") in _TOTALS:
            return [
                Finding(
                    "warning",
                    column=name,
                    split=split,
                    count=1,
                    message=f"The last row of {split} looks like a total: '{text}' in '{name}'. It is read as a row.",
                    message_zh=f"{part_zh(split)}的最后一行像是合计：“{name}”为“{text}”。目前按普通行读取。",
                    remedy="Remove the row",
                    remedy_zh="请删除该行",
                )
            ]
    return []


def _check_names(table: Table, split: str) -> list[Finding]:
    named = [name for name in table.names if table.stored_as(name) == "untyped"]
    numbers = [name for name in named if parse_cell(name.removesuffix("_2")) is not None]
    # Years and counted columns are names.
    whole = [int(name) for name in numbers if name.isdecimal()]
    counted = len(whole) == len(numbers) and (
        all(number in _YEARS for number in whole)
        or sorted(whole) == list(range(min(whole, default=0), max(whole, default=0) + 1))
    )
    if not numbers or counted or 2 * len(numbers) < len(named):
        return []
    return [
        Finding(
            "warning",
            column=None,
            split=split,
            count=1,
            message=f"The first line of {split} looks like data rather than names: '{numbers[0]}' is taken for a "
            "column's name.",
            message_zh=f"{part_zh(split)}的第一行像是数据而不是列名：“{numbers[0]}”被当作列名。",
            remedy="Put a line with the names of the columns before it",
            remedy_zh="请在其前面加一行列名",
        )
    ]
