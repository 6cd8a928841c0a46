"""Dynamic batching: items of several requests go through a function together, which waits a little for more of them."""

from __future__ import annotations

import logging
import queue as queue_
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from tonggan.errors import DataError, QueueFullError, TongganError

_ItemT = TypeVar("_ItemT")
_ResultT = TypeVar("_ResultT")
_Request = tuple[list[_ItemT], Future[list[_ResultT]]]
_logger = logging.getLogger(__name__)


class Batcher(Generic[_ItemT, _ResultT]):
    """One thread that calls ``run`` with the items of as many requests as are there.

    Args:
        run: one result for each item, in order. It must not matter to a result what else is in its batch.
        max_items: of one call of ``run``.
        wait: seconds that the first item of a batch waits for others.
        queue: items that may wait beside those in work.
    """

    def __init__(
        self, run: Callable[[Sequence[_ItemT]], Sequence[_ResultT]], *, max_items: int, wait: float, queue: int
    ) -> None:
        self._run = run
        self._max_items = max_items
        self._wait = wait
        self._capacity = max_items + queue
        self._held = 0
        self._counting = threading.Lock()
        self._requests: queue_.SimpleQueue[_Request[_ItemT, _ResultT] | None] = queue_.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="tonggan-batcher", daemon=True)
        self._thread.start()

    @property
    def held(self) -> int:
        """Items in work or waiting."""
        return self._held

    def require_room(self, count: int) -> None:
        """Nothing when ``count`` items could be taken now; so a request can be refused before work is put into it.

        Raises:
            QueueFullError: too many wait already.
            DataError: so many could never be taken.
        """
        if count > self._capacity:
            raise DataError(
                "request",
                got=f"{count} rows",
                expected=f"at most {self._capacity}, a batch and the queue of this server",
                remedy="Send them in several requests, or start the server with a longer --queue",
            )
        if self._held + count > self._capacity:
            raise QueueFullError(
                "request",
                got=f"{self._held} rows in progress or waiting",
                expected=f"room for {count} more, within {self._capacity}",
                remedy="Try again in a moment, or start the server with a longer --queue",
            )

    def submit(self, items: Sequence[_ItemT]) -> Future[list[_ResultT]]:
        """The results of ``items``, or the error that ``run`` raises for them.

        Raises:
            QueueFullError: too many items wait already.
            DataError: so many could never be taken.
        """
        with self._counting:
            self.require_room(len(items))
            self._held += len(items)
        future: Future[list[_ResultT]] = Future()
        future.add_done_callback(lambda _: self._release(len(items)))
        self._requests.put((list(items), future))
        return future

    def close(self) -> None:
        """Finish what was submitted, then free the thread."""
        self._requests.put(None)
        self._thread.join()

    def _work(self) -> None:
        going = True
        while going:
            requests, going = self._collect()
            self._answer([(items, future) for items, future in requests if future.set_running_or_notify_cancel()])

    def _release(self, count: int) -> None:
        with self._counting:
            self._held -= count

    def _collect(self) -> tuple[list[_Request[_ItemT, _ResultT]], bool]:
        """The requests of the next batch, and whether there will be another one."""
        request = self._requests.get()
        requests, until = [], time.monotonic() + self._wait
        while request is not None:
            requests.append(request)
            if sum(len(items) for items, _ in requests) >= self._max_items:
                return requests, True
            try:
                request = self._requests.get(timeout=max(0.0, until - time.monotonic()))
            except queue_.Empty:
                return requests, True
        return requests, False

    def _answer(self, requests: list[_Request[_ItemT, _ResultT]]) -> None:
        try:
            results = self._results([item for items, _ in requests for item in items])
        except TongganError as error:
            self._fail(requests, error)
        except Exception as error:
            _logger.exception("a batch failed")
            self._fail(requests, error)
        else:
            place = 0
            for items, future in requests:
                future.set_result(results[place : place + len(items)])
                place += len(items)

    def _fail(self, requests: list[_Request[_ItemT, _ResultT]], error: Exception) -> None:
        """One of several requests is at fault; the others shall not suffer from it."""
        if len(requests) == 1:
            requests[0][1].set_exception(error)
        else:
            for request in requests:
                self._answer([request])

    def _results(self, items: list[_ItemT]) -> list[_ResultT]:
        slices = range(0, len(items), self._max_items)
        return [result for start in slices for result in self._run(items[start : start + self._max_items])]
