"""The calls that tests really make: arguments copied at the moment of the call, bounded in number and size."""

from __future__ import annotations

import sys
import threading
import types
from dataclasses import dataclass, field
from typing import Any

from .comparing import UncomparableError, difference
from .observing import Call

MOST_CALLS = 40  # of one function that are kept
_MOST_SEEN = 2000  # that are looked at
_MOST_FRAMES = 40  # that are looked through for the same function
_MOST_ELEMENTS = 20_000  # in all arguments of one call


@dataclass
class Recorded:
    """Calls of one function.

    Attributes:
        code_place: file and first line of its code.
        calls: with different arguments.
        num_seen: calls that were looked at.
        left_out: why calls were not kept.
    """

    code_place: tuple[str, int]
    calls: list[Call] = field(default_factory=list)
    num_seen: int = 0
    left_out: dict[str, int] = field(default_factory=dict)

    def add(self, frame: types.FrameType) -> None:
        """Keep the arguments of the call that ``frame`` is, if they are new."""
        self.num_seen += 1
        if self.num_seen > _MOST_SEEN or len(self.calls) >= MOST_CALLS:
            return
        try:
            call = _arguments(frame)
            if _size(call) > _MOST_ELEMENTS:
                self._leave("larger than what is kept")
                return
            mine = call.copied()
            if all(_differ(mine, other) for other in self.calls):
                self.calls.append(mine)
        except Exception as error:  # noqa: BLE001 - copying runs the user's code
            self._leave(f"cannot be copied: {type(error).__name__}: {error}"[:120])

    def _leave(self, reason: str) -> None:
        self.left_out[reason] = self.left_out.get(reason, 0) + 1


class Recorder:
    """Looks at all calls while a block runs, in this thread and in those that are started."""

    def __init__(self, functions: list[Recorded]) -> None:
        self._functions = {each.code_place: each for each in functions}
        self._known: dict[types.CodeType, Recorded | None] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Recorder:
        threading.setprofile(self._look)
        sys.setprofile(self._look)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)

    def _look(self, frame: types.FrameType, event: str, _argument: Any) -> None:
        if event != "call":
            return
        code = frame.f_code
        try:
            found = self._known[code]
        except KeyError:
            found = self._functions.get((code.co_filename, code.co_firstlineno))
            found = None if found is None or code.co_name in ("<lambda>", "<module>", "<listcomp>") else found
            self._known[code] = found
        # A generator is called again for each item, with its locals as they have become.
        if found is not None and frame.f_lasti <= _first_instruction(code) and not _is_recursive(frame):
            with self._lock:
                found.add(frame)


def _is_recursive(frame: types.FrameType) -> bool:
    """Whether the function has been called by itself: then the outer call holds this one."""
    caller = frame.f_back
    for _ in range(_MOST_FRAMES):
        if caller is None:
            return False
        if caller.f_code is frame.f_code:
            return True
        caller = caller.f_back
    return False


def _first_instruction(code: types.CodeType) -> int:
    """Offset up to which nothing of the body has run: where the first line of code is resumed."""
    import dis

    known = _RESUME.get(code)
    if known is None:
        known = next((each.offset for each in dis.get_instructions(code) if each.opname == "RESUME"), 0)
        _RESUME[code] = known
    return known


_RESUME: dict[types.CodeType, int] = {}


def _arguments(frame: types.FrameType) -> Call:
    code, local = frame.f_code, frame.f_locals
    names = code.co_varnames
    num_positional = code.co_argcount
    num_all = num_positional + code.co_kwonlyargcount
    arguments = [local[name] for name in names[:num_positional]]
    keywords = {name: local[name] for name in names[num_positional:num_all]}
    if code.co_flags & 0x04:
        arguments += local[names[num_all]]
        num_all += 1
    if code.co_flags & 0x08:
        keywords |= local[names[num_all]]
    return Call(tuple(arguments), keywords)


def _size(value: Any, depth: int = 0) -> int:
    """About how many elements there are, without going on forever."""
    if isinstance(value, Call):
        return _size((value.arguments, value.keywords))
    if isinstance(value, str | bytes | bytearray):
        return 1 + len(value) // 8
    if hasattr(value, "nbytes"):
        return 1 + int(value.nbytes) // 8
    if isinstance(value, dict | list | tuple | set | frozenset) and depth < 6:
        if len(value) > _MOST_ELEMENTS:
            return len(value)
        items = [*value.keys(), *value.values()] if isinstance(value, dict) else list(value)
        total = 1
        for item in items:
            total += _size(item, depth + 1)
            if total > _MOST_ELEMENTS:
                break
        return total
    return 1


def _differ(first: Call, second: Call) -> bool:
    try:
        pairs = ((first.arguments, first.keywords), (second.arguments, second.keywords))
        return difference(*pairs) is not None
    except UncomparableError:
        return True
