"""Is the model better than always the same answer, and does fusion pay? The answers as sentences in two languages.

The constant answer is the task's baseline of the training part: the most frequent class, the label frequencies, the
mean, the most common text. A report says so before any number where a model is no better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from tonggan.evaluation.bootstrap import MIN_DIFFERENT_ROWS, MIN_ROWS, REPEATS, Answer, Comparison, compare
from tonggan.evaluation.permutation import ColumnImportance
from tonggan.evaluation.predict import Measured
from tonggan.evaluation.wording import format_gain, format_score, input_words, metric_words
from tonggan.wording import Words

_HEADLINES = {
    "yes": Words("", ""),
    "no": Words("This model does not beat the constant answer.", "该模型并不优于固定答案。"),
    "uncertain": Words(
        "It is not certain that this model beats the constant answer.", "尚不能确定该模型优于固定答案。"
    ),
    "too few rows": Words("Too few rows were measured to judge this model.", "测量的数据行太少，无法评判该模型。"),
}


_OPENINGS = {
    "yes": Words("Fusion pays", "融合有效"),
    "no": Words(
        "Fusion does not pay: this fused model does not beat its best part",
        "融合无效：融合模型没有超过其最好的单一输入",
    ),
    "uncertain": Words("Whether fusion pays is not certain", "尚不能确定融合是否有效"),
}
_HOW = {
    True: Words("a model trained on it alone", "单独训练的模型"),
    False: Words("this model with the others absent", "同一模型、其余输入缺失"),
}


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

    beaten: Answer
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
    if not np.isfinite([measured.measure.score(), measured.constant.score()]).all():
        return None
    found = compare(measured.measure, measured.constant, seed=seed, repeats=repeats)
    sentence = _sentence(found, always)
    return AgainstConstant(
        beaten=found.is_better,
        score_name=found.score_name,
        num_rows=found.num_rows,
        model=found.score,
        constant=found.other,
        gain=found.gain,
        gain_interval=found.gain_interval,
        headline=_HEADLINES[found.is_better].english,
        headline_zh=_HEADLINES[found.is_better].chinese,
        sentence=sentence.english,
        sentence_zh=sentence.chinese,
    )


def _sentence(found: Comparison, always: Words) -> Words:
    name, rows = found.score_name, found.num_rows
    if found.is_better == "too few rows":
        return Words(
            f"Only {_rows_were(rows)} measured, and on fewer than {MIN_ROWS} a score says next to nothing: measure a "
            "larger table, set more rows aside, or fit with several seeds and look at all their scores.",
            f"只测量了 {rows} 行；不足 {MIN_ROWS} 行时，分数几乎说明不了什么：请用更大的表测量、留出更多的行，"
            "或用多个随机种子分别训练并比较各次的分数。",
        )
    metric, score, other = metric_words(name), format_score(name, found.score), format_score(name, found.other)
    english = (
        f"On {rows:,} rows its {metric.english} is {score}, that of the constant answer ({always.english}) {other}"
    )
    chinese = f"在 {rows:,} 行上，模型的{metric.chinese}为 {score}，固定答案（{always.chinese}）为 {other}"
    if found.gain_interval is not None:
        bounds = _bounds(name, found.gain_interval)
        english += f"; the 95 % interval of the gain is {bounds.english}"
        chinese += f"；增益的 95 % 区间为 {bounds.chinese}"
    if found.is_better == "yes":
        return Words(f"{english}.", f"{chinese}。")
    return Words(f"{english}. Do not rely on its predictions.", f"{chinese}。请不要依赖它的预测。")


def _bounds(name: str, pair: tuple[float, float]) -> Words:
    """An interval of gains, with the unit once."""
    low, high = (format_gain(name, bound, signed=True) for bound in pair)
    return Words(
        f"{low.english.removesuffix(' points')} to {high.english}",
        f"{low.chinese.removesuffix(' 个百分点')} 至 {high.chinese}",
    )


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
class Part:
    """A single input to compare the full model with.

    Attributes:
        name: of the input.
        trained_alone: whether a model was trained on it alone, not this model with the others absent.
    """

    name: str
    trained_alone: bool


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
        f"Only {_rows_were(num_rows)} measured: too few to say whether fusion pays.",
        f"只测量了 {num_rows} 行：太少，无法判断融合是否有效。",
    )


def judge(found: Comparison, part: Part, *, any_trained_alone: bool) -> Verdict:
    """The verdict on a model with several inputs.

    Args:
        found: the full model beside its best single part.
        part: that part.
        any_trained_alone: whether a model was trained on any input alone.
    """
    if found.is_better == "too few rows":
        return too_few_rows(found.num_rows)
    sentence = _fusion_sentence(found, part)
    if not any_trained_alone:
        sentence = Words(
            f"{sentence.english} No model was trained on one input alone; such a specialist may do better than its "
            "part here.",
            f"{sentence.chinese}没有为任何单一输入单独训练模型；这样的专用模型可能比此处的单一输入更好。",
        )
    return Verdict(
        found.is_better,
        sentence.english,
        sentence.chinese,
        best_part=part.name,
        best_trained_alone=part.trained_alone,
        best_score=found.other,
        gain=found.gain,
        gain_interval=found.gain_interval,
    )


def _fusion_sentence(found: Comparison, part: Part) -> Words:
    name, rows, input_ = found.score_name, found.num_rows, input_words(part.name)
    metric, score, other = metric_words(name), format_score(name, found.score), format_score(name, found.other)
    opening, how, size = _OPENINGS[found.is_better], _HOW[part.trained_alone], format_gain(name, abs(found.gain))
    place = Words("the same as", "相同")
    if found.gain != 0:
        better = Words("better than", "好") if found.gain > 0 else Words("worse than", "差")
        place = Words(f"{size.english} {better.english}", f"{better.chinese} {size.chinese}")
    english = (
        f"{opening.english}: with all inputs {metric.english} is {score}, {place.english} the best single input, "
        f"'{input_.english}' ({other}, {how.english})"
    )
    chinese = (
        f"{opening.chinese}：使用全部输入时{metric.chinese}为 {score}，"
        f"与最好的单一输入“{input_.chinese}”（{other}，{how.chinese}）相比{place.chinese}"
    )
    if found.gain_interval is None:
        english += f"; the {rows:,} rows are not enough for an interval"
        chinese += f"；{rows:,} 行数据不足以给出区间"
    else:
        bounds = _bounds(name, found.gain_interval)
        english += f"; the 95 % interval of the gain on {rows:,} rows is {bounds.english}"
        chinese += f"；在 {rows:,} 行上，增益的 95 % 区间为 {bounds.chinese}"
    if found.num_different < MIN_DIFFERENT_ROWS:
        english += f"; the two differ in too few rows ({found.num_different}) to be sure of any difference"
        chinese += f"；两者结果不同的行太少（{found.num_different} 行），无法确定差异"
    return Words(f"{english}.", f"{chinese}。")


def _rows_were(count: int) -> str:
    return "1 row was" if count == 1 else f"{count} rows were"
