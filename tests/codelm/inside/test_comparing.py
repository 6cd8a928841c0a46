"""What counts as the same: types, order, signs, sharing."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import pytest

from tonggan.codelm.inside.comparing import UncomparableError, difference


@dataclass
class Point:
    x: int


class Slotted:
    __slots__ = ("x",)

    def __init__(self, x):
        self.x = x


SHARED = [1]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (1, True), (1, 1.0), (0.0, -0.0), ([1], (1,)), ({1: 2, 3: 4}, {3: 4, 1: 2}), ("a", b"a"), ([1, 2], [2, 1]),
        (Point(1), Point(2)), (Slotted(1), Slotted(2)), (ValueError("a"), ValueError("b")), (ValueError(), TypeError()),
        ([SHARED, SHARED], [[1], [1]]), ([[1], [1]], [SHARED, SHARED]), (OrderedDict(a=1), {"a": 1}),
        (iter([1]), iter([2])),
        (np.array([1]), np.array([1.0])), (np.zeros(2), np.zeros((2, 1))), (np.float64(1), 1.0), (len, max),
    ],
)  # fmt: skip
def test_what_differs_is_seen(first, second):
    assert difference(first, second) is not None


@pytest.mark.parametrize(
    "make",
    [
        lambda: float("nan"), lambda: [1, "a", None, {2: (3.5, {4})}], lambda: Point(1), lambda: Slotted([1]),
        lambda: ValueError("a", 1), lambda: [SHARED, SHARED], lambda: np.array([1.0, np.nan]), lambda: iter([1, 2]),
        lambda: zip([1], [2], strict=True), lambda: {"a": [1]}.items(),
        lambda: np.array([[1], "a"], dtype=object), object,
        lambda: range(3), lambda: slice(1, 2),
    ],
)  # fmt: skip
def test_what_is_made_the_same_way_is_the_same(make):
    assert difference(make(), make()) is None


def test_a_cycle_ends():
    first, second = [1], [1]
    first.append(first)
    second.append(second)
    assert difference(first, second) is None
    second[1] = [1, second]
    assert difference(first, second) is not None


def test_what_nobody_can_see_is_said():
    import threading

    with pytest.raises(UncomparableError):
        difference(threading.Lock(), threading.Lock())
