"""What can be wrong with a target of boxes: cells that are none, boxes outside their picture, labels that are new.

A row with such a cell goes to the quarantine list as it stands. What reaches over the edge of a picture is cut off when
the boxes are learned from, and told here, and so are boxes without an area.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from tonggan.cells import cell_text
from tonggan.data.cell_findings import CellFindings
from tonggan.data.findings import Finding, Quarantined, Severity
from tonggan.data.table import Table
from tonggan.errors import DataError
from tonggan.modalities.boxes import Box, clip_box, read_objects
from tonggan.wording import listed, part_zh, shortened

_Cells = list[tuple[int, str]]  # rows, and what is wrong there
_MIN_OBJECTS = 10  # of a class; below, it can hardly be learned or measured
_NUM_SHOWN = 5
_LONGEST = 500  # characters of a cell in the quarantine list
_TOLERANCE = 1.0  # pixels; some tools count the last pixel, and some do not
_CORRECT = ("Correct these cells, or remove the rows", "请更正这些单元格，或删除这些行")
# By reason: what such cells do, in both languages.
_REASONS = {
    "no value": ("have no value", "没有值"),
    "no boxes that can be read": ("cannot be read as boxes", "不能读作边界框"),
    "a box outside its picture": ("have a box outside the picture", "有位于图片之外的框"),
    "a label that the training part does not have": (
        "have a label that the training part does not have",
        "含有训练部分中没有的标签",
    ),
}


def check_boxes(
    table: Table,
    name: str,
    *,
    split: str,
    known: Collection[str] | None = None,
    extents: NDArray[np.int64] | None = None,
) -> tuple[Counter[str], list[Finding], list[Quarantined]]:
    """How many objects of each class there are, findings on the column ``name``, and the cells that cannot be used.

    Args:
        table: one part of the data.
        name: the target column.
        split: the part.
        known: the classes of the training part; None where this is the training part.
        extents: [N, 2], height and width of each row's upright picture, 0 where it has none.
    """
    counts: Counter[str] = Counter()
    bad: dict[str, _Cells] = {}
    cut: _Cells = []
    flat: _Cells = []
    quarantine: list[Quarantined] = []
    numbers = table.row_numbers
    for row, value in enumerate(value for values in table.iterate(name) for value in values):
        extent = None if extents is None or not extents[row].all() else (int(extents[row, 0]), int(extents[row, 1]))
        try:
            boxes = read_objects(value)
            reason, shown = _problem(boxes, known, extent)
        except DataError as error:
            boxes, reason, shown = None, "no boxes that can be read", error.got
        if reason is not None:
            bad.setdefault(reason, []).append((row, shown))
            told, said = f"{reason}: {shown}" if shown else reason, shortened(cell_text(value) or "", limit=_LONGEST)
            quarantine.append(Quarantined(split, row, int(numbers[row]), name, said, told))
            continue
        boxes = boxes or []
        counts.update(box.label for box in boxes if box.has_area)
        cut += [(row, _shown(box, extent)) for box in boxes if extent and _reaches_over(box, extent)][:1]
        flat += [(row, _shown(box, extent)) for box in boxes if not box.has_area][:1]
    all_bad = len(quarantine) == len(table)
    findings = _cell_findings(
        CellFindings(name, split, numbers), bad, cut, flat, severity="error" if all_bad else "warning"
    )
    if known is None and not all_bad:
        findings += _check_counts(counts, name, split)
    return counts, findings, quarantine


def _cell_findings(
    column: CellFindings, bad: Mapping[str, _Cells], cut: _Cells, flat: _Cells, *, severity: Severity
) -> list[Finding]:
    """A finding for each reason in ``bad``, and for each of the other two kinds of cells."""
    found = []
    for reason, cells in bad.items():
        example = cells[0] if cells[0][1] else None
        found.append(column.finding(severity, len(cells), example, what=_REASONS[reason], remedy=_CORRECT))
    if cut:
        what = ("have boxes that reach over the edge of the picture", "有超出图片边缘的框")
        then = ("; what lies outside is cut off", "；超出部分会被裁去")
        remedy = ("Where it is more than rounding, correct the boxes", "如果不只是取整误差，请更正这些框")
        found.append(column.finding("warning", len(cut), cut[0], what=what, then=then, remedy=remedy))
    if flat:
        what = ("have boxes without an area", "有面积为零的框")
        then = ("; these boxes are left out", "；这些框不会被使用")
        remedy = ("Remove these boxes, or draw them anew", "请删除或重新标注这些框")
        found.append(column.finding("warning", len(flat), flat[0], what=what, then=then, remedy=remedy))
    return found


def _problem(
    boxes: list[Box] | None, known: Collection[str] | None, extent: tuple[int, int] | None
) -> tuple[str | None, str]:
    """Why boxes cannot be used, and the first of which that is so."""
    if boxes is None:
        return "no value", ""
    for box in boxes:
        if extent is not None and box.has_area and clip_box(box, extent) is None:
            return "a box outside its picture", _shown(box, extent)
        if known is not None and box.label not in known:
            return "a label that the training part does not have", box.label
    return None, ""


def _reaches_over(box: Box, extent: tuple[int, int]) -> bool:
    height, width = extent
    return min(box.x1, box.y1) < -_TOLERANCE or box.x2 > width + _TOLERANCE or box.y2 > height + _TOLERANCE


def _shown(box: Box, extent: tuple[int, int] | None) -> str:
    sides = ", ".join(f"{side:g}" for side in box[1:5])
    picture = f" in {extent[1]} x {extent[0]}" if extent else ""
    return shortened(f"{box.label} [{sides}]{picture}", limit=80)


def _check_counts(counts: Counter[str], name: str, split: str) -> list[Finding]:
    if not counts:
        return [
            Finding(
                "error",
                name,
                split,
                0,
                message=f"No cell of '{name}' in {split} has a box; there is nothing to learn.",
                message_zh=f"{part_zh(split)}的“{name}”列没有任何框；没有可学习的内容。",
                remedy="Check that this is the column with the boxes",
                remedy_zh="请确认这是存放边界框的列",
            )
        ]
    rare = sorted(label for label, count in counts.items() if count < _MIN_OBJECTS)
    if not rare:
        return []
    names, names_zh = listed(rare, limit=_NUM_SHOWN)
    return [
        Finding(
            "warning" if 2 * len(rare) > len(counts) else "note",
            name,
            split,
            sum(counts[label] for label in rare),
            message=f"{len(rare):,} of {len(counts):,} classes of '{name}' have fewer than {_MIN_OBJECTS} objects in "
            f"{split}: {names}.",
            message_zh=f"“{name}”的 {len(counts):,} 个类别中有 {len(rare):,} 个在{part_zh(split)}中"
            f"不足 {_MIN_OBJECTS} 个目标：{names_zh}。",
            remedy="Add pictures of these classes, or join them into one",
            remedy_zh="请增加这些类别的图片，或将它们合并",
        )
    ]
