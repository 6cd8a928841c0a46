"""How many insertions, deletions and substitutions lead from one sequence to another (Levenshtein 1966).

It gives the number only: no alignment, and no weights.
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
