"""What all routes share: the services by name, the limits, the metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from tonggan.errors import TimeLimitError
from tonggan.serving.config import ServerConfig
from tonggan.serving.delivery import Delivery
from tonggan.serving.failures import RefusedError
from tonggan.serving.metrics import CANCEL, Metrics
from tonggan.serving.services import RowService, Service, TextService
from tonggan.serving.writer import Writer

_ResultT = TypeVar("_ResultT")


@dataclass(frozen=True)
class Context:
    """The server as its routes see it."""

    services: Mapping[str, Service]
    config: ServerConfig
    metrics: Metrics

    def service(self, name: str) -> Service:
        """The service called ``name``.

        Raises:
            RefusedError: there is none.
        """
        if name not in self.services:
            raise RefusedError(
                "model",
                got=f"'{name}'",
                expected="one of " + ", ".join(self.services),
                remedy="See GET /v1/models",
                status=404,
                param="model",
                code="model_not_found",
            )
        return self.services[name]

    def texts(self, name: str | None) -> TextService:
        """The model called ``name`` that writes texts; the first one where no name is given.

        Raises:
            RefusedError: there is no such model, or it writes none.
        """
        if name is None:
            name = next((each for each, service in self.services.items() if service.texts is not None), "")
        texts = self.service(name).texts
        if texts is None:
            raise _cannot(name, "writes texts", remedy="This model predicts: use /v1/predict or /v1/embeddings")
        return texts

    def rows(self, name: str | None) -> RowService:
        """The trained run called ``name``, or the only one.

        Raises:
            RefusedError: there is no such run, or several and no name.
        """
        if name is None:
            runs = [each for each, service in self.services.items() if service.rows is not None]
            if len(runs) != 1:
                raise RefusedError(
                    "model",
                    got="no name",
                    expected="one of " + ", ".join(runs) if runs else "a trained run, of which none is served",
                    remedy="Name the model",
                    param="model",
                )
            name = runs[0]
        rows = self.service(name).rows
        if rows is None:
            raise _cannot(name, "reads rows", remedy="This is a language model: use /v1/chat/completions")
        return rows

    async def begin(self, writer: Writer, delivery: Delivery, request: Any) -> None:
        """Hand all of a request's jobs over; they are let go when the request is over, however it ends.

        Raises:
            TongganError: they cannot be taken.
        """
        request.scope[CANCEL] = delivery.cancel
        await asyncio.to_thread(writer.submit, delivery.jobs)

    async def result(self, future: Future[_ResultT]) -> _ResultT:
        """The result of work that a batcher does.

        Raises:
            TimeLimitError: it takes too long.
        """
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self.config.timeout)
        except TimeoutError as error:
            raise TimeLimitError(
                "request",
                got=f"no end within {self.config.timeout:g} s",
                expected="an answer in the time that the server allows",
                remedy="Send fewer rows, or try when the server is less busy",
            ) from error


def _cannot(name: str, ability: str, *, remedy: str) -> RefusedError:
    return RefusedError("model", got=f"'{name}'", expected=f"a model that {ability}", remedy=remedy, param="model")


async def unless_left(request: Any, work: Awaitable[_ResultT]) -> _ResultT:
    """The result of ``work``, which is dropped as soon as the client of ``request`` has left.

    Raises:
        RefusedError: it has; nobody will read this.
    """
    task = asyncio.ensure_future(work)
    left = asyncio.ensure_future(_leaving(request))
    try:
        await asyncio.wait((task, left), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
    finally:
        task.cancel()
        left.cancel()
    raise RefusedError("request", got="a client that left", expected="one that waits", remedy="Ask again", status=499)


async def _leaving(request: Any) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
