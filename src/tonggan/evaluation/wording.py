"""How metrics are named and written for a person, in English and in Chinese."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """A label in both languages."""

    english: str
    chinese: str

    def capitalized(self) -> Words:
        """The same for the beginning of a line."""
        return Words(self.english[:1].upper() + self.english[1:], self.chinese)


_SHARES = {
    "accuracy": Words("accuracy", "准确率"),
    "balanced_accuracy": Words("balanced accuracy", "平衡准确率"),
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
}


def metric_words(name: str) -> Words:
    """What a metric is called; its own name where it has no other."""
    return (_SHARES | _NUMBERS).get(name, Words(name, name))


def is_share(name: str) -> bool:
    """Whether a metric lies between 0 and 1 and reads best as a percentage."""
    return name in _SHARES


def format_score(name: str, value: float) -> str:
    """A metric as a person reads it: a percentage where it is a share, else four significant digits."""
    return f"{100 * value:.1f} %" if is_share(name) else f"{value:.4g}"


def format_gain(name: str, value: float, *, signed: bool = False) -> Words:
    """A difference of two values of a metric: in percentage points where it is a share, finer below one."""
    sign = "+" if signed else ""
    if not is_share(name):
        return Words(f"{value:{sign}.4g}", f"{value:{sign}.4g}")
    decimals = 1 if abs(value) >= 0.01 or value == 0 else 2
    points = f"{100 * value:{sign}.{decimals}f}"
    return Words(f"{points} points", f"{points} 个百分点")
