"""Write what a tuning found as one self-contained HTML page in English and Chinese, like the report of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from markupsafe import Markup

from tonggan.evaluation.charts import draw
from tonggan.evaluation.report import page
from tonggan.evaluation.wording import format_score, metric_words
from tonggan.files import whole_file
from tonggan.tasks.figures import Chart, Line
from tonggan.wording import Words

_MOST_SLICES = 8
_TRIAL = Words("Trial", "试验")
State = Literal["finished", "given up", "failed"]
_STATES: Mapping[State, Words] = {
    "finished": Words("finished", "完成"),
    "given up": Words("given up", "提前停止"),
    "failed": Words("failed", "失败"),
}


@dataclass(frozen=True)
class TunedTrial:
    """One trial of a tuning.

    Attributes:
        number: from 1.
        state: how it ended.
        score: on the validation part; None unless it is finished.
        values: what was set, by the path of a field.
        seconds: that it took.
        problem: why it failed.
    """

    number: int
    state: State
    score: float | None
    values: Mapping[str, Any]
    seconds: float
    problem: str | None = None


@dataclass(frozen=True)
class TuningContent:
    """Everything on the page.

    Attributes:
        title: what is predicted.
        score_name: the metric that decides.
        greater_is_better: whether more of it is better.
        trials: in the order in which they were proposed.
        best: one of them.
        importance: by path, how much of the scores' differences comes of a field.
        logarithmic: by path, whether a field is shown by its logarithm.
        recipe: with the best values, as YAML.
    """

    title: str
    score_name: str
    greater_is_better: bool
    trials: Sequence[TunedTrial]
    best: TunedTrial
    importance: Mapping[str, float]
    logarithmic: Mapping[str, bool]
    recipe: str


def write_tuning_report(path: Path, *, content: TuningContent) -> None:
    """Write ``content`` to ``path`` as HTML; an older page there is replaced at once or not at all."""
    words = metric_words(content.score_name).capitalized()
    text = page(
        "tuning.html",
        content=content,
        metric=words,
        score=lambda value: format_score(content.score_name, value),
        shown=_shown,
        history=_history(content, words),
        slices=_slices(content, words),
        states=_STATES,
    )
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _history(content: TuningContent, words: Words) -> Markup:
    """The score of each finished trial, and the best so far."""
    found = [(each.number, each.score) for each in content.trials if each.score is not None]
    best: list[tuple[float, float]] = []
    for number, score in found:
        so_far = [each for _, each in best[-1:]] + [score]
        best.append((float(number), max(so_far) if content.greater_is_better else min(so_far)))
    dots = [(float(number), score) for number, score in found]
    return draw(Chart(_TRIAL, words, [Line(Words("best so far", "目前最佳"), best)], dots=dots))


def _slices(content: TuningContent, words: Words) -> list[tuple[str, Markup]]:
    """Of the fields that matter most, the score of each trial by what was set."""
    order = sorted(content.best.values, key=lambda path: -content.importance.get(path, 0.0))
    charts = []
    for path in order[:_MOST_SLICES]:
        finished = [each for each in content.trials if each.score is not None]
        numbers = [each.values[path] for each in finished]
        if any(isinstance(number, bool) or not isinstance(number, int | float) for number in numbers):
            continue  # what is no number has no axis; the table shows it
        is_log = content.logarithmic.get(path, False)
        dots = [
            (math.log10(number) if is_log else float(number), each.score)
            for number, each in zip(numbers, finished, strict=True)
            if each.score is not None
        ]
        label = Words(f"log10 {path}", f"{path} 的对数") if is_log else Words(path, path)
        charts.append((path, draw(Chart(label, words, dots=dots))))
    return charts
