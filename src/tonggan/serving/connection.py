"""One client's connection: uvicorn's, with an end to waiting for a client that stops in the middle."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from tonggan.serving.failures import error_body

_READ_AT_ONCE = 2**13
"""Bytes; asyncio's 256 KiB may hold a body in 40,000 chunks of one byte, which keep the event loop for many seconds."""


def connection_class(read_timeout: float) -> type[asyncio.Protocol]:
    """What uvicorn makes for each connection, which is closed when it waits longer than ``read_timeout`` seconds.

    It waits for headers, and for somebody to read what is written. A body that does not arrive is the matter of
    ``Guard``, which can still answer.
    """
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Connection(H11Protocol):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._headers_due = _Timer(self.loop, read_timeout)
            self._reader_due = _Timer(self.loop, read_timeout)

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            transport.max_size = _READ_AT_ONCE  # type: ignore[attr-defined]
            self._headers_due.start(transport.close)

        def data_received(self, data: bytes) -> None:
            self._headers_due.start(self.transport.close)
            super().data_received(data)
            if self.cycle is not None and not self.cycle.response_complete:
                self._headers_due.cancel()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._reader_due.start(self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            self._reader_due.cancel()

        def connection_lost(self, exc: Exception | None) -> None:
            self._headers_due.cancel()
            self._reader_due.cancel()
            super().connection_lost(exc)

        def send_400_response(self, msg: str) -> None:
            """What is not HTTP is answered in the shape of every other error, unless an answer has begun."""
            if self.cycle is None or not self.cycle.response_started or self.cycle.response_complete:
                body = json.dumps(error_body(f"{msg} Headers have at most 64 KiB.", status=400)).encode()
                head = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n"
                self.transport.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)
            self.transport.close()

    return Connection


class _Timer:
    """Calls something after a time, unless it is canceled."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._loop = loop
        self._seconds = seconds
        self._handle: asyncio.TimerHandle | None = None

    def start(self, call: Callable[[], None]) -> None:
        """Begin to wait, where it does not yet."""
        if self._handle is None:
            self._handle = self._loop.call_later(self._seconds, call)

    def cancel(self) -> None:
        """Wait no more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
