"""Serve until told to stop: one process, one port, one event loop, and the threads of its models."""

from __future__ import annotations

import contextlib
import importlib
import math
import os
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tonggan.errors import ConfigError, MissingExtraError
from tonggan.progress import Progress
from tonggan.serving.app import create_app
from tonggan.serving.authentication import Keys
from tonggan.serving.code import CodeService
from tonggan.serving.config import ServerConfig
from tonggan.serving.connection import connection_class
from tonggan.serving.guard import LOOPBACK, Stopping
from tonggan.serving.services import Service

if TYPE_CHECKING:
    import uvicorn

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
    services: Sequence[Service], *, host: str, config: ServerConfig, keys: Keys, code: CodeService | None = None
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

    app = create_app(services, config=config, keys=keys, loopback_only=host in LOOPBACK, stopping=stopping, code=code)
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
) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Args:
        services: what is served.
        listening: from ``bind``.
        config: limits.
        keys: of clients; without any, a warning is said where other machines may come.
        progress: told the address.
        code: what searches code, if anything does.
    """
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    progress.say(f"Serving {', '.join(service.name for service in services)} at http://{shown}:{port}/v1")
    if host not in LOOPBACK and not keys:
        progress.say("Warning: everyone who reaches this machine may use the server; --api-key-file asks for a key.")
    with contextlib.suppress(KeyboardInterrupt):  # which uvicorn raises again once all is finished
        make_server(services, host=host, config=config, keys=keys, code=code).run(sockets=[listening])
