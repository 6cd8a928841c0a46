"""Interleaved pairs of times of two functions on the same calls, and the memory that they take."""

from __future__ import annotations

import contextlib
import gc
import inspect
import io
import random
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

from .observing import Call, TooLongError, finished, seed_all, time_limit

_SAMPLE = 0.002  # seconds that one sample takes at least
_MOST_REPEATS = 2000
_LAZY = (inspect.isgeneratorfunction, inspect.iscoroutinefunction, inspect.isasyncgenfunction)


def sample(function: Callable[..., Any], calls: list[Call], repeats: int) -> float:
    """Processor seconds of all ``calls``, as the mean of ``repeats`` times; copying the arguments is not counted."""
    total = 0.0
    # Of this thread: what else runs on the machine does not count. Where the processor is limited, the clock of the
    # process is that of the limit, and coarse.
    clock = time.thread_time
    is_lazy = any(test(function) for test in _LAZY)
    for _ in range(repeats):
        copies = [call.copied() for call in calls]
        seed_all()
        start = clock()
        for call in copies:
            try:
                result = function(*call.arguments, **call.keywords)
                if is_lazy:
                    finished(result)
            except Exception:  # noqa: BLE001, S110 - it is compared elsewhere, here it only takes its time
                pass
        total += clock() - start
    return total / repeats


def pairs(
    first: Callable[[], Callable[..., Any]],
    second: Callable[[], Callable[..., Any]],
    calls: list[Call],
    *,
    num_pairs: int,
    seconds: float,
) -> list[tuple[float, float]]:
    """Times of the first and the second function, whose order changes at random; each is put in its place when called.

    Args:
        first: puts the first function in its place and returns it.
        second: the same for the other.
        calls: that both get.
        num_pairs: at most.
        seconds: after which no further pair is begun, once there are five.
    """
    order = random.Random(7)
    found: list[tuple[float, float]] = []
    end = time.monotonic() + seconds
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            once = sample(first(), calls, 1)
            repeats = max(1, min(_MOST_REPEATS, int(_SAMPLE / max(once, 1e-7)) + 1))
            for function in (first, second):
                sample(function(), calls, repeats)  # so that both are warm
            while len(found) < num_pairs and (time.monotonic() < end or len(found) < 5):
                if order.random() < 0.5:
                    one = sample(first(), calls, repeats)
                    found.append((one, sample(second(), calls, repeats)))
                else:
                    other = sample(second(), calls, repeats)
                    found.append((sample(first(), calls, repeats), other))
    finally:
        if was_enabled:
            gc.enable()
    return found


def peak_memory(function: Callable[..., Any], call: Call, *, seconds: float) -> int:
    """Bytes that one call has allocated at most at one time."""
    mine = call.copied()
    tracemalloc.start()
    try:
        with (
            contextlib.suppress(Exception, TooLongError),
            contextlib.redirect_stdout(io.StringIO()),
            time_limit(seconds),
        ):
            finished(function(*mine.arguments, **mine.keywords))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
