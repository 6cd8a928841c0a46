"""How far two sequences are apart: edits from one to the other (Levenshtein 1966), and what they have in common.

Both keep a whole column of a table of numbers as the bits of one integer. They give the number only: no alignment.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence


def edit_distance(one: Sequence[Hashable], other: Sequence[Hashable]) -> int:
    """The fewest edits from ``one`` to ``other``, words or characters.

    A whole column of the table of distances is one integer, its bits the steps up and down between neighbors (Myers
    1999, as Hyyrö 2003 writes it), so a pair of sentences costs one pass over the second.
    """
    if not one:
        return len(other)
    places: dict[Hashable, int] = {}
    for place, item in enumerate(one):
        places[item] = places.get(item, 0) | 1 << place
    every, last = (1 << len(one)) - 1, 1 << (len(one) - 1)
    up, down, distance = every, 0, len(one)  # the steps of a column from each row to the next
    for item in other:
        here = places.get(item, 0)
        diagonal = (((here & up) + up) ^ up) | here | down
        right_up, right_down = down | (every & ~(diagonal | up)), up & diagonal
        if right_up & last:
            distance += 1
        elif right_down & last:
            distance -= 1
        right_up, right_down = (right_up << 1) | 1, right_down << 1
        up, down = every & (right_down | ~(diagonal | right_up)), every & right_up & diagonal
    return distance


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
