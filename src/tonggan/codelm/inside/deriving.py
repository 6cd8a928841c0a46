"""Further calls that Hypothesis derives from recorded ones: values of the same types, in other sizes and orders.

Hypothesis is seeded by nothing but the recorded calls: the same calls give the same derived ones.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import sys
from collections.abc import Sequence
from typing import Any

from .observing import Call

_LONGEST = 12  # elements of a derived collection


def derive(calls: Sequence[Call], *, most: int) -> list[Call]:
    """At most so many calls like ``calls``.

    Args:
        calls: recorded ones with as many positional and the same keyword arguments, at least one.
        most: number of calls.
    """
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import strategies as st

    strategies = [_strategy([call.arguments[index] for call in calls]) for index in range(len(calls[0].arguments))]
    names = {name: _strategy([call.keywords[name] for call in calls]) for name in calls[0].keywords}
    found: list[Call] = []

    @settings(
        max_examples=most,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.tuples(*strategies), st.fixed_dictionaries(names))
    def look(arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        found.append(Call(arguments, keywords).copied())

    look()
    return found


def groups(calls: Sequence[Call]) -> list[list[Call]]:
    """Calls that have the same arguments, by number and by keyword; the largest group first."""
    found: dict[tuple[Any, ...], list[Call]] = {}
    for call in calls:
        found.setdefault((len(call.arguments), *sorted(call.keywords)), []).append(call)
    return sorted(found.values(), key=len, reverse=True)


def _strategy(values: list[Any]) -> Any:
    """Values like those that were seen: of each of their types, and those themselves."""
    from hypothesis import strategies as st

    kinds: dict[type, list[Any]] = {}
    for value in values:
        kinds.setdefault(type(value), []).append(value)
    return st.one_of([_of_kind(kind, of_it) for kind, of_it in kinds.items()])


def _of_kind(kind: type, values: list[Any]) -> Any:
    from hypothesis import strategies as st

    seen = st.sampled_from(values)
    if kind is bool:
        return st.booleans()
    if issubclass(kind, enum.Enum):
        return st.sampled_from(list(kind))
    if kind is int:
        low, high = min(values), max(values)
        room = max(2, high - low)
        lowest = low - room if low < 0 else max(0, low - room)
        return st.one_of(seen, st.integers(lowest, high + min(room, 1000)))
    if kind is float:
        return st.one_of(seen, st.floats(allow_nan=False, allow_infinity=False, width=32))
    if kind is str:
        alphabet = sorted(set("".join(values))) or ["a", "b"]
        length = min(2 * max(len(value) for value in values) + 1, 40)
        return st.one_of(seen, st.text(st.sampled_from(alphabet), max_size=length))
    if kind is bytes:
        return st.one_of(seen, st.binary(max_size=min(2 * max(map(len, values)) + 1, 40)))
    simple: dict[type, Any] = {
        complex: st.complex_numbers(allow_nan=False, max_magnitude=1e6),
        decimal.Decimal: st.decimals(-1000, 1000, places=2),
        fractions.Fraction: st.fractions(-100, 100, max_denominator=20),
        datetime.date: st.dates(),
        datetime.datetime: st.datetimes(),
        datetime.timedelta: st.timedeltas(),
    }
    if kind in simple:
        return st.one_of(seen, simple[kind])
    if kind in (list, tuple, set, frozenset, dict):
        return _of_collection(kind, values)
    if kind.__module__ == "numpy" and hasattr(values[0], "dtype") and getattr(values[0], "ndim", 0) > 0:
        return _of_arrays(values)
    return seen


def _of_collection(kind: type, values: list[Any]) -> Any:
    from hypothesis import strategies as st

    lengths = {len(value) for value in values}
    longest = min(2 * max(lengths) + 2, _LONGEST)
    if not max(lengths):
        return st.sampled_from(values)
    if kind is dict:
        return _of_dictionaries(values, longest)
    if kind is tuple and len(lengths) == 1 and (max(lengths) <= 4 or _has_columns(values)):
        return st.tuples(*(_strategy([value[index] for value in values]) for index in range(max(lengths))))
    elements = [element for value in values for element in value]
    element = _strategy(elements[:200])
    # Few different elements, so that there are equal ones, and many.
    few = st.lists(st.sampled_from(elements[:200]), max_size=longest)
    items = st.one_of(st.lists(element, max_size=longest), few)
    if kind in (set, frozenset):
        items = st.lists(element, max_size=longest)
    built = items if kind is list else items.map(kind)
    return st.one_of(built, built, _in_order(values, built))


def _has_columns(values: list[Any]) -> bool:
    """Whether tuples of one length have a type of its own in each place, as rows of a table have."""
    return len({type(element) for element in values[0]}) > 1


def _in_order(values: list[Any], built: Any) -> Any:
    """Sorted ones where all that were seen are: code may rely on it."""
    try:
        if isinstance(values[0], list | tuple) and all(list(value) == sorted(value) for value in values):
            return built.map(lambda value: type(value)(sorted(value)))
    except TypeError:
        pass
    return built


def _of_dictionaries(values: list[Any], longest: int) -> Any:
    from hypothesis import strategies as st

    names = set(values[0])
    if all(set(value) == names for value in values) and all(isinstance(name, str) for name in names):
        return st.fixed_dictionaries({name: _strategy([value[name] for value in values]) for name in values[0]})
    keys = _strategy([key for value in values for key in value][:200])
    return st.dictionaries(keys, _strategy([each for value in values for each in value.values()][:200]),
                           max_size=longest)  # fmt: skip


def _of_arrays(values: list[Any]) -> Any:
    """Arrays of the same types and numbers of dimensions whose elements are drawn from those that were seen."""
    from hypothesis import strategies as st

    numpy = sys.modules["numpy"]

    def build(seed: int) -> Any:
        generator = numpy.random.Generator(numpy.random.PCG64(seed))
        model = values[seed % len(values)]
        length = int(generator.integers(0, 2 * model.shape[0] + 2))
        flat = model.reshape(model.shape[0], -1)
        if not flat.size:
            return model.copy()
        rows = generator.integers(0, flat.shape[0], size=(length, flat.shape[1]))
        return numpy.take_along_axis(flat, rows, axis=0).reshape(length, *model.shape[1:])

    return st.one_of(st.sampled_from(values), st.integers(0, 10_000).map(build))
