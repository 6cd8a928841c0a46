"""What stands before every route: the name it was called by, its key, and its body, which is read here, within limits.

A plain ASGI middleware. A route sees a request only when all of it has arrived.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

from tonggan.layers.memory import release_memory
from tonggan.serving.authentication import Keys
from tonggan.serving.config import HELD_BODIES, ServerConfig
from tonggan.serving.failures import RefusedError, failure_of

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_LOOPBACK_HOST = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)
_OPEN_PATHS = ("/health", "/docs")
_IDLE = 1.0
"""Seconds without work, after which memory is given back."""
_WITH_BODY = ("POST", "PUT", "PATCH")


class Stopping:
    """Whether the server is about to stop, for all that waits."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._listeners: list[Callable[[], None]] = []

    def add(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` when it begins."""
        self._listeners.append(listener)

    def begin(self) -> None:
        """From now on nothing new is taken; called in the event loop."""
        self._event.set()
        for listener in self._listeners:
            listener()

    @property
    def has_begun(self) -> bool:
        return self._event.is_set()

    async def unless(self, work: Awaitable[Any], *, timeout: float) -> Any:
        """The result of ``work``, None where the server stops first.

        Raises:
            TimeoutError: neither came within ``timeout`` seconds.
        """
        task, stop = asyncio.ensure_future(work), asyncio.ensure_future(self._event.wait())
        try:
            done, _ = await asyncio.wait((task, stop), timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                raise TimeoutError
            return task.result() if task in done else None
        finally:
            task.cancel()
            stop.cancel()


class Guard:
    """Refuses a request before any of it is parsed.

    Args:
        app: what answers the others.
        keys: of which a request must show one, but for ``/health`` and the page that describes the server.
        config: limits of bodies.
        loopback_only: take only requests that name this machine's loopback in ``Host``, so that no web page can reach
            the server through a name that its owner points there (DNS rebinding).
        stopping: ends the reading of bodies.
    """

    def __init__(
        self, app: Application, *, keys: Keys, config: ServerConfig, loopback_only: bool, stopping: Stopping
    ) -> None:
        self._app = app
        self._keys = keys
        self._config = config
        self._loopback_only = loopback_only
        self._stopping = stopping
        self._held = self._working = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            self._check(scope)
            body = await self._read(receive) if scope["method"] in _WITH_BODY else b""
        except RefusedError as error:
            await _refuse(send, error)
            return
        if body is None:
            return
        if scope["method"] == "HEAD":  # is answered as GET, without the body
            scope, send = {**scope, "method": "GET"}, _without_body(send)
        size = len(body)
        self._working += 1
        try:
            await self._app(scope, _replay([body], receive), send)
        except asyncio.CancelledError:
            if not self._stopping.has_begun:
                raise
            with contextlib.suppress(RuntimeError):  # where an answer has begun, which then breaks off
                await _refuse(send, _stops())
        finally:
            self._held -= size
            self._working -= 1
            if scope["method"] in _WITH_BODY and not self._working:
                asyncio.get_running_loop().call_later(_IDLE, self._tidy)

    def _tidy(self) -> None:
        """Give back what the work of the last requests has left, unless there is more of it."""
        if not self._working:
            asyncio.get_running_loop().run_in_executor(None, release_memory)

    def _check(self, scope: Scope) -> None:
        """Everything that the headers alone decide."""
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        if self._loopback_only and not _LOOPBACK_HOST.fullmatch(host):
            raise RefusedError(
                "Host", got=f"'{host[:80]}'", expected=f"one of {', '.join(LOOPBACK)}, to which alone it answers",
                remedy="Use one of these names, or start the server with --host and --api-key-file", status=421,
                code="wrong_host",
            )  # fmt: skip
        if scope["path"] not in _OPEN_PATHS and not self._keys.allow(headers.get(b"authorization", b"")):
            raise RefusedError(
                "Authorization", got="none of this server's keys", expected="'Bearer KEY'",
                remedy="Ask whoever runs the server for a key", status=401, code="invalid_api_key",
            )  # fmt: skip
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._config.max_bytes:
            raise self._too_large(f"{int(length):,} bytes" if length.isdigit() else repr(length)[:80])
        if self._stopping.has_begun:
            raise _stops()

    def _too_large(self, got: str) -> RefusedError:
        return RefusedError(
            "body", got=got, expected=f"at most {self._config.max_bytes:,} bytes, the limit of this server",
            remedy="Send less in one request, or start the server with a larger --max-bytes", status=413,
            code="too_large",
        )  # fmt: skip

    async def _read(self, receive: Receive) -> bytes | None:
        """All of the body, which counts as held from then on; None where the client left.

        Raises:
            RefusedError: too large, too slow, too many of them, or the server stops.
        """
        body = bytearray()
        try:
            async for part in self._parts(receive):
                body += part
                self._held += len(part)
                if len(body) > self._config.max_bytes:
                    raise self._too_large(f"more than {self._config.max_bytes:,} bytes")
                if self._held > HELD_BODIES * self._config.max_bytes:
                    raise RefusedError(
                        "body", got=f"{self._held:,} bytes in all requests that are here now",
                        expected=f"at most {HELD_BODIES * self._config.max_bytes:,}", remedy="Try again in a moment",
                        status=429, code="queue_full",
                    )  # fmt: skip
        except BaseException as error:
            self._held -= len(body)
            if isinstance(error, _LeftError):
                return None
            raise
        return bytes(body)

    async def _parts(self, receive: Receive) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        due = loop.time() + self._config.timeout
        received, more = 0, True
        while more:
            try:
                seconds = min(self._config.read_timeout, due - loop.time())
                message = await self._stopping.unless(receive(), timeout=max(0.0, seconds))
            except TimeoutError as error:
                raise RefusedError(
                    "body", got=f"{received:,} bytes and no more in time",
                    expected=f"all of it within {self._config.timeout:g} s, no part later than "
                    f"{self._config.read_timeout:g} s after the one before",
                    remedy="Send the body at once", status=408, code="timeout",
                ) from error  # fmt: skip
            if message is None:
                raise _stops()
            if message["type"] == "http.disconnect":
                raise _LeftError
            received += len(message.get("body", b""))
            more = message.get("more_body", False)
            yield message.get("body", b"")


class _LeftError(Exception):
    """Ends the reading of a body."""


def _without_body(send: Send) -> Send:
    """``send`` for the head of an answer alone."""

    async def send_head(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return send_head


def _replay(body: list[bytes], receive: Receive) -> Receive:
    """``receive`` for what comes after the guard: the whole body at once, then what else there is."""

    async def replay() -> Message:
        if body:
            return {"type": "http.request", "body": body.pop(), "more_body": False}
        return await receive()

    return replay


def _stops() -> RefusedError:
    return RefusedError(
        "server", got="a request while it stops", expected="one before", remedy="Ask again once it has restarted",
        status=503,
    )  # fmt: skip


async def _refuse(send: Send, error: RefusedError) -> None:
    status, content = failure_of(error)
    body = json.dumps(content).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers.append((b"connection", b"close"))  # what is left of the body will not be read
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if status in (429, 503):
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
