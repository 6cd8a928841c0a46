"""Write a run's result as one self-contained HTML page in English and Chinese.

The page loads nothing, runs no script (its own policy forbids both), and escapes whatever came from the data. Nothing
is computed here: whoever ran the training fills in a ``ReportContent``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from markupsafe import Markup

from tonggan.data.findings import Finding
from tonggan.evaluation.audit import Audit
from tonggan.evaluation.bootstrap import MIN_ROWS
from tonggan.evaluation.charts import draw
from tonggan.evaluation.mistakes import Mistake
from tonggan.evaluation.permutation import ColumnImportance
from tonggan.evaluation.subsets import SubsetRow
from tonggan.evaluation.verdict import AgainstConstant
from tonggan.evaluation.wording import (
    CONSTANT_ANSWER,
    format_gain,
    format_score,
    input_words,
    is_share,
    kind_words,
    metric_words,
    part_words,
)
from tonggan.files import whole_file
from tonggan.tasks.base import Advice
from tonggan.tasks.figures import Chart, Line, Section
from tonggan.tasks.measure import Measure
from tonggan.wording import Words, catalog, language

if TYPE_CHECKING:
    from jinja2 import BytecodeCache, Environment
    from jinja2.bccache import Bucket


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
class MemberSummary:
    """How one member of an ensemble did.

    Attributes:
        name: of the member.
        score: the task's, on rows that it has not learned from; None where it could not be fitted.
        weight: in what is served; 0 where it was left out.
        seconds: that fitting it took.
        problem: why it could not be fitted.
    """

    name: str
    score: float | None
    weight: float
    seconds: float
    problem: str | None = None


@dataclass(frozen=True)
class TrialSummary:
    """One trial of a study.

    Attributes:
        number: from 1.
        rows: how many were measured, by part.
        metrics: by part.
        seconds: that it took.
    """

    number: int
    rows: Mapping[str, int]
    metrics: Mapping[str, Mapping[str, float]]
    seconds: float


@dataclass(frozen=True)
class StudySummary:
    """How several trials of one recipe did: what they differ by, and each of them."""

    kind: Literal["folds", "seeds"]
    trials: Sequence[TrialSummary]

    @property
    def parts(self) -> list[str]:
        """The parts that every trial was measured on."""
        return list(self.trials[0].metrics)

    def mean(self, part: str) -> dict[str, float]:
        """The mean of each metric over the trials."""
        return {name: float(np.mean(values)) for name, values in self._values(part).items()}

    def spread(self, part: str) -> dict[str, float]:
        """The standard deviation of each metric over the trials, as that of a sample."""
        return {name: float(np.std(values, ddof=1)) for name, values in self._values(part).items()}

    def _values(self, part: str) -> dict[str, list[float]]:
        """Of the metrics that all trials have: a fold may lack a class."""
        metrics = [trial.metrics[part] for trial in self.trials]
        return {name: [each[name] for each in metrics] for name in metrics[0] if all(name in each for each in metrics)}

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "kind": self.kind,
            "trials": [asdict(trial) for trial in self.trials],
            "mean": {part: self.mean(part) for part in self.parts},
            "spread": {part: self.spread(part) for part in self.parts},
        }


@dataclass(frozen=True)
class ReportContent:
    """Everything on the page; what is empty or None is left out of it.

    Attributes:
        title: e.g. the name of the run.
        target: the predicted column or columns.
        task: what the task is called.
        score_name: the metric that decides.
        leading: the metrics of the headline.
        results: one or more parts; the last one is the headline, so put the test part last.
        inputs: the names of the model's inputs.
        constant: the model beside the constant answer.
        always: what the constant answer is called.
        notes: what a reader of the metrics must know.
        advice: what may serve better.
        parts: of the headline's rows, those with each value of the column ``parts_by``.
        parts_by: that column.
        splits: the parts of the data.
        columns: all columns of the table.
        findings: of the data doctor.
        subsets: the subsets table.
        audit: the audit.
        history: one entry for each evaluation during training, as ``TrainingResult.history``.
        members: of an ensemble, all that were tried.
        study: the trials whose mean is served.
        without_network: the score of the members together without the network that is one of them.
        sections: what the measure of the headline's rows shows.
        mistakes: the worst first.
        mistakes_title: what they are called.
        mistakes_note: the same in a sentence.
        recipe: as YAML.
        facts: name and value, e.g. seed, seconds, machine, versions, the fingerprint of the data.
    """

    title: str
    target: str
    task: Words
    score_name: str
    results: Sequence[PartResult]
    leading: Sequence[str] = ()
    inputs: Sequence[str] = ()
    constant: AgainstConstant | None = None
    always: Words = CONSTANT_ANSWER
    notes: Sequence[Words] = ()
    advice: Advice | None = None
    parts: Sequence[PartResult] = ()
    parts_by: str = ""
    splits: Sequence[SplitSummary] = ()
    columns: Sequence[ColumnSummary] = ()
    findings: Sequence[Finding] = ()
    subsets: Sequence[SubsetRow] = ()
    audit: Audit | None = None
    history: Sequence[Mapping[str, Any]] = ()
    members: Sequence[MemberSummary] = ()
    study: StudySummary | None = None
    without_network: float | None = None
    sections: Sequence[Section] = ()
    mistakes: Sequence[Mistake] = ()
    mistakes_title: Words = Measure.worst_title
    mistakes_note: Words = Measure.worst_note
    recipe: str = ""
    facts: Sequence[tuple[Words, Words]] = ()


def write_report(path: Path, *, content: ReportContent) -> None:
    """Write ``content`` to ``path`` as HTML; an older page there is replaced at once or not at all."""
    text = render_report(content)
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def render_report(content: ReportContent) -> str:
    """The page as text."""
    metric_names = list(dict.fromkeys(name for part in content.results for name in part.metrics))
    headline = content.results[-1]
    leading = [name for name in content.leading or (content.score_name,) if name in headline.metrics]
    return page(
        "report.html",
        content=content,
        headline=headline,
        leading=leading,
        metric_names=metric_names,
        metric_name=_metric_name,
        score=format_score,
        gain=format_gain,
        spread=_spread,
        in_chinese=catalog().translate,
        two=Words,
        kind_words=kind_words,
        part_words=part_words,
        input_words=input_words,
        interval=_interval,
        min_rows=MIN_ROWS,
        gain_interval=_gain_interval,
        importance_top=_greatest,
        share=_share,
        bar=_bar,
        heat=_heat,
        charts=_charts(content),
        draw=draw,
    )


def page(template: str, **values: Any) -> str:
    """A page of this package's templates, which opens in the reader's language and escapes whatever is filled in."""
    environment = _environment()
    environment.globals.update(values)  # macros see these
    return environment.get_template(template).render(opens_in=language())


def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    return Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FunctionLoader(lambda name: files("tonggan.evaluation").joinpath(name).read_text(encoding="utf-8")),
        bytecode_cache=_compiled_templates(),
    )


@cache
def _compiled_templates() -> BytecodeCache:
    """Of this process: compiling them takes longer than all else that is done for a page."""
    from jinja2 import BytecodeCache

    class Compiled(BytecodeCache):
        def __init__(self) -> None:
            self.held: dict[str, CodeType | None] = {}

        def load_bytecode(self, bucket: Bucket) -> None:
            bucket.code = self.held.get(bucket.key)

        def dump_bytecode(self, bucket: Bucket) -> None:
            self.held[bucket.key] = bucket.code

    return Compiled()


def _metric_name(name: str) -> Words:
    return metric_words(name).capitalized()


def _interval(part: PartResult, name: str) -> str:
    """The 95 % interval of a metric, with the unit once; empty where there is none."""
    if name not in part.intervals:
        return ""
    low, high = (format_score(name, value) for value in part.intervals[name])
    return f"{low.removesuffix(' %')} – {high}"


def _spread(name: str, mean: float, deviation: float) -> str:
    """Mean and standard deviation of a metric, with the unit once."""
    return f"{format_score(name, mean).removesuffix(' %')} ± {format_score(name, deviation)}"


def _gain_interval(name: str, pair: tuple[float, float]) -> str:
    """The 95 % interval of a gain, without its unit."""
    low, high = (format_gain(name, value).english.removesuffix(" points") for value in pair)
    return f"{low} – {high}"


def _greatest(columns: Sequence[ColumnImportance]) -> float:
    return max([*(column.importance for column in columns), 1e-12])


def _share(value: float, greatest: float) -> str:
    """The width of a bar as a CSS length; nothing below zero."""
    return f"{100 * max(0.0, value / greatest):.1f}%"


def _bar(value: float, *, name: str, scores: Mapping[str, float]) -> str:
    """The width of a score's bar as a CSS length: of 1 for a share, else of the greatest score shown."""
    top = 1.0 if is_share(name) else max([*scores.values(), 1e-12])
    return f"{100 * min(1.0, max(0.0, value / top)):.1f}%"


def _heat(count: int, *, total: int) -> str:
    """How strongly a cell of the confusion matrix is colored, in percent."""
    return f"{round(90 * count / total) if total else 0}%"


def _charts(content: ReportContent) -> Mapping[str, Markup]:
    """The learning curves by what they show; one evaluation makes no curve."""
    if len(content.history) < 2:
        return {}
    step = Words("Step", "步数")
    losses = [
        Line(Words("training", "训练"), _points(content, "train_loss")),
        Line(Words("validation", "验证"), _points(content, "valid_loss")),
    ]
    scores = [Line(Words("validation", "验证"), _points(content, "valid_score"))]
    charts = {
        "loss": draw(Chart(step, Words("Loss", "损失"), losses)),
        "score": draw(Chart(step, _metric_name(content.score_name), scores)),
    }
    return {name: chart for name, chart in charts.items() if chart}


def _points(content: ReportContent, key: str) -> list[tuple[float, float]]:
    entries: list[Mapping[str, Any]] = [entry for entry in content.history if entry.get(key) is not None]
    return [(float(entry["step"]), float(entry[key])) for entry in entries]
