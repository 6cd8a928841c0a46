"""Metrics of generated texts against one reference each, as sums over rows: a bootstrap costs a matrix product.

It reads texts; perplexity, which wants a model's probabilities, is the task's matter.

===========  ========================================================================================  ============
metric       definition                                                                                unit
===========  ========================================================================================  ============
exact_match  equal but for case and white space; punctuation counts                                    fraction
token_f1     SQuAD 2.0 (Rajpurkar et al. 2018): without case, punctuation, articles                    fraction
bleu         sacrebleu's corpus BLEU, tokenizer ``13a``, or ``zh`` for Chinese                         0 to 100
chrf         sacrebleu's corpus chrF2                                                                  0 to 100
rouge_l      mean F1 of rouge-score's ``rougeL`` without stemmer, which reads ASCII words only         fraction
cider        CIDEr-D (Vedantam et al. 2015) of words in lower case, without punctuation                0 to 10
wer          word errors over words of the references, as jiwer counts; case and punctuation count     a ratio
cer          character errors over characters of the references, likewise                              a ratio
===========  ========================================================================================  ============

For Chinese references, ``token_f1``, ``rouge_l`` and ``cider`` take each Chinese character for a token, and each run of
other letters and digits; ``wer`` still asks white space where words end.

An empty text counts as one: it gets nothing from ``rouge_l``, ``cider``, ``bleu`` and ``chrf`` (as in their packages),
``token_f1`` 1 where both are empty, and an empty reference adds its hypothesis to the errors; where no reference has a
word, ``wer`` is the number of errors (as in jiwer).
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tonggan.errors import MissingExtraError
from tonggan.tasks.cider import cider
from tonggan.tasks.edit_distance import edit_distance
from tonggan.tasks.rouge import rouge_l

TextMetricName = Literal["exact_match", "token_f1", "bleu", "chrf", "rouge_l", "cider", "wer", "cer"]
Language = Literal["en", "zh"]
"""How texts fall into words: at white space (any language that writes it), or at each Chinese character."""
ERROR_RATES: frozenset[str] = frozenset({"wer", "cer"})
"""The metrics of which less is better."""

_Floats = NDArray[np.float64]
_Pairs = list[tuple[str, str]]

_CHINESE = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_CHINESE_CHARACTER = re.compile(f"[{_CHINESE}]")
_WORD = re.compile(f"[{_CHINESE}]|[^\\W_{_CHINESE}]+")
_ASCII_WORD = re.compile("[a-z0-9]+")
_ARTICLE = re.compile(r"\b(a|an|the)\b")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)
_CHINESE_SHARE = 0.3


def detect_language(texts: Sequence[str]) -> Language:
    """``zh`` where more than 0.3 of all characters but white space are Chinese, else ``en``."""
    characters = "".join("".join(text.split()) for text in texts)
    found = len(_CHINESE_CHARACTER.findall(characters))
    return "zh" if found > _CHINESE_SHARE * len(characters) else "en"


@dataclass(frozen=True)
class _Metric:
    """Statistics of the rows ``[N, S]``, and the score of their sums ``[S]``."""

    statistics: _Floats
    score: Callable[[_Floats], float]
    signature: str | None = None


class TextMetrics:
    """The metrics ``names`` of a corpus, all that costs time done once.

    Args:
        hypotheses: the text of each of N rows, at least one.
        references: what each should be.
        names: which metrics.
        language: of the references; None takes what ``detect_language`` says of them.

    Attributes:
        names: as given.
        language: as given or found.

    Raises:
        MissingExtraError: ``bleu`` or ``chrf`` without sacrebleu.
    """

    def __init__(
        self,
        hypotheses: Sequence[str],
        references: Sequence[str],
        *,
        names: Sequence[TextMetricName] = get_args(TextMetricName),
        language: Language | None = None,
    ) -> None:
        assert len(hypotheses) > 0, "no texts, no metrics"
        self.names = tuple(names)
        self.language: Language = language or detect_language(references)
        pairs = list(zip(hypotheses, references, strict=True))
        self._metrics = {name: _METRICS[name](pairs, self.language) for name in self.names}
        self._statistics = np.concatenate([metric.statistics for metric in self._metrics.values()], axis=1)

    def compute(self, counts: _Floats | None = None) -> dict[str, float]:
        """Each metric of the corpus in which row i stands ``counts[i]`` times, ``[N]``; None is once each.

        The weights that CIDEr gives to n-grams stay those of the whole corpus: they tell how common a phrase is, which
        other draws of the rows are not to change.
        """
        sums = self._statistics.sum(axis=0) if counts is None else counts @ self._statistics
        result: dict[str, float] = {}
        start = 0
        for name, metric in self._metrics.items():
            end = start + metric.statistics.shape[1]
            result[name] = metric.score(sums[start:end])
            start = end
        return result

    def signature(self, name: TextMetricName) -> str | None:
        """The signature of sacrebleu that makes ``bleu`` and ``chrf`` comparable; None for the other metrics."""
        return self._metrics[name].signature


def _mean(values: Sequence[float] | _Floats) -> _Metric:
    return _ratio([(value, 1.0) for value in values])


def _ratio(parts: Sequence[tuple[float, float]]) -> _Metric:
    return _Metric(np.array(parts, dtype=np.float64), lambda sums: float(sums[0] / (sums[1] or 1.0)))


def _exact_match(pairs: _Pairs, _language: Language) -> _Metric:
    return _mean([_spaced(hypothesis).casefold() == _spaced(reference).casefold() for hypothesis, reference in pairs])


def _spaced(text: str) -> str:
    return " ".join(text.split())


def _token_f1(pairs: _Pairs, language: Language) -> _Metric:
    cut = _words if language == "zh" else _answer_words
    return _mean([_f1(cut(hypothesis), cut(reference)) for hypothesis, reference in pairs])


def _f1(hypothesis: list[str], reference: list[str]) -> float:
    if not hypothesis or not reference:
        return float(hypothesis == reference)
    common = (Counter(hypothesis) & Counter(reference)).total()
    return 2 * common / (len(hypothesis) + len(reference))


def _answer_words(text: str) -> list[str]:
    return _ARTICLE.sub(" ", text.lower().translate(_WITHOUT_PUNCTUATION)).split()


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _rouge_l(pairs: _Pairs, language: Language) -> _Metric:
    cut = _words if language == "zh" else lambda text: _ASCII_WORD.findall(text.lower())
    return _mean([rouge_l(cut(hypothesis), cut(reference)) for hypothesis, reference in pairs])


def _cider(pairs: _Pairs, _language: Language) -> _Metric:
    return _mean(cider([_words(hypothesis) for hypothesis, _ in pairs], [_words(reference) for _, reference in pairs]))


def _wer(pairs: _Pairs, _language: Language) -> _Metric:
    words = [(hypothesis.split(), reference.split()) for hypothesis, reference in pairs]
    return _ratio([(edit_distance(said, wanted), len(wanted)) for said, wanted in words])


def _cer(pairs: _Pairs, _language: Language) -> _Metric:
    texts = [(_spaced(hypothesis), _spaced(reference)) for hypothesis, reference in pairs]
    return _ratio([(edit_distance(said, wanted), len(wanted)) for said, wanted in texts])


def _bleu(pairs: _Pairs, language: Language) -> _Metric:
    return _of_sacrebleu(_sacrebleu("BLEU").BLEU(tokenize="zh" if language == "zh" else "13a"), pairs)


def _chrf(pairs: _Pairs, _language: Language) -> _Metric:
    return _of_sacrebleu(_sacrebleu("chrF").CHRF(), pairs)


def _sacrebleu(purpose: str) -> Any:
    try:
        from sacrebleu import metrics
    except ImportError as error:
        raise MissingExtraError.of("sacrebleu", extra="language", purpose=purpose) from error
    return metrics


def _of_sacrebleu(metric: Any, pairs: _Pairs) -> _Metric:
    # The two methods by which sacrebleu's own bootstrap goes from sentences to a corpus.
    statistics = metric._extract_corpus_statistics([said for said, _ in pairs], [[wanted for _, wanted in pairs]])

    def score(sums: _Floats) -> float:
        return float(metric._compute_score_from_stats([round(total) for total in sums.tolist()]).score)

    return _Metric(np.array(statistics, dtype=np.float64), score, metric.get_signature().format())


_METRICS: dict[str, Callable[[_Pairs, Language], _Metric]] = {
    "exact_match": _exact_match,
    "token_f1": _token_f1,
    "bleu": _bleu,
    "chrf": _chrf,
    "rouge_l": _rouge_l,
    "cider": _cider,
    "wer": _wer,
    "cer": _cer,
}
