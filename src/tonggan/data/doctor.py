"""The data doctor: what a person should know about their tables before a model learns from them.

It stands at both doors: before training, and before a trained model is applied to new rows, which it compares with the
training part. It looks and tells; it changes nothing. What it finds is a list of findings in English and Chinese, and a
quarantine list of the cells that cannot be used.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tonggan.data.column_checks import check_cells, check_layout, check_media, check_unread
from tonggan.data.comparison import compare_column
from tonggan.data.findings import SEVERITIES, Finding, Quarantined
from tonggan.data.leaks import find_duplicates, find_leaks
from tonggan.data.other_writing import find_other_writing
from tonggan.data.profiles import ColumnProfile, MediaProfile, profile_columns
from tonggan.data.region_scan import RegionColumn
from tonggan.data.scan import MediaColumn
from tonggan.data.table import Table
from tonggan.data.target_checks import TargetColumn, TargetTask
from tonggan.errors import DataError
from tonggan.files import whole_file
from tonggan.modalities import ColumnConfig, NumericConfig
from tonggan.wording import Bilingual

NEW_ROWS = "the table"
"""What the only part of the data is called where a model is applied."""
_CORRECT = "Correct the cells that the run's quarantine.csv names, or allow more with --max-bad"
_MOST_TOLD = 20  # findings, of as many lines


@dataclass(frozen=True)
class Diagnosis:
    """What the doctor found.

    Attributes:
        findings: errors first, then warnings, then notes.
        quarantine: the cells that cannot be used: files that are not where the table says or that cannot be decoded,
            and targets without a usable value. An empty cell of an input is not among them.
        num_rows: number of rows of each part.
        columns: name, kind and reason for that kind of each column.
        profiles: what the input columns of the training part are like.
        other_writing: by part, how columns of numbers are read there that are written in another way than in training.
    """

    findings: Sequence[Finding]
    quarantine: Sequence[Quarantined]
    num_rows: Mapping[str, int]
    columns: Sequence[tuple[str, str, str]] = ()
    profiles: Mapping[str, ColumnProfile] = field(default_factory=dict)
    other_writing: Mapping[str, Mapping[str, NumericConfig]] = field(default_factory=dict)

    @property
    def aloud(self) -> list[Finding]:
        """The findings that a person is told without asking: all but notes, and what is read in another way."""
        return [
            finding
            for finding in self.findings
            if finding.severity != "note" or finding.column in self.other_writing.get(finding.split or "", ())
        ]

    def told(self) -> list[Bilingual]:
        """The lines of a run that tell what is found aloud; of very many findings the first and how many follow."""
        found = self.aloud
        lines = [finding.told() for finding in found[:_MOST_TOLD]]
        if more := len(found) - len(lines):
            lines.append(Bilingual(f"Doctor: … and {more:,} more findings.", f"数据检查：……另有 {more:,} 条。"))
        return lines

    @property
    def has_errors(self) -> bool:
        """Whether training, or measuring, makes no sense."""
        return any(finding.severity == "error" for finding in self.findings)

    def rows(self, split: str, *, columns: Sequence[str] | None = None) -> NDArray[np.int64]:
        """The rows of ``split`` in the quarantine list, ascending; only for cells of ``columns`` if given."""
        bad = (each for each in self.quarantine if each.split == split and (columns is None or each.column in columns))
        return np.unique(np.array([each.row for each in bad], dtype=np.int64))

    def check(self, *, max_bad: float, remedy: str = _CORRECT) -> None:
        """Stop where nothing can be learned or measured, or more than the share ``max_bad`` of a part's rows is bad.

        One row of a part, however few rows that has, only counts where ``max_bad`` is 0.

        Raises:
            DataError: with the first error found, or the share and an example.
        """
        for finding in self.findings:
            if finding.severity == "error":
                raise DataError(
                    "data",
                    got=Bilingual(finding.message.rstrip("."), finding.message_zh.rstrip("。")),
                    expected="data that can be used",
                    remedy=Bilingual(finding.remedy, finding.remedy_zh),
                )
        for split, num_rows in self.num_rows.items():
            num_bad = len(self.rows(split))
            if num_bad > max(max_bad * num_rows, max_bad > 0):
                example = next(entry for entry in self.quarantine if entry.split == split)
                raise DataError(
                    "data" if split == NEW_ROWS else f"data, part {split}",
                    got=f"{num_bad:,} of {num_rows:,} rows ({num_bad / num_rows:.1%}) with cells that cannot be used, "
                    f"e.g. '{example.value}' in column '{example.column}' of row {example.number}: {example.reason}",
                    expected=f"at most {max_bad:.1%}",
                    remedy=remedy,
                )

    def write_quarantine(self, path: Path) -> None:
        """Write the quarantine list as CSV, whole or not at all: split, row, column, value, reason.

        A row is that of the user's own table, counted from 1 below its header.

        Raises:
            DataError: the file cannot be written.
        """
        try:
            with whole_file(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(("split", "row", "column", "value", "reason"))
                writer.writerows((bad.split, bad.number, bad.column, bad.value, bad.reason) for bad in self.quarantine)
        except OSError as error:
            raise DataError(
                f"file {path}",
                got=error.strerror or str(error),
                expected="a place that can be written",
                remedy="Free space or choose another place",
            ) from error

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; of the quarantine list only the number of its cells."""
        return {
            "findings": [finding.to_dict() for finding in self.findings],
            "num_quarantined": len(self.quarantine),
            "num_rows": dict(self.num_rows),
            "columns": [{"name": name, "kind": kind, "reason": reason} for name, kind, reason in self.columns],
        }


