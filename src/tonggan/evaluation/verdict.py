"""Does fusion pay? The answer as one plain sentence, in English and in Chinese.

It measures nothing; the audit hands in the numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tonggan.evaluation.permutation import ColumnImportance
from tonggan.evaluation.wording import format_gain, format_score, input_words, metric_words

# With fewer rows that differ, no outcome is significant at 5 % by the exact sign test (2 / 2^5 > 0.05), whatever the
# bootstrap says: its intervals are too narrow where so little differs.
MIN_DIFFERENT_ROWS = 6
# On fewer rows no score says much: at 30, an accuracy's interval is still some 35 points wide.
MIN_ROWS = 30


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
