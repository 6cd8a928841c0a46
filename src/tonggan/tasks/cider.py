"""CIDEr-D: agreement of captions in the n-grams that tell their pictures apart (Vedantam et al. 2015).

It reads tokens, one reference for each caption; there is no stemming.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

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
