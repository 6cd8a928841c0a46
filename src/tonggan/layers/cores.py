"""How many cores PyTorch works on, and work on several at once, each with its own item. It starts no processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

_ItemT = TypeVar("_ItemT")
_ResultT = TypeVar("_ResultT")


@contextmanager
def num_threads(threads: int) -> Iterator[None]:
    """Let PyTorch use so many threads, and afterwards as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def map_on_cores(function: Callable[[_ItemT], _ResultT], items: Sequence[_ItemT]) -> Iterator[_ResultT]:
    """``map``, in order, with as many items at a time as PyTorch uses threads, and one thread for each.

    Products of small matrices gain more from it than from threads of their own, which wait for one another: so one
    item has one thread, too. ``function`` must not depend on what is set for the calling thread alone, such as
    ``torch.no_grad``.
    """
    threads = torch.get_num_threads()
    if threads == 1 or not items:
        yield from map(function, items)
        return
    pool = ThreadPoolExecutor(
        min(threads, len(items)), thread_name_prefix="tonggan-core", initializer=torch.set_num_threads, initargs=(1,)
    )
    try:
        yield from pool.map(function, items)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # threads to come begin with the number that was set last
