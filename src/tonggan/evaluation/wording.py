"""How metrics are named and written for a person, in English and in Chinese."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tonggan.modalities import ColumnConfig, InputConfig
from tonggan.wording import Words, part_zh

_SHARES = {
    "accuracy": Words("accuracy", "准确率"),
    "balanced_accuracy": Words("balanced accuracy", "平衡准确率"),
    "f1_rare": Words("F1 of the rare class", "少数类 F1"),
    "precision_rare": Words("precision of the rare class", "少数类精确率"),
    "recall_rare": Words("recall of the rare class", "少数类召回率"),
    "precision_macro": Words("precision, macro", "精确率（宏平均）"),
    "recall_macro": Words("recall, macro", "召回率（宏平均）"),
    "f1_macro": Words("F1, macro", "F1（宏平均）"),
    "f1_micro": Words("F1, micro", "F1（微平均）"),
    "roc_auc": Words("ROC-AUC", "ROC-AUC"),
    "roc_auc_ovr": Words("ROC-AUC, one against the rest", "ROC-AUC（一对多）"),
    "average_precision": Words("average precision", "平均精确率"),
    "average_precision_micro": Words("average precision, micro", "平均精确率（微平均）"),
    "expected_calibration_error": Words("calibration error", "校准误差"),
    "exact_match": Words("exact match", "完全匹配率"),
    "token_f1": Words("token F1", "词元 F1"),
    "rouge_l": Words("ROUGE-L", "ROUGE-L"),
    "wer": Words("word error rate", "词错误率"),
    "cer": Words("character error rate", "字错误率"),
    "map_50": Words("mAP at 0.50", "mAP@0.50"),
    "map": Words("mAP at 0.50 to 0.95", "mAP@0.50:0.95"),
    "map_75": Words("mAP at 0.75", "mAP@0.75"),
    "average_recall": Words("average recall", "平均召回率"),
    "precision": Words("precision", "精确率"),
    "recall": Words("recall", "召回率"),
    "f1": Words("F1", "F1"),
    "iou": Words("IoU", "交并比"),
    "dice": Words("Dice", "Dice"),
    "miou": Words("mean IoU", "平均交并比"),
    "mean_dice": Words("mean Dice", "平均 Dice"),
    "pixel_accuracy": Words("pixel accuracy", "像素准确率"),
    "picture_iou": Words("IoU, mean over pictures", "交并比（按图片平均）"),
    "picture_dice": Words("Dice, mean over pictures", "Dice（按图片平均）"),
}
_NUMBERS = {
    "log_loss": Words("log loss", "对数损失"),
    "mae": Words("mean absolute error", "平均绝对误差"),
    "rmse": Words("root mean squared error", "均方根误差"),
    "r2": Words("R²", "R²"),
    "bleu": Words("BLEU", "BLEU"),
    "chrf": Words("chrF", "chrF"),
    "cider": Words("CIDEr", "CIDEr"),
    "perplexity": Words("perplexity", "困惑度"),
    "count_error": Words("error of the number of objects", "目标数误差"),
}
# Shares of one class each, by how their names begin; its name follows.
_CLASS_SHARES = {"ap_50_": Words("AP at 0.50, {}", "AP@0.50（{}）"), "iou_": Words("IoU, {}", "交并比（{}）")}
CONSTANT_ANSWER = Words("the constant answer", "固定答案")
_NOTHING = 1e-9  # What is smaller comes from rounding.


def constant_answer(results: Mapping[str, Any]) -> Words:
    """What the constant answer of a run's results is called; bundles of older versions do not say."""
    english, chinese = (results.get(name) for name in ("constant_answer", "constant_answer_zh"))
    return Words(english, chinese) if english and chinese else CONSTANT_ANSWER


def kind_words(kind: str) -> Words:
    """What a kind of column or input is called."""
    config = ColumnConfig.family().get(kind) or InputConfig.family().get(kind)
    return Words(kind, kind) if config is None or config.words is None else config.words


def part_words(name: str) -> Words:
    """What a part of the data is called; any other name stays as it is."""
    return Words(name, part_zh(name))


def input_words(name: str) -> Words:
    """What an input is called: its column, or the cells of a row that are read together."""
    return kind_words(name) if name == "table" else Words(name, name)


def metric_words(name: str) -> Words:
    """What a metric is called; its own name where it has no other."""
    for start, words in _CLASS_SHARES.items():
        if name.startswith(start):
            label = name.removeprefix(start)
            return Words(words.english.replace("{}", label), words.chinese.replace("{}", label))
    return (_SHARES | _NUMBERS).get(name, Words(name, name))


def is_share(name: str) -> bool:
    """Whether a metric lies between 0 and 1 and reads best as a percentage."""
    return name in _SHARES or name.startswith(tuple(_CLASS_SHARES))


def format_score(name: str, value: float) -> str:
    """A metric as a person reads it: a percentage where it is a share, else four significant digits."""
    value = 0.0 if abs(value) < _NOTHING else value
    return f"{100 * value:.1f} %" if is_share(name) else f"{value:.4g}"


def format_gain(name: str, value: float, *, signed: bool = False) -> Words:
    """A difference of two values of a metric: in percentage points where it is a share, finer below one."""
    value = 0.0 if abs(value) < _NOTHING else value
    sign = "+" if signed else ""
    if not is_share(name):
        return Words(f"{value:{sign}.4g}", f"{value:{sign}.4g}")
    decimals = 1 if abs(value) >= 0.01 or value == 0 else 2
    points = f"{100 * value:{sign}.{decimals}f}"
    return Words(f"{points} points", f"{points} 个百分点")
