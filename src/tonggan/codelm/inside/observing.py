"""One call, and all that can be seen of it: result, exception, arguments, output, random state, side effects."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import inspect
import io
import marshal
import random
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .comparing import MOST_ITEMS, difference

_SEED = 20_817
# What a call may not do if it is to be repeated: beyond the process, or not the same a second time.
_EFFECTS = ("open", "os.", "shutil.", "socket.", "subprocess.", "tempfile.", "time.sleep", "sqlite3.", "ctypes.")
_QUIET = {"os.listdrives", "os.fspath"}


@dataclass(frozen=True)
class Call:
    """Arguments of one call; they are copied before each use."""

    arguments: tuple[Any, ...]
    keywords: dict[str, Any]

    @cached_property
    def packed(self) -> bytes | None:
        """Plain values as bytes, which are unpacked many times as fast as they are copied; None for others."""
        both = self.arguments, self.keywords
        try:
            return marshal.dumps(both) if _is_plain(both) else None  # It would take an array for its bytes.
        except (ValueError, RecursionError):
            return None

    def copied(self) -> Call:
        """A deep copy in which what is shared stays shared."""
        both = self.arguments, self.keywords
        arguments, keywords = copy.deepcopy(both) if self.packed is None else marshal.loads(self.packed)  # noqa: S302
        return Call(arguments, keywords)


_PLAIN = frozenset({int, float, complex, str, bytes, bool, type(None), type(Ellipsis)})


def _is_plain(value: Any) -> bool:
    """Whether a value is made of builtin types alone, and of no classes that are derived from them."""
    kind = type(value)
    if kind in _PLAIN:
        return True
    if kind is dict:
        return all(_is_plain(key) and _is_plain(each) for key, each in value.items())
    return kind in (list, tuple, set, frozenset) and all(_is_plain(each) for each in value)


@dataclass(frozen=True)
class Observation:
    """What one call did.

    Attributes:
        seen: result and arguments afterwards, or exception and arguments; compared as one, so that sharing counts.
        rest: output, and the state of the random number generators.
        effects: what it reached outside of the process.
        end: whether it returned, raised, or was stopped for its time, depth or memory.
    """

    seen: tuple[Any, ...]
    rest: tuple[Any, ...]
    effects: tuple[str, ...]
    end: str


class TooLongError(BaseException):
    """It is no Exception, so that the user's code does not catch it by chance."""


@dataclass
class _Effects:
    """What is audited while a call runs; a hook cannot be taken away again."""

    active: bool = False
    thread: int = 0
    found: list[str] = field(default_factory=list)

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.active or threading.get_ident() != self.thread or not event.startswith(_EFFECTS):
            return
        if event in _QUIET or (event == "open" and str(arguments[0]).endswith((".py", ".pyc", ".so"))):
            return  # a late import
        name = {"open": "opens files", "time.sleep": "waits"}.get(event, f"calls {event}")
        if name not in self.found:
            self.found.append(name)


_effects = _Effects()


def watch_effects() -> None:
    """Begin to audit; once in a process."""
    sys.addaudithook(_effects.hook)


def observe(function: Callable[..., Any], call: Call, *, seconds: float) -> Observation:
    """Call ``function`` with a copy of ``call``, from a fixed random state, and see what comes of it."""
    mine = call.copied()
    seed_all()
    output = io.StringIO()
    _effects.found, _effects.thread, _effects.active = [], threading.get_ident(), True
    end, result = "returned", None
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output), time_limit(seconds):
            result = finished(function(*mine.arguments, **mine.keywords))
    except TooLongError:
        end = "stopped"
    except (RecursionError, MemoryError) as error:
        end, result = "exhausted", error
    except (Exception, SystemExit, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever the user's code raises
        end, result = "raised", error
    finally:
        _effects.active = False
    rest = (output.getvalue(), *_random_states())
    return Observation((result, mine.arguments, mine.keywords), rest, tuple(_effects.found), end)


def finished(result: Any) -> Any:
    """What a generator yields, up to a bound, and what a coroutine returns: none runs before it is asked."""
    if inspect.iscoroutine(result):
        return _awaited(result)
    if inspect.isasyncgen(result):
        return _awaited(_drawn_async(result))
    if isinstance(result, types.GeneratorType):
        return _drawn(result)
    return result


def _awaited(coroutine: Any) -> Any:
    """The result of a coroutine; that its loop opens a pair of sockets is no effect of it."""
    was_active, _effects.active = _effects.active, False
    with asyncio.Runner() as runner:
        runner.get_loop()
        _effects.active = was_active
        try:
            return runner.run(coroutine)
        finally:
            _effects.active = False


def _drawn(items: Any) -> tuple[str, list[Any], Any]:
    found: list[Any] = []
    while len(found) < MOST_ITEMS:
        try:
            found.append(next(items))
        except StopIteration as stop:
            return "generator", found, stop.value
    return "generator", found, "and more"


async def _drawn_async(items: Any) -> tuple[str, list[Any]]:
    found: list[Any] = []
    async for item in items:
        found.append(item)
        if len(found) == MOST_ITEMS:
            break
    return "asynchronous generator", found


def contrast(first: Observation, second: Observation) -> str | None:
    """How a second call differs from the first; None where it does not.

    Raises:
        UncomparableError: that cannot be told.
    """
    if first.end != second.end:
        return f"{_told(first)}, then {_told(second)}"
    found = difference(first.seen, second.seen)
    if found is not None:
        names = {"[0]": "result", "[1]": "arguments", "[2]": "keyword arguments"}
        return names.get(found[:3], "") + found[3:] if first.end == "returned" else f"exception {found}"
    if first.rest[0] != second.rest[0]:
        return "output"
    return None if first.rest == second.rest else "random state"


def _told(observation: Observation) -> str:
    return f"raised {observation.seen[0]!r}"[:120] if observation.end == "raised" else observation.end


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Stop the block after ``seconds``; in the main thread, and where Python code runs."""
    is_running = True

    def stop(_number: int, _frame: types.FrameType | None) -> None:
        if is_running:
            raise TooLongError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)  # again, where the user's code has caught it
    try:
        yield
    finally:
        is_running = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def seed_all() -> None:
    """Give all random number generators a fixed state."""
    random.seed(_SEED)
    numpy = sys.modules.get("numpy")
    if numpy is not None and hasattr(numpy, "random"):
        numpy.random.seed(_SEED)


def _random_states() -> tuple[Any, ...]:
    numpy = sys.modules.get("numpy")
    if numpy is None or not hasattr(numpy, "random"):
        return (random.getstate(),)
    name, keys, *rest = numpy.random.get_state()
    return random.getstate(), name, keys.tobytes(), *rest
