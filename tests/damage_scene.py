"""Files as a broken disk, a cut-off copy or a careless editor leaves them, and what reading them must not do."""

from __future__ import annotations

import copy
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tonggan.errors import TongganError

WRONG: list[Any] = [
    None, True, -1, 10**9, 10**30, float("inf"), float("nan"), "", "x" * 100_000, [], ["a", 1], {}, {"a": []},
]  # fmt: skip
NESTED = b"[" * 100_000 + b"]" * 100_000
SECONDS = 20
BYTES = 1 << 30


def cut_and_flipped(content: bytes, *, cuts: int = 8, flips: int = 24) -> Iterator[bytes]:
    """``content`` cut short at places from its beginning to its end, and with one byte changed at random places."""
    random = np.random.default_rng(len(content))
    if not content:
        return
    for place in np.linspace(0, len(content) - 1, cuts, dtype=int).tolist():
        yield content[:place]
    for place in random.integers(len(content), size=flips).tolist():
        for changed in (content[place] ^ (1 << int(random.integers(8))), int(random.integers(256))):
            if changed != content[place]:
                yield content[:place] + bytes([changed]) + content[place + 1 :]


def no_content() -> Iterator[bytes]:
    """What is no content of any format that is not plain text."""
    yield from (b"", b"\0" * 1000, b"[]", b"{}", b"null", NESTED, b'{"a":' * 100_000, b"\xff\xfe{}", b'{"a": NaN}')
    yield b'{"format": ' + b"9" * 5000 + b"}"


def with_wrong_values(value: Any, *, each: int = 3) -> Iterator[Any]:
    """``value``, as JSON has it, with each of its values replaced by some others, and left out."""
    random = np.random.default_rng(0)
    for place in places(value):
        for number in random.choice(len(WRONG), size=each, replace=False).tolist():
            yield changed(value, place, WRONG[number])
        if place:
            yield changed(value, place, changed)


@contextmanager
def bounded(path: Path) -> Iterator[None]:
    """What is done in the block takes bounded time and memory; a TongganError in it ends it, and must say it all."""
    said = None
    begin, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        yield
    except TongganError as error:
        said = error
    assert said is None or all((said.who, said.got, said.expected, said.remedy)), path
    assert len(str(said)) < 5_000, path
    assert time.process_time() - begin < SECONDS, path
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < BYTES, path


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all values in ``value``, of a long list the first two."""
    yield place
    below = value.items() if isinstance(value, dict) else list(enumerate(value))[:2] if isinstance(value, list) else ()
    for key, child in below:
        yield from places(child, (*place, key))


def changed(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    """``new`` in that place; this function itself for nothing."""
    if not place:
        return new
    result = copy.deepcopy(value)
    parent = result
    for key in place[:-1]:
        parent = parent[key]
    if new is changed:
        del parent[place[-1]]
    else:
        parent[place[-1]] = new
    return result
