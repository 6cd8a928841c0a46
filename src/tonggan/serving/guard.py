"""What stands before every route: the name it was called by, its key, and the size of its body.

A plain ASGI middleware: it also stops reading a body of no stated length as soon as it grows beyond the limit.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from tonggan.serving.authentication import Keys
from tonggan.serving.failures import error_body

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_OPEN_PATHS = ("/health",)


class _TooLargeError(Exception):
    """Ends the reading of a body."""


class Guard:
    """Refuses a request before any of it is parsed.

    Args:
        app: what answers the others.
        keys: of which a request must show one, but for ``/health``.
        max_bytes: of a body.
        loopback_only: take only requests that name this machine's loopback in ``Host``, so that no web page can reach
            the server through a name that its owner points there (DNS rebinding).
    """

    def __init__(self, app: Application, *, keys: Keys, max_bytes: int, loopback_only: bool) -> None:
        self._app = app
        self._keys = keys
        self._max_bytes = max_bytes
        self._loopback_only = loopback_only

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        refusal = self._refusal(scope["path"], headers)
        if refusal is not None:
            await _refuse(send, *refusal)
            return
        await self._answer(scope, receive, send)

    def _refusal(self, path: str, headers: dict[bytes, bytes]) -> tuple[int, str, str] | None:
        """Status, message and code of what is wrong with a request, None if nothing is."""
        host = headers.get(b"host", b"").decode("latin-1")
        if self._loopback_only and _name_of(host) not in LOOPBACK:
            message = f"This server answers to {' and '.join(LOOPBACK)} only, not to '{host}'."
            return 421, message, "wrong_host"
        if path not in _OPEN_PATHS and not self._keys.allow(headers.get(b"authorization", b"")):
            return 401, "This server wants one of its keys in 'Authorization: Bearer KEY'.", "invalid_api_key"
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._max_bytes:
            return self._too_large()
        return None

    def _too_large(self) -> tuple[int, str, str]:
        return 413, f"The request is larger than {self._max_bytes:,} bytes, the limit of this server.", "too_large"

    async def _answer(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Let the application answer, and do so in its place once the body has grown too large."""
        received, is_too_large, has_started = 0, False, False

        async def count() -> Message:
            nonlocal received, is_too_large
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                is_too_large = True
                raise _TooLargeError
            return message

        async def watch(message: Message) -> None:
            nonlocal has_started
            if not is_too_large or has_started:
                has_started = True
                await send(message)

        with contextlib.suppress(_TooLargeError):  # where the application has not caught it
            await self._app(scope, count, watch)
        if is_too_large and not has_started:
            await _refuse(send, *self._too_large())


def _name_of(host: str) -> str:
    """A ``Host`` header without its port, in lower case."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


async def _refuse(send: Send, status: int, message: str, code: str) -> None:
    body = json.dumps(error_body(message, status=status, code=code)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers.append((b"connection", b"close"))  # what is left of the body will not be read
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
