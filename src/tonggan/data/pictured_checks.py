"""What can be wrong with a target that lies in a picture: cells that are none, boxes outside it, classes that are new.

A row with such a cell goes to the quarantine list as it stands. What reaches over the edge of a picture is cut off when
the boxes are learned from, and told here, and so are boxes without an area.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tonggan.cells import cell_text
from tonggan.data.cell_findings import CellFindings
from tonggan.data.findings import Finding, Quarantined, Severity
from tonggan.data.scan import MediaStatus, media_path
from tonggan.data.target_checks import NO_VALUE, Checked, TargetColumn, find_rare
from tonggan.errors import DataError
from tonggan.modalities.boxes import Box, clip_box, read_objects
from tonggan.modalities.regions import UNLABELED, stored_name
from tonggan.wording import Words, part_zh, shortened

_LONGEST = 500  # characters of a cell in the quarantine list
_TOLERANCE = 1.0  # pixels; some tools count the last pixel, and some do not
_NO_BOXES = "no boxes that can be read"
_NO_MASK = "no mask that can be read"
_OUTSIDE = "a box outside its picture"
_NEW_LABEL = "a label that the training part does not have"
_NEW_CLASS = "a class that the training part does not have"
# By reason, in the order in which they are told: what such cells do, in both languages.
_REASONS = {
    _NO_BOXES: ("cannot be read as boxes", "不能读作边界框"),
    _OUTSIDE: ("have a box outside the picture", "有位于图片之外的框"),
    _NEW_LABEL: (f"have {_NEW_LABEL}", "含有训练部分中没有的标签"),
    _NO_MASK: ("name no mask that can be read", "没有可读取的掩码"),
    _NEW_CLASS: (f"have {_NEW_CLASS}", "含有训练部分中没有的类别"),
    NO_VALUE: (f"have {NO_VALUE}", "没有值"),
}


class _Bad(NamedTuple):
    """A cell that cannot be used: its row, what it says, the reason, and what of it is the reason, if anything."""

    row: int
    value: str
    reason: str
    shown: str = ""


def check_boxes(column: TargetColumn) -> Checked:
    """How many objects of each class there are, findings, and the cells that cannot be used."""
    counts: Counter[str] = Counter()
    bad: list[_Bad] = []
    cut: list[tuple[int, str]] = []
    flat: list[tuple[int, str]] = []
    for row, value in column.cells():
        extent = None
        if column.extents is not None and column.extents[row].all():
            extent = (int(column.extents[row, 0]), int(column.extents[row, 1]))
        try:
            boxes = read_objects(value)
            problem = _problem(boxes, column.known, extent)
        except DataError as error:
            boxes, problem = None, (_NO_BOXES, error.got)
        if problem is not None:
            bad.append(_Bad(row, cell_text(value) or "", *problem))
            continue
        boxes = boxes or []
        counts.update(box.label for box in boxes if box.has_area)
        cut += [(row, _shown(box, extent)) for box in boxes if extent and _reaches_over(box, extent)][:1]
        flat += [(row, _shown(box, extent)) for box in boxes if not box.has_area][:1]
    findings, quarantine = _unusable(
        column, bad, remedy=("Correct these cells, or remove the rows", "请更正这些单元格，或删除这些行")
    )
    findings += _told_of_edges(CellFindings(column.name, column.split, column.table.row_numbers), cut, flat)
    if column.known is None and len(bad) < len(column.table):
        findings += _check_counts(column, counts)
    return counts, findings, quarantine


def _problem(
    boxes: Sequence[Box] | None, known: Collection[str] | None, extent: tuple[int, int] | None
) -> tuple[str, str] | None:
    """Why boxes cannot be used, and the first of which that is so."""
    if boxes is None:
        return NO_VALUE, ""
    for box in boxes:
        if extent is not None and box.has_area and clip_box(box, extent) is None:
            return _OUTSIDE, _shown(box, extent)
        if known is not None and box.label not in known:
            return _NEW_LABEL, box.label
    return None


def _reaches_over(box: Box, extent: tuple[int, int]) -> bool:
    height, width = extent
    return min(box.x1, box.y1) < -_TOLERANCE or box.x2 > width + _TOLERANCE or box.y2 > height + _TOLERANCE


def _shown(box: Box, extent: tuple[int, int] | None) -> str:
    sides = ", ".join(f"{side:g}" for side in box[1:5])
    picture = f" in {extent[1]} x {extent[0]}" if extent else ""
    return shortened(f"{box.label} [{sides}]{picture}", limit=80)


def _told_of_edges(
    told: CellFindings, cut: Sequence[tuple[int, str]], flat: Sequence[tuple[int, str]]
) -> list[Finding]:
    """Findings on boxes that are used in part or not at all, in cells that are used."""
    found = []
    if cut:
        what = ("have boxes that reach over the edge of the picture", "有超出图片边缘的框")
        then = ("; what lies outside is cut off", "；超出部分会被裁去")
        remedy = ("Where it is more than rounding, correct the boxes", "如果不只是取整误差，请更正这些框")
        found.append(told.finding("warning", len(cut), cut[0], what=what, then=then, remedy=remedy))
    if flat:
        what = ("have boxes without an area", "有面积为零的框")
        then = ("; these boxes are left out", "；这些框不会被使用")
        remedy = ("Remove these boxes, or draw them anew", "请删除或重新标注这些框")
        found.append(told.finding("warning", len(flat), flat[0], what=what, then=then, remedy=remedy))
    return found


def _check_counts(column: TargetColumn, counts: Counter[str]) -> list[Finding]:
    if counts:
        remedy = Words("Add pictures of these classes, or join them into one", "请增加这些类别的图片，或将它们合并")
        return find_rare(
            column, counts, things=Words("classes", "类别"), units=Words("objects", "个目标"), remedy=remedy
        )
    return [
        Finding(
            "error",
            column.name,
            column.split,
            0,
            message=f"No cell of '{column.name}' in {column.split} has a box; there is nothing to learn.",
            message_zh=f"{part_zh(column.split)}的“{column.name}”列没有任何框；没有可学习的内容。",
            remedy="Check that this is the column with the boxes",
            remedy_zh="请确认这是存放边界框的列",
        )
    ]


def check_regions(column: TargetColumn, *, classes: Mapping[str, str | None] | None) -> Checked:
    """In how many masks each value is, findings, and the rows without a usable mask.

    Args:
        column: the target, whose masks have been scanned.
        classes: names of values as a recipe declares them, if it does; the training part's are compared with them.
    """
    masks = column.masks
    assert masks is not None, "a target of masks is scanned"
    reasons = {row: (_NO_MASK, problem) for row, problem in masks.problems.items()}
    reasons |= dict.fromkeys(masks.rows(MediaStatus.ABSENT).tolist(), (NO_VALUE, ""))
    for row, found in masks.values.items():
        new = [] if column.known is None else sorted(value for value in found if str(value) not in column.known)
        if new:
            reasons[row] = _NEW_CLASS, stored_name(new[0])
    rows = sorted(reasons)
    cells = column.table.values(column.name, np.array(rows, dtype=np.int64))
    bad = [_Bad(row, media_path(cell), *reasons[row]) for row, cell in zip(rows, cells, strict=True)]
    findings, quarantine = _unusable(
        column, bad, remedy=("Correct these masks, or remove the rows", "请更正这些掩码，或删除这些行")
    )
    if column.known is None and classes is not None:
        findings += _unnamed(column, masks.values, classes)
    return Counter(str(value) for found in masks.values.values() for value in found), findings, quarantine


def _unnamed(
    column: TargetColumn, values: Mapping[int, frozenset[int]], classes: Mapping[str, str | None]
) -> list[Finding]:
    """The finding on masks with a value that the declared ``classes`` do not name; 255 need not be named."""
    unnamed: list[tuple[int, str]] = []
    is_color = any(value.startswith("#") for value in classes)
    for row, found in values.items():
        names = {
            f"#{value:02x}{value:02x}{value:02x}" if is_color and value < 256 else stored_name(value) for value in found
        }
        unnamed += [(row, each) for each in sorted(names - set(classes) - {str(UNLABELED)})][:1]
    if not unnamed:
        return []
    return [
        CellFindings(column.name, column.split, column.table.row_numbers).finding(
            "warning",
            len(unnamed),
            unnamed[0],
            what=("have a value that 'classes' does not name", "含有 classes 没有说明的值"),
            then=("; nothing is learned from such pixels", "；这些像素不参与学习"),
            remedy=(
                "Name it in 'classes', with null if that is meant",
                "请在 classes 中说明它；如果本意如此，请设为 null",
            ),
        )
    ]


def _unusable(
    column: TargetColumn, bad: Sequence[_Bad], *, remedy: tuple[str, str]
) -> tuple[list[Finding], list[Quarantined]]:
    """A finding for each reason in ``bad``, an error where no cell is left, and their entries in the quarantine."""
    told = CellFindings(column.name, column.split, column.table.row_numbers)
    severity: Severity = "error" if len(bad) == len(column.table) else "warning"
    findings = []
    for reason, what in _REASONS.items():
        cells = [(each.row, each.shown) for each in bad if each.reason == reason]
        if cells:
            example = cells[0] if cells[0][1] else None
            findings.append(told.finding(severity, len(cells), example, what=what, remedy=remedy))
    return findings, [
        column.bad(
            each.row,
            shortened(each.value, limit=_LONGEST),
            f"{each.reason}: {each.shown}" if each.shown else each.reason,
        )
        for each in bad
    ]
