"""Is the model any better than always giving the same answer? What a report says before any number.

The constant answer is the task's baseline of the training part: the most frequent class, the label frequencies, the
mean, the most common text.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from torch import Tensor

from tonggan.evaluation.intervals import REPEATS, interval, resample
from tonggan.evaluation.verdict import MIN_DIFFERENT_ROWS, MIN_ROWS
from tonggan.evaluation.wording import Words, constant_words, format_gain, format_score, metric_words
from tonggan.tasks.base import Task

_HEADLINES = {
    "yes": Words("", ""),
    "no": Words("This model does not beat the constant answer.", "该模型并不优于固定答案。"),
    "uncertain": Words(
        "It is not certain that this model beats the constant answer.", "尚不能确定该模型优于固定答案。"
    ),
    "too few rows": Words("Too few rows were measured to judge this model.", "测量的数据行太少，无法评判该模型。"),
}

Beaten = Literal["yes", "no", "uncertain", "too few rows"]


@dataclass(frozen=True)
class AgainstConstant:
    """A model beside the constant answer, in the task's score.

    Attributes:
        beaten: ``yes`` where the 95 % interval of the gain lies above zero and rests on enough rows, ``no`` where there
            is no gain, ``uncertain`` between, ``too few rows`` below 30.
        score_name: e.g. ``accuracy``.
        num_rows: how many rows were measured.
        model: the model's score.
        constant: that of the constant answer.
        gain: how much better the model is; more is always better, also where a small score is.
        gain_interval: 95 %, from a paired bootstrap over the rows.
        headline: what to say first, in English; empty where the model beats the constant answer.
        headline_zh: the same in Chinese.
        sentence: the numbers behind it, in English.
        sentence_zh: the same in Chinese.
    """

    beaten: Beaten
    score_name: str
    num_rows: int
    model: float
    constant: float
    gain: float
    gain_interval: tuple[float, float] | None
    headline: str
    headline_zh: str
    sentence: str
    sentence_zh: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self) | {"gain_interval": None if self.gain_interval is None else list(self.gain_interval)}


def compare_with_constant(
    task: Task, outputs: Tensor, target: Tensor, *, baseline: Tensor, seed: int, repeats: int = REPEATS
) -> AgainstConstant | None:
    """The model's ``outputs`` beside the constant answer, on the same rows and the same bootstrap draws.

    Args:
        task: gives the score.
        outputs: raw outputs ``[N, num_outputs]``.
        target: encoded targets ``[N, ...]``.
        baseline: the constant answer ``[1, num_outputs]``, ``task.baseline`` of the training part.
        seed: of the draws.
        repeats: how many times the rows are drawn.

    Returns:
        None where the score of the constant answer is undefined, as its perplexity is.
    """
    always = baseline.expand(len(target), -1)
    sign = 1.0 if task.greater_is_better else -1.0
    model, constant = task.score(outputs, target), task.score(always, target)
    if not np.isfinite([model, constant]).all():
        return None
    draws, constant_draws = (
        resample(task, given, target, seed=seed, repeats=repeats, only=task.score_name).get(
            task.score_name, np.empty(0)
        )
        for given in (outputs, always)
    )
    paired = 0 < len(draws) == len(constant_draws)
    gain, gain_interval = sign * (model - constant), interval(sign * (draws - constant_draws)) if paired else None
    different = sum(one != other for one, other in zip(task.decode(outputs), task.decode(always), strict=True))
    beaten = _beaten(gain, gain_interval, num_rows=len(target), num_different=different)
    sentence = _sentence(task, beaten, model, constant, gain_interval, num_rows=len(target))
    return AgainstConstant(
        beaten=beaten,
        score_name=task.score_name,
        num_rows=len(target),
        model=model,
        constant=constant,
        gain=gain,
        gain_interval=gain_interval,
        headline=_HEADLINES[beaten].english,
        headline_zh=_HEADLINES[beaten].chinese,
        sentence=sentence.english,
        sentence_zh=sentence.chinese,
    )


def _beaten(gain: float, gain_interval: tuple[float, float] | None, *, num_rows: int, num_different: int) -> Beaten:
    if num_rows < MIN_ROWS:
        return "too few rows"
    if gain <= 0:
        return "no"
    certain = gain_interval is not None and gain_interval[0] > 0 and num_different >= MIN_DIFFERENT_ROWS
    return "yes" if certain else "uncertain"


def _sentence(
    task: Task,
    beaten: Beaten,
    model: float,
    constant: float,
    gain_interval: tuple[float, float] | None,
    *,
    num_rows: int,
) -> Words:
    if beaten == "too few rows":
        return Words(
            f"Only {num_rows} rows were measured, and on fewer than {MIN_ROWS} a score says next to nothing: measure a "
            "larger table, set more rows aside, or fit with several seeds and look at all their scores.",
            f"只测量了 {num_rows} 行；不足 {MIN_ROWS} 行时，分数几乎说明不了什么：请用更大的表测量、留出更多的行，"
            "或用多个随机种子分别训练并比较各次的分数。",
        )
    name = task.score_name
    metric, always = metric_words(name), constant_words(task.kind)
    scores = format_score(name, model), format_score(name, constant)
    english = (
        f"On {num_rows:,} rows its {metric.english} is {scores[0]}, that of the constant answer "
        f"({always.english}) {scores[1]}"
    )
    chinese = f"在 {num_rows:,} 行上，模型的{metric.chinese}为 {scores[0]}，固定答案（{always.chinese}）为 {scores[1]}"
    if gain_interval is not None:
        low, high = (format_gain(name, bound, signed=True) for bound in gain_interval)
        english += f"; the 95 % interval of the gain is {low.english.removesuffix(' points')} to {high.english}"
        chinese += f"；增益的 95 % 区间为 {low.chinese.removesuffix(' 个百分点')} 至 {high.chinese}"
    if beaten == "yes":
        return Words(f"{english}.", f"{chinese}。")
    return Words(f"{english}. Do not rely on its predictions.", f"{chinese}。请不要依赖它的预测。")
