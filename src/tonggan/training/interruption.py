"""A request to stop (Ctrl-C, SIGTERM) that waits until the work is at a place from which it can be resumed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Whether the user has asked to stop."""

    def __init__(self) -> None:
        self.received = False

    def receive(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 (the shape of a signal handler)
        """Note the first request; a second Ctrl-C stops at once."""
        if self.received and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = True


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Collect SIGINT and SIGTERM while inside; outside the main thread, where Python allows no handlers, none come."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, request.receive) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
