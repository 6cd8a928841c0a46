"""Metrics of generated texts against one reference each, as sums over rows: a draw of rows costs a matrix product.

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
perplexity   exponential of the mean negative log-likelihood of a token of the references              1 and up
===========  ========================================================================================  ============

For Chinese references, ``token_f1``, ``rouge_l`` and ``cider`` take each Chinese character for a token, and each run of
other letters and digits; ``wer`` still asks white space where words end.

An empty text counts as one: it gets nothing from ``rouge_l``, ``cider``, ``bleu`` and ``chrf`` (as in their packages),
``token_f1`` 1 where both are empty, and an empty reference adds its hypothesis to the errors; where no reference has a
word, ``wer`` is the number of errors (as in jiwer). The weights that CIDEr gives to n-grams stay those of all rows when
some are drawn: they tell how common a phrase is.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from tonggan.errors import MissingExtraError
from tonggan.tasks.edit_distance import edit_distance, rouge_l
from tonggan.tasks.measure import Floats, Measure, Reducer
from tonggan.wording import Words

TextMetricName = Literal["exact_match", "token_f1", "bleu", "chrf", "rouge_l", "cider", "wer", "cer", "perplexity"]
Language = Literal["en", "zh"]
"""How texts fall into words: at white space (any language that writes it), or at each Chinese character."""
LOWER_IS_BETTER: frozenset[str] = frozenset({"wer", "cer", "perplexity"})
"""The metrics of which less is better."""

_MAX_LOG = 700.0  # whose exponential a float can hold
_Pairs = list[tuple[str, str]]

_CHINESE = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_CHINESE_CHARACTER = re.compile(f"[{_CHINESE}]")
_WORD = re.compile(f"[{_CHINESE}]|[^\\W_{_CHINESE}]+")
_ASCII_WORD = re.compile("[a-z0-9]+")
_ARTICLE = re.compile(r"\b(a|an|the)\b")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)
_CHINESE_SHARE = 0.3


def require_packages() -> None:
    """Nothing, where all metrics can be computed; asked before a training, which would fail at its first evaluation.

    Raises:
        MissingExtraError: sacrebleu is not installed.
    """
    _sacrebleu("measuring texts")


def detect_language(texts: Sequence[str]) -> Language:
    """``zh`` where more than 0.3 of all characters but white space are Chinese, else ``en``."""
    characters = "".join("".join(text.split()) for text in texts)
    found = len(_CHINESE_CHARACTER.findall(characters))
    return "zh" if found > _CHINESE_SHARE * len(characters) else "en"


@dataclass(frozen=True)
class _Metric:
    """Statistics of the rows ``[N, S]``, and the score of their sums ``[S]``."""

    statistics: Floats
    score: Callable[[Floats], float]
    signature: str | None = None


@dataclass(frozen=True, eq=False)
class TextMeasure(Measure):
    """Texts beside what they should be.

    Rows have ``written`` and ``truth``, texts, and ``losses [N, 2]``: the negative log-likelihood of the reference and
    its number of tokens, NaN where the model was not asked for it. A metric is prepared when it is first wanted.

    Attributes:
        language: of the references; None takes what ``detect_language`` says of them.

    Raises:
        MissingExtraError: from ``metrics``: ``bleu`` or ``chrf`` without sacrebleu.
    """

    language: Language | None = None

    worst_title = Words("The most unexpected texts", "最出乎意料的文本")
    worst_note = Words(
        "Wrong texts where the true one was least likely to the model, with their inputs as the model gets them.",
        "写错且模型认为正确文本最不可能的样本，输入按模型实际接收的样子显示。",
    )

    def make_reducers(self) -> Sequence[Reducer]:
        texts = [Reducer([name], partial(self._reduce, name)) for name in _METRICS]
        return [*texts, Reducer(["perplexity"], self._perplexity)]

    def _reduce(self, name: str, counts: Floats) -> list[float]:
        metric = self._metric(name)
        return [metric.score(counts @ metric.statistics)]

    def _metric(self, name: str) -> _Metric:
        if name not in self._prepared:
            pairs = list(zip(self.rows["written"], self.rows["truth"], strict=True))
            self._prepared[name] = _METRICS[name](pairs, self._language)
        return self._prepared[name]

    @cached_property
    def _language(self) -> Language:
        return self.language or detect_language(self.rows["truth"].tolist())

    @cached_property
    def _prepared(self) -> dict[str, _Metric]:
        return {}

    def _perplexity(self, counts: Floats) -> list[float]:
        total, tokens = self.rows["losses"].T
        if not np.isfinite(total).all() or not counts @ tokens:
            return [math.nan]
        return [math.exp(min(counts @ total / (counts @ tokens), _MAX_LOG))]

    def signatures(self) -> dict[str, str]:
        """Those of sacrebleu, which make ``bleu`` and ``chrf`` comparable."""
        found = {name: self._metric(name).signature for name in ("bleu", "chrf")}
        return {name: signature for name, signature in found.items() if signature is not None}

    def badness(self) -> Floats:
        """How unlikely the true text was, where another one was written."""
        written, truth = self.rows["written"], self.rows["truth"]
        wrong = np.array([said.casefold() != wanted.casefold() for said, wanted in zip(written, truth, strict=True)])
        total, tokens = self.rows["losses"].T
        losses: Floats = wrong * total / np.maximum(tokens, 1)
        return losses

    def differs(self, other: Self) -> NDArray[np.bool_]:
        different: NDArray[np.bool_] = self.rows["written"] != other.rows["written"]
        return different


def _mean(values: Sequence[float] | Floats) -> _Metric:
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

    def score(sums: Floats) -> float:
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


_LONGEST = 4
_SIGMA = 6.0
_SCALE = 10.0

_Gram = tuple[str, ...]


def cider(hypotheses: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> NDArray[np.float64]:
    """CIDEr-D of each row, ``[N]``, from 0 to 10; the score of a corpus is their mean.

    As in the authors' code, the length that the penalty compares is the number of bigrams, and an n-gram in none of
    the references weighs as if it were in one. With a single row, or where all references are the same, every n-gram
    is common to all, weighs nothing, and the score is 0.

    Args:
        hypotheses: the tokens of the caption of each row.
        references: the tokens of what each should be.
    """
    wanted = [_count(tokens) for tokens in references]
    frequency = Counter(gram for counts in wanted for gram in counts)
    weights = {gram: math.log(len(wanted) / rows) for gram, rows in frequency.items()}
    rare = math.log(len(wanted)) if wanted else 0.0
    scores = [
        _agreement(_count(tokens), counts, weights=weights, rare=rare)
        for tokens, counts in zip(hypotheses, wanted, strict=True)
    ]
    return np.array(scores, dtype=np.float64)


def _count(tokens: Sequence[str]) -> Counter[_Gram]:
    return Counter(
        tuple(tokens[start : start + length])
        for length in range(1, _LONGEST + 1)
        for start in range(len(tokens) - length + 1)
    )


def _agreement(said: Counter[_Gram], wanted: Counter[_Gram], *, weights: dict[_Gram, float], rare: float) -> float:
    """The mean over n of the clipped cosine of weighted n-gram counts, less for a caption of another length."""
    products, squares_said, squares_wanted = [0.0] * _LONGEST, [0.0] * _LONGEST, [0.0] * _LONGEST
    for gram, count in said.items():
        weight = weights.get(gram, rare)
        squares_said[len(gram) - 1] += (count * weight) ** 2
        products[len(gram) - 1] += min(count, wanted[gram]) * wanted[gram] * weight**2
    for gram, count in wanted.items():
        squares_wanted[len(gram) - 1] += (count * weights[gram]) ** 2
    norms = [math.sqrt(one * other) for one, other in zip(squares_said, squares_wanted, strict=True)]
    cosines = [product / norm for product, norm in zip(products, norms, strict=True) if norm > 0]
    longer = _num_bigrams(said) - _num_bigrams(wanted)
    return _SCALE * sum(cosines) / _LONGEST * math.exp(-(longer**2) / (2 * _SIGMA**2))


def _num_bigrams(counts: Counter[_Gram]) -> int:
    return sum(count for gram, count in counts.items() if len(gram) == 2)
