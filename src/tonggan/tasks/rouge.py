"""ROUGE-L: how much of two texts is one common subsequence (Lin 2004).

It reads tokens; how a text is cut into them is the caller's matter. There is no ROUGE-N, nor ROUGE-Lsum.
"""

from __future__ import annotations

from collections.abc import Sequence


def rouge_l(hypothesis: Sequence[str], reference: Sequence[str]) -> float:
    """F1 of the longest common subsequence of tokens, in [0, 1]; 0 where either text has none, as in rouge-score."""
    common = common_subsequence_length(hypothesis, reference)
    return 2 * common / (len(hypothesis) + len(reference)) if common else 0.0


def common_subsequence_length(one: Sequence[str], other: Sequence[str]) -> int:
    """Length of the longest common subsequence, a row of its table held as the bits of one integer (Hyyrö 2004)."""
    places: dict[str, int] = {}
    for place, token in enumerate(one):
        places[token] = places.get(token, 0) | 1 << place
    every = (1 << len(one)) - 1
    unmatched = every
    for token in other:
        here = unmatched & places.get(token, 0)
        unmatched = ((unmatched + here) | (unmatched - here)) & every
    return len(one) - unmatched.bit_count()
