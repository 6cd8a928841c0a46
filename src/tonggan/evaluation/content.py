"""What a report shows, as plain data that whoever ran the training fills in.

Nothing here is computed or drawn; ``examples.py`` picks what is worth showing, ``report.py`` writes the page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tonggan.data.findings import Finding
from tonggan.evaluation.audit import Audit
from tonggan.evaluation.calibration import ReliabilityBin
from tonggan.evaluation.constant import AgainstConstant
from tonggan.evaluation.subsets import SubsetRow
from tonggan.evaluation.wording import Words


@dataclass(frozen=True)
class SplitSummary:
    """One part of the data: its rows, where they came from, and how many of them are in the quarantine list."""

    name: str
    num_rows: int
    source: str
    num_quarantined: int = 0


@dataclass(frozen=True)
class ColumnSummary:
    """One column: what it is used as, its kind, and why that kind was chosen."""

    name: str
    role: Literal["input", "target", "ignored"]
    kind: str
    reason: str


@dataclass(frozen=True)
class PartResult:
    """The metrics on one part of the data, with their 95 % intervals."""

    name: str
    num_rows: int
    metrics: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Confusion:
    """How often each class (row) was taken for each (column), the largest classes only.

    Attributes:
        labels: names of the classes shown.
        counts: ``counts[i][j]`` rows of class i were predicted as class j.
        num_hidden: how many classes are not shown.
    """

    labels: Sequence[str]
    counts: Sequence[Sequence[int]]
    num_hidden: int


@dataclass(frozen=True)
class Calibration:
    """Reliability before and after the temperature."""

    temperature: float
    before: Sequence[ReliabilityBin]
    after: Sequence[ReliabilityBin]


@dataclass(frozen=True)
class Thresholds:
    """What a model of two classes would be worth if it said ``label`` from other probabilities on.

    Attributes:
        label: the rarer class.
        used: the threshold of the predictions.
        curve: threshold, precision and recall, by threshold.
        best: that of the curve with the greatest F1.
        best_f1: that F1.
    """

    label: str
    used: float
    curve: Sequence[tuple[float, float, float]]
    best: float
    best_f1: float


@dataclass(frozen=True)
class Scatter:
    """True and predicted numbers of one regression target."""

    name: str
    truth: Sequence[float]
    predicted: Sequence[float]


@dataclass(frozen=True)
class Cell:
    """One input of one row as a person sees or hears it.

    ``content`` is a ``data:`` address for ``image`` and ``audio``, else the text; None where the input is absent.
    """

    name: str
    kind: Literal["image", "audio", "text"]
    content: str | None


@dataclass(frozen=True)
class Mistake:
    """One row that the model got wrong.

    Attributes:
        row: its number in the user's own table, counted from 1.
        predicted: how the prediction reads.
        truth: how the target reads.
        cells: its inputs.
    """

    row: int
    predicted: str
    truth: str
    cells: Sequence[Cell]


@dataclass(frozen=True)
class ReportContent:
    """Everything on the page; what is empty or None is left out of it.

    Attributes:
        title: e.g. the name of the run.
        target: the predicted column or columns.
        task_kind: e.g. ``multiclass``.
        score_name: the metric of the headline.
        results: one or more parts; the last one is the headline, so put the test part last.
        inputs: the names of the model's inputs.
        constant: the model beside the constant answer.
        rare_class: the class that the metrics of the rare class are of.
        settings_to_try: ``KEY=VALUE``, of a recipe that may serve better.
        parts: of the headline's rows, those with each value of the column ``parts_by``.
        parts_by: that column.
        splits: the parts of the data.
        columns: all columns of the table.
        findings: of the data doctor.
        subsets: the subsets table.
        audit: the audit.
        history: one entry for each evaluation during training, as ``TrainingResult.history``.
        confusion: for classes.
        thresholds: for two classes.
        calibration: for tasks with probabilities.
        scatters: for regression, one for each target.
        mistakes: the worst first.
        writes: whether the task writes text.
        recipe: as YAML.
        facts: name and value, e.g. seed, seconds, machine, versions, the fingerprint of the data.
    """

    title: str
    target: str
    task_kind: str
    score_name: str
    results: Sequence[PartResult]
    inputs: Sequence[str] = ()
    constant: AgainstConstant | None = None
    rare_class: str | None = None
    settings_to_try: Sequence[str] = ()
    parts: Sequence[PartResult] = ()
    parts_by: str = ""
    splits: Sequence[SplitSummary] = ()
    columns: Sequence[ColumnSummary] = ()
    findings: Sequence[Finding] = ()
    subsets: Sequence[SubsetRow] = ()
    audit: Audit | None = None
    history: Sequence[Mapping[str, Any]] = ()
    confusion: Confusion | None = None
    thresholds: Thresholds | None = None
    calibration: Calibration | None = None
    scatters: Sequence[Scatter] = ()
    mistakes: Sequence[Mistake] = ()
    writes: bool = False
    recipe: str = ""
    facts: Sequence[tuple[Words, Words]] = ()
