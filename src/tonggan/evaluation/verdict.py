"""Is the model better than always the same answer, and does fusion pay? The answers as sentences in two languages.

The constant answer is the task's baseline of the training part: the most frequent class, the label frequencies, the
mean, the most common text. A report says so before any number where a model is no better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from tonggan.evaluation.bootstrap import REPEATS, gain_interval, score_draws
from tonggan.evaluation.permutation import ColumnImportance
from tonggan.evaluation.predict import Measured
from tonggan.evaluation.wording import format_gain, format_score, input_words, metric_words
from tonggan.wording import Words

# With fewer rows that differ, no outcome is significant at 5 % by the exact sign test (2 / 2^5 > 0.05), whatever the
# bootstrap says: its intervals are too narrow where so little differs.
MIN_DIFFERENT_ROWS = 6
# On fewer rows no score says much: at 30, an accuracy's interval is still some 35 points wide.
MIN_ROWS = 30


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
    measured: Measured, *, always: Words, seed: int, repeats: int = REPEATS
) -> AgainstConstant | None:
    """The model beside the constant answer, on the same rows and the same bootstrap draws.

    Args:
        measured: both.
        always: what the constant answer is called.
        seed: of the draws.
        repeats: how many times the rows are drawn.

    Returns:
        None where the score of the constant answer is undefined, as its perplexity is.
    """
    measure, greater = measured.measure, measured.measure.greater_is_better
    model, constant = measure.score(), measured.constant.score()
    if not np.isfinite([model, constant]).all():
        return None
    gain = model - constant if greater else constant - model
    draws, constant_draws = (score_draws(each, seed=seed, repeats=repeats) for each in (measure, measured.constant))
    bounds = gain_interval(draws, constant_draws, greater_is_better=greater)
    different = int(measure.differs(measured.constant).sum())
    beaten = _beaten(gain, bounds, num_rows=len(measure), num_different=different)
    scores = format_score(measure.score_name, model), format_score(measure.score_name, constant)
    sentence = _sentence(measure.score_name, beaten, scores, bounds, always=always, num_rows=len(measure))
    return AgainstConstant(
        beaten=beaten,
        score_name=measure.score_name,
        num_rows=len(measure),
        model=model,
        constant=constant,
        gain=gain,
        gain_interval=bounds,
        headline=_HEADLINES[beaten].english,
        headline_zh=_HEADLINES[beaten].chinese,
        sentence=sentence.english,
        sentence_zh=sentence.chinese,
    )


def _beaten(gain: float, bounds: tuple[float, float] | None, *, num_rows: int, num_different: int) -> Beaten:
    if num_rows < MIN_ROWS:
        return "too few rows"
    if gain <= 0:
        return "no"
    certain = bounds is not None and bounds[0] > 0 and num_different >= MIN_DIFFERENT_ROWS
    return "yes" if certain else "uncertain"


def _sentence(
    name: str,
    beaten: Beaten,
    scores: tuple[str, str],
    bounds: tuple[float, float] | None,
    *,
    always: Words,
    num_rows: int,
) -> Words:
    if beaten == "too few rows":
        return Words(
            f"Only {num_rows} rows were measured, and on fewer than {MIN_ROWS} a score says next to nothing: measure a "
            "larger table, set more rows aside, or fit with several seeds and look at all their scores.",
            f"只测量了 {num_rows} 行；不足 {MIN_ROWS} 行时，分数几乎说明不了什么：请用更大的表测量、留出更多的行，"
            "或用多个随机种子分别训练并比较各次的分数。",
        )
    metric = metric_words(name)
    english = (
        f"On {num_rows:,} rows its {metric.english} is {scores[0]}, that of the constant answer "
        f"({always.english}) {scores[1]}"
    )
    chinese = f"在 {num_rows:,} 行上，模型的{metric.chinese}为 {scores[0]}，固定答案（{always.chinese}）为 {scores[1]}"
    if bounds is not None:
        low, high = (format_gain(name, bound, signed=True) for bound in bounds)
        english += f"; the 95 % interval of the gain is {low.english.removesuffix(' points')} to {high.english}"
        chinese += f"；增益的 95 % 区间为 {low.chinese.removesuffix(' 个百分点')} 至 {high.chinese}"
    if beaten == "yes":
        return Words(f"{english}.", f"{chinese}。")
    return Words(f"{english}. Do not rely on its predictions.", f"{chinese}。请不要依赖它的预测。")


@dataclass(frozen=True)
class Verdict:
    """Whether the full model beats its best single part.

    Attributes:
        fusion_pays: ``yes`` where the 95 % interval of the gain lies above zero and rests on enough rows, ``no`` where
            the gain is not above zero, ``uncertain`` between, ``too few rows`` where fewer than 30 were measured,
            ``nothing to fuse`` for a model of one input.
        best_part: the best single input, None where there is nothing to fuse.
        best_trained_alone: whether that is a model trained on this input alone, not this model with the others absent.
        best_score: its score.
        gain: how much better the full model is; more is always better, also where a small score is.
        gain_interval: 95 %, from a paired bootstrap over the rows.
        sentence: the answer in English.
        sentence_zh: the answer in Chinese.
    """

    fusion_pays: Literal["yes", "no", "uncertain", "too few rows", "nothing to fuse"]
    sentence: str
    sentence_zh: str
    best_part: str | None = None
    best_trained_alone: bool = False
    best_score: float | None = None
    gain: float | None = None
    gain_interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Comparison:
    """The numbers behind a verdict on a model with several inputs; ``gain`` and its interval as in ``Verdict``.

    ``num_different`` counts the rows that the full model and the best part answer differently.
    """

    score_name: str
    num_rows: int
    num_different: int
    full: float
    best_part: str
    best_score: float
    best_trained_alone: bool
    any_trained_alone: bool
    gain: float
    gain_interval: tuple[float, float] | None


def nothing_to_fuse(name: str, *, score_name: str, full: float, columns: Sequence[ColumnImportance] = ()) -> Verdict:
    """The verdict on a model whose only input, or only kind of input, is ``name``.

    Of a table it says which of its ``columns``, the most important first, the model needs.
    """
    score = format_score(score_name, full)
    words = metric_words(score_name)
    if not columns:
        return Verdict(
            "nothing to fuse",
            f"There is nothing to fuse: the model sees only '{name}', and its {words.english} is {score}.",
            f"没有可融合的内容：模型只使用“{name}”，其{words.chinese}为 {score}。",
        )
    sure = [column for column in columns if column.interval is not None and column.interval[0] > 0]
    if not sure:
        return Verdict(
            "nothing to fuse",
            f"The model sees the table alone, and its {words.english} is {score}. There is no column of which it is "
            "certain that the model needs it.",
            f"模型只使用表格，其{words.chinese}为 {score}。没有哪一列可以确定是模型所必需的。",
        )
    best = sure[0]
    loss = format_gain(score_name, best.importance)
    return Verdict(
        "nothing to fuse",
        f"The model sees the table alone, and its {words.english} is {score}. It needs '{best.column}' most: with that "
        f"column shuffled, {words.english} is {loss.english} worse.",
        f"模型只使用表格，其{words.chinese}为 {score}。最重要的列是“{best.column}”：打乱该列后，"
        f"{words.chinese}变差 {loss.chinese}。",
    )


def too_few_rows(num_rows: int) -> Verdict:
    """No verdict."""
    return Verdict(
        "too few rows",
        f"Only {num_rows} rows were measured: too few to say whether fusion pays.",
        f"只测量了 {num_rows} 行：太少，无法判断融合是否有效。",
    )


def judge(comparison: Comparison) -> Verdict:
    """The verdict on a model with several inputs."""
    if comparison.num_rows < MIN_ROWS:
        return too_few_rows(comparison.num_rows)
    certain = (
        comparison.gain_interval is not None
        and comparison.gain_interval[0] > 0
        and comparison.num_different >= MIN_DIFFERENT_ROWS
    )
    fusion_pays: Literal["yes", "no", "uncertain"]
    fusion_pays = "no" if comparison.gain <= 0 else "yes" if certain else "uncertain"
    return Verdict(
        fusion_pays,
        _english(comparison, fusion_pays),
        _chinese(comparison, fusion_pays),
        best_part=comparison.best_part,
        best_trained_alone=comparison.best_trained_alone,
        best_score=comparison.best_score,
        gain=comparison.gain,
        gain_interval=comparison.gain_interval,
    )


def _english(comparison: Comparison, fusion_pays: str) -> str:
    name = comparison.score_name
    opening = {
        "yes": "Fusion pays",
        "no": "Fusion does not pay: this fused model does not beat its best part",
        "uncertain": "Whether fusion pays is not certain",
    }[fusion_pays]
    how = "a model trained on it alone" if comparison.best_trained_alone else "this model with the others absent"
    place = "the same as" if comparison.gain == 0 else "better than" if comparison.gain > 0 else "worse than"
    size = "" if comparison.gain == 0 else f"{format_gain(name, abs(comparison.gain)).english} "
    text = (
        f"{opening}: with all inputs {metric_words(name).english} is {format_score(name, comparison.full)}, "
        f"{size}{place} the best single input, '{input_words(comparison.best_part).english}' "
        f"({format_score(name, comparison.best_score)}, {how})"
    )
    if comparison.gain_interval is None:
        text += f"; the {comparison.num_rows:,} rows are not enough for an interval"
    else:
        low, high = (format_gain(name, bound, signed=True).english for bound in comparison.gain_interval)
        text += (
            f"; the 95 % interval of the gain on {comparison.num_rows:,} rows is "
            f"{low.removesuffix(' points')} to {high}"
        )
    if comparison.num_different < MIN_DIFFERENT_ROWS:
        text += f"; the two differ in too few rows ({comparison.num_different}) to be sure of any difference"
    text += "."
    if not comparison.any_trained_alone:
        text += " No model was trained on one input alone; such a specialist may do better than its part here."
    return text


def _chinese(comparison: Comparison, fusion_pays: str) -> str:
    name = comparison.score_name
    opening = {
        "yes": "融合有效",
        "no": "融合无效：融合模型没有超过其最好的单一输入",
        "uncertain": "尚不能确定融合是否有效",
    }[fusion_pays]
    how = "单独训练的模型" if comparison.best_trained_alone else "同一模型、其余输入缺失"
    size = format_gain(name, abs(comparison.gain)).chinese
    place = "相同" if comparison.gain == 0 else f"好 {size}" if comparison.gain > 0 else f"差 {size}"
    text = (
        f"{opening}：使用全部输入时{metric_words(name).chinese}为 {format_score(name, comparison.full)}，"
        f"与最好的单一输入“{input_words(comparison.best_part).chinese}”"
        f"（{format_score(name, comparison.best_score)}，{how}）相比{place}"
    )
    if comparison.gain_interval is None:
        text += f"；{comparison.num_rows:,} 行数据不足以给出区间"
    else:
        low, high = (format_gain(name, bound, signed=True).chinese for bound in comparison.gain_interval)
        text += f"；在 {comparison.num_rows:,} 行上，增益的 95 % 区间为 {low.removesuffix(' 个百分点')} 至 {high}"
    if comparison.num_different < MIN_DIFFERENT_ROWS:
        text += f"；两者结果不同的行太少（{comparison.num_different} 行），无法确定差异"
    text += "。"
    if not comparison.any_trained_alone:
        text += "没有为任何单一输入单独训练模型；这样的专用模型可能比此处的单一输入更好。"
    return text
