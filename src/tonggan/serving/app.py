"""The application: guard, meter, routes, and errors in OpenAI's shape. It opens no model and no port."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from tonggan.errors import TongganError
from tonggan.serving.authentication import Keys
from tonggan.serving.code import CodeService
from tonggan.serving.config import ServerConfig
from tonggan.serving.context import Context
from tonggan.serving.description import describe
from tonggan.serving.failures import error_body, failure_of
from tonggan.serving.guard import Guard, Stopping
from tonggan.serving.metrics import Meter, Metrics
from tonggan.serving.routes import chat, completions, docs, embeddings, infill, predict, status
from tonggan.serving.routes import code as code_routes
from tonggan.serving.services import Service
from tonggan.wording import translated

if TYPE_CHECKING:
    from fastapi import FastAPI

_logger = logging.getLogger(__name__)
_RETRY_AFTER = "1"


def create_app(
    services: Sequence[Service],
    *,
    config: ServerConfig,
    keys: Keys,
    loopback_only: bool,
    stopping: Stopping,
    code: CodeService | None = None,
) -> FastAPI:
    """The ASGI application that serves ``services``; when it shuts down it closes them.

    Args:
        services: with names that differ.
        config: limits.
        keys: of clients.
        loopback_only: whether to take requests to this machine's own names only.
        stopping: says when the server stops.
        code: what searches code; None for a server without that.
    """
    from importlib.metadata import version

    from fastapi import FastAPI

    named = {service.name: service for service in services}
    context = Context(named, config, Metrics(named))
    stopping.add(context.hurry)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        parts = [part for part in (*services, code) if part is not None]
        await asyncio.to_thread(_close, parts, config.stop_timeout)  # what was told to end must be able to

    # FastAPI's own pages load their scripts from elsewhere.
    app = FastAPI(title="Tonggan", version=version("tonggan"), lifespan=lifespan, docs_url=None, redoc_url=None)
    for route in (status, chat, completions, infill, embeddings, predict, docs):
        route.register(app, context)
    if code is not None:
        code_routes.register(app, context, code)
    _register_failures(app)
    describe(app)
    app.add_middleware(Guard, keys=keys, config=config, loopback_only=loopback_only, stopping=stopping)
    app.add_middleware(Meter, metrics=context.metrics)  # the last one added is the first one reached
    return app


def _close(parts: Sequence[Service | CodeService], seconds: float) -> None:
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