def examine(
    tables: Mapping[str, Table],
    *,
    columns: Mapping[str, ColumnConfig],
    media: Mapping[str, Mapping[str, MediaColumn]],
    target: Sequence[str] = (),
    task: TargetTask | None = None,
    reasons: Mapping[str, str] | None = None,
    remarks: Sequence[Finding] = (),
    shown_in: str | None = None,
) -> Diagnosis:
    """Examine all parts of the data.

    Args:
        tables: the parts, e.g. ``train``, ``valid``, ``test``; the first is the training part.
        columns: the kind of each column.
        media: the scanned columns by part and name.
        target: the columns to predict; without one, only inputs are examined.
        task: what is to be learned of the target; needed with one.
        reasons: why each column is of its kind, to be told along.
        remarks: what was found already.
        shown_in: the column with the pictures that the target lies in, if it does.

    Raises:
        DataError: a part lacks a column that the model reads.
    """
    inputs = [name for name, config in columns.items() if name not in target and config.is_used]
    findings = [*_of_tables(tables), *remarks]
    quarantine: list[Quarantined] = []
    train = next(iter(tables))
    profiles = profile_columns(tables[train], {name: columns[name] for name in inputs}, media=media[train])
    for name, profile in profiles.items():
        findings += check_unread(name, profile, split=train) if isinstance(profile, MediaProfile) else []
    for split, table in tables.items():
        findings += check_layout(table, split=split)
    writing, found = _find_writing(tables, {name: columns[name] for name in (*inputs, *target)}, profiles)
    findings += found
    for split, table in tables.items():
        own = {name: writing[split].get(name, columns[name]) for name in inputs}
        known = {} if split == train else profiles
        found, bad = _check_inputs(table, own, known, media=media[split], split=split, is_train=split == train)
        findings += found
        quarantine += bad
    for name in target:
        assert task is not None, "a target needs its task"
        read = {split: own.get(name, columns[name]) for split, own in writing.items()}
        found, bad = _check_target(tables, name, task, configs=read, media=media, shown_in=shown_in)
        findings += found
        quarantine += bad
    if inputs:
        cells_only = all(columns[name].form in ("number", "name") for name in inputs)
        findings += find_duplicates(tables, inputs=inputs, media=media, cells_only=cells_only)
        numbers = task is not None and task.predicts_numbers
        findings += find_leaks(tables[train], columns=columns, inputs=inputs, target=target, regression=numbers)
    told = [(name, config.kind, (reasons or {}).get(name, "")) for name, config in columns.items()]
    num_rows = {split: len(table) for split, table in tables.items()}
    return Diagnosis(_worst_first(findings), quarantine, num_rows, told, profiles, writing)


def _of_tables(tables: Mapping[str, Table]) -> list[Finding]:
    """What their readers have found. A part cut off from another is the same table, of which it is said once."""
    first: dict[str, str] = {}
    for split, table in tables.items():
        first.setdefault(table.source, split)
    return [replace(finding, split=split) for split in first.values() for finding in tables[split].findings]


