"""Serve until told to stop: one process, one port, one event loop, and the threads of its models.

The application is guard, meter, routes, and errors in OpenAI's shape; a connection is uvicorn's, with an end to waiting
for a client that stops in the middle.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import logging
import math
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from tonggan.errors import ConfigError, MissingExtraError, TongganError
from tonggan.progress import Progress
from tonggan.serving.authentication import Keys
from tonggan.serving.config import ServerConfig
from tonggan.serving.context import Context
from tonggan.serving.description import describe
from tonggan.serving.failures import error_body, failure_of
from tonggan.serving.guard import LOOPBACK, Guard, Stopping
from tonggan.serving.metrics import Meter, Metrics
from tonggan.serving.routes import (
    chat,
    completions,
    docs,
    embeddings,
    infill,
    predict,
    recommend,
    speeches,
    status,
    transcriptions,
)
from tonggan.serving.routes import code as code_routes
from tonggan.serving.routes import search as search_routes
from tonggan.serving.services import CodeService, SearchService, Service
from tonggan.wording import translated

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

_READ_AT_ONCE = 2**13
"""Bytes; asyncio's 256 KiB may hold a body in 40,000 chunks of one byte, which keep the event loop for many seconds."""
_logger = logging.getLogger(__name__)
_RETRY_AFTER = "1"
_PACKAGES = {
    "fastapi": "fastapi",
    "uvicorn": "uvicorn",
    "prometheus_client": "prometheus-client",
    "python_multipart": "python-multipart",
}
_WAITING_CONNECTIONS = 2048
_KEEP_ALIVE = 60
"""Seconds that an idle connection stays open: longer than clients keep one (httpx: 5), so that they are who closes."""
_LAST_WORDS = 5
"""Seconds more in which those whose time to stop is over are told so."""


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


def create_app(
    services: Sequence[Service],
    *,
    config: ServerConfig,
    keys: Keys,
    loopback_only: bool,
    stopping: Stopping,
    code: CodeService | None = None,
    rows: SearchService | None = None,
) -> FastAPI:
    """The ASGI application that serves ``services``; when it shuts down it closes them.

    Args:
        services: with names that differ.
        config: limits.
        keys: of clients.
        loopback_only: whether to take requests to this machine's own names only.
        stopping: says when the server stops.
        code: what searches code; None for a server without that.
        rows: what searches rows, likewise.
    """
    from importlib.metadata import version

    from fastapi import FastAPI

    named = {service.name: service for service in services}
    context = Context(named, config, Metrics(named))
    stopping.add(context.hurry)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        parts = [part for part in (*services, code, rows) if part is not None]
        await asyncio.to_thread(_close, parts, config.stop_timeout)  # what was told to end must be able to

    # FastAPI's own pages load their scripts from elsewhere.
    app = FastAPI(title="Tonggan", version=version("tonggan"), lifespan=lifespan, docs_url=None, redoc_url=None)
    for route in (status, chat, completions, infill, embeddings, predict, recommend, transcriptions, speeches, docs):
        route.register(app, context)
    if code is not None:
        code_routes.register(app, context, code)
    if rows is not None:
        search_routes.register(app, context, rows)
    _register_failures(app)
    describe(app)
    app.add_middleware(Guard, keys=keys, config=config, loopback_only=loopback_only, stopping=stopping)
    app.add_middleware(Meter, metrics=context.metrics)  # the last one added is the first one reached
    return app


def _close(parts: Sequence[Service | CodeService | SearchService], seconds: float) -> None:
    """Close all ``parts``; what takes longer than ``seconds`` is left to the end of the process."""
    threads = [threading.Thread(target=part.close, daemon=True) for part in parts]
    for thread in threads:
        thread.start()
    end = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))


def _register_failures(app: FastAPI) -> None:
    """Every error leaves in OpenAI's shape."""
    from fastapi.responses import JSONResponse
    from starlette.exceptions import HTTPException

    async def named(_: Any, error: Exception) -> JSONResponse:
        code, body = failure_of(error)
        headers = {"Retry-After": _RETRY_AFTER} if code == 429 else None
        return JSONResponse(body, status_code=code, headers=headers)

    async def refused(_: Any, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        body = error_body(translated(str(error.detail)), status=error.status_code)
        return JSONResponse(body, status_code=error.status_code, headers=error.headers)

    async def unexpected(_: Any, error: Exception) -> JSONResponse:
        _logger.error("a request failed", exc_info=error)
        return JSONResponse(failure_of(error)[1], status_code=500)

    app.add_exception_handler(TongganError, named)
    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(Exception, unexpected)


def bound_memory() -> None:
    """Let PyTorch keep few of the programs that it compiles for each shape of a product; call it before any is run.

    By default oneDNN keeps 1024; prompts of all lengths fill that with 200 MB, and no faster answers.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")


def require_packages() -> None:
    """Nothing, where everything that serving needs is installed.

    Raises:
        MissingExtraError: a package is missing.
    """
    for module, package in _PACKAGES.items():
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise MissingExtraError.of(package, extra="serve", purpose="serving") from error


def make_server(
    services: Sequence[Service],
    *,
    host: str,
    config: ServerConfig,
    keys: Keys,
    code: CodeService | None = None,
    rows: SearchService | None = None,
) -> uvicorn.Server:
    """A server that is ready to ``run`` on a socket of ``bind``; a signal, or ``should_exit``, stops it gracefully.

    It takes nothing new then, finishes what it has begun within ``config.stop_timeout``, and closes all services.
    """
    import uvicorn

    stopping = Stopping()

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            stopping.begin()
            await super().shutdown(sockets)

    app = create_app(
        services, config=config, keys=keys, loopback_only=host in LOOPBACK, stopping=stopping, code=code, rows=rows
    )
    settings = uvicorn.Config(
        app,
        log_level="warning",
        lifespan="on",
        backlog=_WAITING_CONNECTIONS,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=math.ceil(config.stop_timeout) + _LAST_WORDS,
        server_header=False,
        loop="asyncio",
        http=connection_class(config.read_timeout),
        ws="none",
    )
    return Server(settings)


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any that is free.

    Raises:
        ConfigError: the address cannot be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind, protocol)
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind(address)
            found.listen(_WAITING_CONNECTIONS)
        except OSError:
            found.close()
            raise
    except OSError as error:
        raise ConfigError(
            f"address {host}:{port}",
            got=error.strerror or str(error),
            expected="an address of this machine with a free port",
            remedy="Choose another --host or --port",
        ) from error
    return found


def serve(
    services: Sequence[Service],
    *,
    listening: socket.socket,
    config: ServerConfig,
    keys: Keys,
    progress: Progress,
    code: CodeService | None = None,
    rows: SearchService | None = None,
) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Args:
        services: what is served.
        listening: from ``bind``.
        config: limits.
        keys: of clients; without any, a warning is said where other machines may come.
        progress: told the address.
        code: what searches code, if anything does.
        rows: what searches rows, likewise.
    """
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    names = [service.name for service in services] + ([rows.name] if rows else [])
    progress.say(f"Serving {', '.join(names)} at http://{shown}:{port}/v1")
    if host not in LOOPBACK and not keys:
        progress.say("Warning: anyone who can reach this machine can use the server; --api-key-file requires a key.")
    with contextlib.suppress(KeyboardInterrupt):  # which uvicorn raises again once all is finished
        make_server(services, host=host, config=config, keys=keys, code=code, rows=rows).run(sockets=[listening])
