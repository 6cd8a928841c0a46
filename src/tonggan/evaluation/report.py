"""Write a run's result as one self-contained HTML page in English and Chinese.

The page loads nothing, runs no script (its own policy forbids both), and escapes whatever came from the data. Nothing
is computed here: ``content.py`` says what a page shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup

from tonggan.evaluation.charts import Line, line_chart, reliability_chart, scatter_chart, threshold_chart
from tonggan.evaluation.content import PartResult, ReportContent
from tonggan.evaluation.permutation import ColumnImportance
from tonggan.evaluation.verdict import MIN_ROWS
from tonggan.evaluation.wording import (
    Words,
    constant_words,
    format_gain,
    format_score,
    input_words,
    is_share,
    kind_words,
    metric_words,
    part_words,
    task_words,
)
from tonggan.files import whole_file
from tonggan.wording import catalog, language


def write_report(path: Path, *, content: ReportContent) -> None:
    """Write ``content`` to ``path`` as HTML; an older page there is replaced at once or not at all."""
    text = render_report(content)
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def render_report(content: ReportContent) -> str:
    """The page as text."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.globals.update(
        metric_name=_metric_name,
        score=format_score,
        gain=format_gain,
        in_chinese=catalog().translate,
        two=Words,
        task_words=task_words,
        kind_words=kind_words,
        part_words=part_words,
        input_words=input_words,
        constant_words=constant_words,
        interval=_interval,
        min_rows=MIN_ROWS,
        gain_interval=_gain_interval,
        importance_top=_greatest,
        share=_share,
        bar=_bar,
        heat=_heat,
        charts=_charts(content),
        reliability_chart=reliability_chart,
        threshold_chart=threshold_chart,
        scatter_chart=scatter_chart,
    )
    template = environment.from_string(files("tonggan.evaluation").joinpath("report.html").read_text(encoding="utf-8"))
    metric_names = list(dict.fromkeys(name for part in content.results for name in part.metrics))
    headline = content.results[-1]
    leading = [name for name in (content.score_name, "f1_rare") if name in headline.metrics]
    return template.render(
        content=content, headline=headline, leading=leading, metric_names=metric_names, opens_in=language()
    )


def _metric_name(name: str) -> Words:
    return metric_words(name).capitalized()


def _interval(part: PartResult, name: str) -> str:
    """The 95 % interval of a metric, with the unit once; empty where there is none."""
    if name not in part.intervals:
        return ""
    low, high = (format_score(name, value) for value in part.intervals[name])
    return f"{low.removesuffix(' %')} – {high}"


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
        "loss": line_chart(losses, x_label=step, y_label=Words("Loss", "损失")),
        "score": line_chart(scores, x_label=step, y_label=_metric_name(content.score_name)),
    }
    return {name: chart for name, chart in charts.items() if chart}


def _points(content: ReportContent, key: str) -> list[tuple[float, float]]:
    entries: list[Mapping[str, Any]] = [entry for entry in content.history if entry.get(key) is not None]
    return [(float(entry["step"]), float(entry[key])) for entry in entries]