def _check_target(
    tables: Mapping[str, Table],
    name: str,
    task: TargetTask,
    *,
    configs: Mapping[str, ColumnConfig],
    media: Mapping[str, Mapping[str, MediaColumn]],
    shown_in: str | None,
) -> tuple[list[Finding], list[Quarantined]]:
    """Findings on the target ``name`` in all parts that have it, and its rows that have no usable value."""
    findings: list[Finding] = []
    quarantine: list[Quarantined] = []
    known: list[str] | None = None
    for split, table in tables.items():
        if name in table.names:
            column = _target_column(
                table, name, split, configs[split], known=known, media=media[split], shown_in=shown_in
            )
            counts, found, bad = task.check(column)
            known = list(counts) if known is None else known
            findings += found
            quarantine += bad
    return findings, quarantine


def _target_column(
    table: Table,
    name: str,
    split: str,
    config: ColumnConfig,
    *,
    known: Sequence[str] | None,
    media: Mapping[str, MediaColumn],
    shown_in: str | None,
) -> TargetColumn:
    """The target ``name`` of one part with what was scanned of it: its masks, and the pictures that it lies in."""
    masks, pictures = media.get(name), media.get(shown_in or "")
    return TargetColumn(
        table,
        name,
        split,
        config,
        known=known,
        extents=None if pictures is None else pictures.extents,
        masks=masks if isinstance(masks, RegionColumn) else None,
    )


def _find_writing(
    tables: Mapping[str, Table], columns: Mapping[str, ColumnConfig], profiles: Mapping[str, ColumnProfile]
) -> tuple[dict[str, dict[str, NumericConfig]], list[Finding]]:
    """By part, how columns are read that are written in another way than in the first one, the training part."""
    writing: dict[str, dict[str, NumericConfig]] = {}
    findings: list[Finding] = []
    for split, table in tables.items():
        if not writing:
            writing[split] = {}
        else:
            writing[split], found = find_other_writing(table, columns, profiles, split=split)
            findings += found
    return writing, findings


def examine_rows(
    table: Table,
    *,
    columns: Mapping[str, ColumnConfig],
    media: Mapping[str, MediaColumn],
    profiles: Mapping[str, ColumnProfile],
    target: Mapping[str, ColumnConfig] | None = None,
    task: TargetTask | None = None,
    labels: Sequence[str] = (),
    shown_in: str | None = None,
) -> Diagnosis:
    """Examine rows that a model is to be applied to, beside the training part.

    Args:
        table: the rows.
        columns: the kind of each column that is read and that the table has.
        media: the scanned ones of them.
        profiles: of the training part's columns; those without one are compared with nothing.
        target: the columns that the model predicts, where the rows are to be measured.
        task: of the model; needed with a target.
        labels: the classes that the task has learned.
        shown_in: the column with the pictures that the target lies in, if it does.
    """
    target = target or {}
    writing, findings = find_other_writing(table, {**columns, **target}, profiles, split=NEW_ROWS)
    read = {name: writing.get(name, config) for name, config in columns.items()}
    found, quarantine = _check_inputs(table, read, profiles, media=media, split=NEW_ROWS, is_train=False)
    findings += found
    for name, config in target.items():
        assert task is not None, "a target needs its task"
        own = writing.get(name, config)
        column = _target_column(table, name, NEW_ROWS, own, known=labels, media=media, shown_in=shown_in)
        _, found, bad = task.check(column)
        findings += found
        quarantine += bad
    findings = _worst_first([*table.findings, *findings])
    return Diagnosis(findings, quarantine, {NEW_ROWS: len(table)}, other_writing={NEW_ROWS: writing})


def _check_inputs(
    table: Table,
    columns: Mapping[str, ColumnConfig],
    profiles: Mapping[str, ColumnProfile],
    *,
    media: Mapping[str, MediaColumn],
    split: str,
    is_train: bool,
) -> tuple[list[Finding], list[Quarantined]]:
    """What is wrong with the input ``columns`` by themselves, and beside the training part's ``profiles``."""
    findings: list[Finding] = []
    quarantine: list[Quarantined] = []
    for name, config in columns.items():
        profile, column = profiles.get(name), media.get(name)
        compared = profile is not None
        if column is not None:
            found, bad = check_media(
                table, name, column, config=config, split=split, is_train=is_train, is_compared=compared
            )
            findings += found
            quarantine += bad
        else:
            findings += check_cells(table, name, config=config, split=split, is_train=is_train, is_compared=compared)
        if profile is not None:
            found, bad = compare_column(table, name, config=config, profile=profile, media=column, split=split)
            findings += found
            quarantine += bad
    return findings, quarantine


def _worst_first(findings: Sequence[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))
