"""Larger versions of recorded calls, to see how time grows with the size of the input."""

from __future__ import annotations

import random
import sys
from typing import Any

from .observing import Call

FACTORS = (4, 16, 64)
_MOST_LENGTH = 4000


def grow(call: Call, factor: int) -> Call | None:
    """``call`` with every collection among its arguments ``factor`` times as long; None where there is none.

    New elements are like the old ones and not all equal to them. What was sorted stays so.
    """
    choice = random.Random(factor)
    arguments = tuple(_grown(each, factor, choice) for each in call.arguments)
    keywords = {name: _grown(each, factor, choice) for name, each in call.keywords.items()}
    if _lengths(arguments, keywords) == _lengths(call.arguments, call.keywords):
        return None
    return Call(arguments, keywords).copied()


def length(call: Call) -> int:
    """Elements of the longest collection among the arguments."""
    return max(_lengths(call.arguments, call.keywords), default=0)


def _lengths(arguments: tuple[Any, ...], keywords: dict[str, Any]) -> list[int]:
    return [len(each) for each in (*arguments, *keywords.values()) if hasattr(each, "__len__")]


def _grown(value: Any, factor: int, choice: random.Random) -> Any:
    kind = type(value)
    if kind in (list, tuple, set, frozenset, str, bytes) and len(value) > 0 and len(value) * factor <= _MOST_LENGTH:
        if kind is str:
            return "".join(value if index == 0 else _shuffled(value, choice) for index in range(factor))
        if kind is bytes:
            return value * factor
        items = list(value)
        items += [_varied(choice.choice(items), choice, factor) for _ in range(len(items) * (factor - 1))]
        if kind in (list, tuple) and len(value) > 1 and _is_sorted(value):
            items.sort()
        return kind(items)
    if kind is dict and len(value) > 0 and len(value) * factor <= _MOST_LENGTH:
        pairs = list(value.items())
        more = [choice.choice(pairs) for _ in range(len(pairs) * (factor - 1))]
        return {**value, **{_varied(key, choice, factor): _varied(each, choice, factor) for key, each in more}}
    return _grown_library(value, factor)


def _grown_library(value: Any, factor: int) -> Any:
    module = type(value).__module__.partition(".")[0]
    if module == "numpy" and getattr(value, "ndim", 0) > 0 and value.shape[0] * factor <= _MOST_LENGTH * 100:
        return sys.modules["numpy"].concatenate([value] * factor)
    if module == "pandas" and hasattr(value, "index") and len(value) * factor <= _MOST_LENGTH * 10:
        return sys.modules["pandas"].concat([value] * factor, ignore_index=True)
    return value


def _varied(value: Any, choice: random.Random, factor: int) -> Any:
    """A value like ``value``."""
    if type(value) is int:
        return value + choice.randrange(0, 8 * factor)
    if type(value) is float:
        return value * (0.5 + choice.random())
    if type(value) is str:
        return value if choice.random() < 0.3 or not value else f"{value}{choice.randrange(4 * factor)}"
    if type(value) in (tuple, list):
        return type(value)(_varied(each, choice, factor) for each in value)
    if type(value) is dict:
        return {key: _varied(each, choice, factor) for key, each in value.items()}
    return value


def _shuffled(text: str, choice: random.Random) -> str:
    characters = list(text)
    choice.shuffle(characters)
    return "".join(characters)


def _is_sorted(value: Any) -> bool:
    try:
        return list(value) == sorted(value)
    except TypeError:
        return False
