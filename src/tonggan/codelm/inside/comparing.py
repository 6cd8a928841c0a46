"""Whether two values are equal to whoever looks closely: types, order, signs of zero, and which objects are shared."""

from __future__ import annotations

import struct
import types
from collections import deque
from typing import Any

MOST_ITEMS = 1000  # that are drawn from an iterator
_PLAIN = (int, str, bytes, bool, type(None), complex, range, slice, type(Ellipsis), type(NotImplemented))
_SAME_ONLY = (type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType, types.MethodWrapperType)
_EXAMPLES: tuple[Any, ...] = (
    iter([]), iter(()), iter({}), iter({}.items()), iter({}.values()), iter(set()), iter(""), iter(b""), iter(range(0)),
    map(str, ()), zip(), filter(None, ()), enumerate(()), reversed([]), reversed(()),
)  # fmt: skip
_ITERATORS: tuple[type, ...] = (types.GeneratorType, *(type(each) for each in _EXAMPLES))


class UncomparableError(Exception):
    """Values of a type whose content nobody can see."""


def difference(first: Any, second: Any) -> str | None:
    """Where ``second`` differs from ``first``, as a path with what is there; None where they are equal.

    Raises:
        UncomparableError: that cannot be told.
    """
    return _Comparison().between(first, second, "")


class _Comparison:
    def __init__(self) -> None:
        self._pairs: dict[int, int] = {}
        self._back: dict[int, int] = {}
        self._kept: list[Any] = []  # so that no id is used twice

    def between(self, first: Any, second: Any, place: str) -> str | None:
        if type(first) is not type(second):
            return f"{place}: {type(first).__name__} became {type(second).__name__}"
        if isinstance(first, float):
            same = struct.pack("<d", first) == struct.pack("<d", second) or (first != first and second != second)
            return None if same else _changed(first, second, place)
        if type(first) in _PLAIN:
            return None if first == second else _changed(first, second, place)
        if isinstance(first, _SAME_ONLY):
            return None if _names(first) == _names(second) else _changed(first, second, place)
        if not isinstance(first, tuple | frozenset):
            known = self._pairs.get(id(first)), self._back.get(id(second))
            if known == (id(second), id(first)):
                return None
            if known != (None, None):
                return f"{place}: another object is shared"
            self._pairs[id(first)], self._back[id(second)] = id(second), id(first)
            self._kept += [first, second]
        return self._inside(first, second, place)

    def _inside(self, first: Any, second: Any, place: str) -> str | None:
        if isinstance(first, dict):
            found = self._sequences(list(first), list(second), f"{place} keys")
            found = found or self._sequences(list(first.values()), list(second.values()), f"{place} values")
            return found or self._attributes(first, second, place, empty=True)
        if isinstance(first, list | tuple | deque | set | frozenset):
            found = self._sequences(list(first), list(second), place)
            return found or self._attributes(first, second, place, empty=True)
        if isinstance(first, bytearray | memoryview):
            return None if bytes(first) == bytes(second) else _changed(first, second, place)
        if isinstance(first, BaseException):
            found = self.between(first.args, second.args, f"{place}.args")
            return found or self._attributes(first, second, place, empty=True)
        if isinstance(first, _ITERATORS):
            return self.between(_drawn(first), _drawn(second), f"{place} items")
        if isinstance(first, types.MethodType):
            return self.between((first.__func__, first.__self__), (second.__func__, second.__self__), place)
        known = _of_library(first, second, place)
        if known is not None:
            return known or None
        return self._attributes(first, second, place, empty=False)

    def _sequences(self, first: list[Any], second: list[Any], place: str) -> str | None:
        if len(first) != len(second):
            return f"{place}: {len(first)} items became {len(second)}"
        for index, (one, other) in enumerate(zip(first, second, strict=True)):
            found = self.between(one, other, f"{place}[{index}]")
            if found is not None:
                return found
        return None

    def _attributes(self, first: Any, second: Any, place: str, *, empty: bool) -> str | None:
        names, others = _attributes_of(first), _attributes_of(second)
        if names is None or others is None:
            if empty:
                return None
            if type(first) is object:
                return None
            if not any("__eq__" in vars(kind) for kind in type(first).__mro__[:-1]):
                raise UncomparableError(f"{place}: {type(first).__name__}")
            return None if bool(first == second) and repr(first) == repr(second) else _changed(first, second, place)
        return self.between(names, others, f"{place} attributes") if names or others else None


def _attributes_of(value: Any) -> dict[str, Any] | None:
    """Attributes of an instance of a class that is written in Python; None of another."""
    slots = [
        name
        for kind in type(value).__mro__
        for name in ([kind.__dict__["__slots__"]] if isinstance(kind.__dict__.get("__slots__"), str)
                     else kind.__dict__.get("__slots__", ()))
    ]  # fmt: skip
    if not hasattr(value, "__dict__") and not slots:
        return None
    found = {name: getattr(value, name) for name in slots if hasattr(value, name) and name != "__weakref__"}
    # A fresh dictionary, whose order is that of the names: attributes have none that anybody relies on.
    return dict(sorted({**found, **getattr(value, "__dict__", {})}.items()))


def _of_library(first: Any, second: Any, place: str) -> str | None:
    """For values of NumPy and pandas: the difference, or nothing as an empty text; None for all others."""
    kind = type(first).__module__.partition(".")[0]
    if kind == "numpy" and hasattr(first, "dtype") and hasattr(first, "tobytes"):
        if (first.dtype, first.shape) != (second.dtype, second.shape):
            return f"{place}: {first.dtype}{list(first.shape)} became {second.dtype}{list(second.shape)}"
        if first.dtype == object:
            return difference(first.ravel().tolist(), second.ravel().tolist()) or ""
        return "" if first.tobytes() == second.tobytes() else _changed(first, second, place)
    if kind == "pandas" and hasattr(first, "equals"):
        same = first.equals(second)
        if hasattr(first, "index"):
            same = same and first.index.equals(second.index) and type(first.index) is type(second.index)
        for name in ("dtypes", "columns", "name", "dtype"):
            if hasattr(first, name):
                one, other = getattr(first, name), getattr(second, name)
                same = same and (one.equals(other) if hasattr(one, "equals") else repr(one) == repr(other))
        return "" if same else _changed(first, second, place)
    return None


def _drawn(items: Any) -> list[Any]:
    """What an iterator has, up to a bound, and the error with which it ends."""
    found: list[Any] = []
    try:
        for item in items:
            found.append(item)
            if len(found) == MOST_ITEMS:
                break
    except Exception as error:  # noqa: BLE001 - the user's own
        found.append(error)
    return found


def _names(value: Any) -> Any:
    return (getattr(value, "__module__", None), getattr(value, "__qualname__", value))


def _changed(first: Any, second: Any, place: str) -> str:
    return f"{place}: {_short(first)} became {_short(second)}"


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - the user's own
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 80 else f"{text[:77]}..."
