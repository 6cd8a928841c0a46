"""What all routes share: the services by name, the limits, the metrics, and how a request is worked on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tonggan.errors import TimeLimitError
from tonggan.recommendation.recommender import Recommender
from tonggan.serving.bodies import parse_body, require_json
from tonggan.serving.body import Body
from tonggan.serving.config import ServerConfig
from tonggan.serving.delivery import Delivery
from tonggan.serving.failures import RefusedError
from tonggan.serving.metrics import CANCEL, Metrics
from tonggan.serving.services import RowService, Service, TextService
from tonggan.serving.speech import SpeechService
from tonggan.serving.voice import VoiceService
from tonggan.serving.writer import Writer

_ResultT = TypeVar("_ResultT")
_BodyT = TypeVar("_BodyT", bound=Body)
_DECODERS = 2


@dataclass(frozen=True)
class Context:
    """The server as its routes see it."""

    services: Mapping[str, Service]
    config: ServerConfig
    metrics: Metrics
    _decoding: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_DECODERS))
    _active: set[Delivery] = field(default_factory=set)

    def service(self, name: str | None) -> Service:
        """The service called ``name``, or the only one.

        Raises:
            RefusedError: there is none of that name, or several and no name.
        """
        return self._pick(name, lambda _: True, "is served")

    def texts(self, name: str | None) -> tuple[str, TextService]:
        """Name and model of the service called ``name``, or of the only one that writes texts.

        Raises:
            RefusedError: there is no such model, it writes none, or there are several and no name.
        """
        service = self._pick(name, lambda each: each.texts is not None, "writes texts")
        if service.texts is None:
            remedy = "This model predicts: use /v1/predict or /v1/embeddings"
            raise _cannot(service.name, "writes texts", remedy=remedy)
        return service.name, service.texts

    def rows(self, name: str | None) -> tuple[str, RowService]:
        """Name and run of the service called ``name``, or of the only trained run.

        Raises:
            RefusedError: there is no such run, or there are several and no name.
        """
        service = self._pick(name, lambda each: each.rows is not None, "reads rows")
        if service.rows is None:
            remedy = "This is a language model: use /v1/chat/completions"
            if service.recommender is not None:
                remedy = "This is a recommender: use /v1/recommend"
            raise _cannot(service.name, "reads rows", remedy=remedy)
        return service.name, service.rows

    def recommender(self, name: str | None) -> tuple[str, Recommender]:
        """Name and run of the service called ``name``, or of the only one that recommends.

        Raises:
            RefusedError: there is no such run, it does not, or there are several and no name.
        """
        service = self._pick(name, lambda each: each.recommender is not None, "recommends items")
        if service.recommender is None:
            remedy = "Serve a run of 'tonggan fit --task recommend' beside it"
            raise _cannot(service.name, "recommends items", remedy=remedy)
        return service.name, service.recommender

    def speech(self, name: str | None) -> SpeechService:
        """What writes recordings down, called ``name``, or the only one that does.

        Raises:
            RefusedError: there is no such model, it does not, or there are several and no name.
        """
        service = self._pick(name, lambda each: each.speech is not None, "writes recordings down")
        if service.speech is None:
            remedy = "Serve whisper-base beside it, or a run that reads recordings and writes texts"
            raise _cannot(service.name, "writes recordings down", remedy=remedy)
        return service.speech

    def voice(self, name: str | None) -> VoiceService:
        """What speaks texts, called ``name``, or the only one that does.

        Raises:
            RefusedError: there is no such model, it does not, or there are several and no name.
        """
        service = self._pick(name, lambda each: each.voice is not None, "speaks texts")
        if service.voice is None:
            raise _cannot(service.name, "speaks texts", remedy="Serve the voice hibari beside it")
        return service.voice

    def _pick(self, name: str | None, can: Callable[[Service], bool], ability: str) -> Service:
        """The service called ``name``; without a name, the only one that ``can``."""
        if name:
            if name not in self.services:
                raise _no_model(f"'{name}'", expected="one of " + ", ".join(self.services), status=404)
            return self.services[name]
        able = [service for service in self.services.values() if can(service)]
        if len(able) == 1:
            return able[0]
        if not able:
            raise _no_model("no name", expected=f"a model that {ability}, of which there is none here", status=404)
        raise _no_model("no name", expected="one of " + ", ".join(each.name for each in able), status=400)

    async def body(self, request: Any, kind: type[_BodyT]) -> _BodyT:
        """The body of a request, read as ``kind`` beside the event loop.

        Raises:
            RefusedError: it is not JSON, too much, or not what ``kind`` describes.
        """
        require_json(request.headers)
        return await asyncio.to_thread(parse_body, await request.body(), kind, self.config)

    async def decode(self, function: Callable[..., _ResultT], *arguments: Any) -> _ResultT:
        """Call what decodes pictures and recordings beside the event loop, for few requests at a time."""
        async with self._decoding:
            return await asyncio.to_thread(function, *arguments)

    async def begin(self, writer: Writer, delivery: Delivery, request: Any) -> None:
        """Hand all of a request's jobs over; they are let go when the request is over, however it ends.

        Raises:
            TongganError: they cannot be taken.
        """

        def release() -> None:
            delivery.cancel()
            self._active.discard(delivery)

        self._active.add(delivery)
        request.scope[CANCEL] = release
        await asyncio.to_thread(writer.submit, delivery.jobs)

    def hurry(self) -> None:
        """The server stops: what is being written must end within ``stop_timeout``."""
        for delivery in self._active:
            delivery.hurry(self.config.stop_timeout)

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


def _no_model(got: str, *, expected: str, status: int) -> RefusedError:
    return RefusedError(
        "model", got=got, expected=expected, remedy="See GET /v1/models", status=status, param="model",
        code="model_not_found",
    )  # fmt: skip


def _cannot(name: str, ability: str, *, remedy: str) -> RefusedError:
    return RefusedError("model", got=f"'{name}'", expected=f"a model that {ability}", remedy=remedy, param="model")


async def json_response(content: Any) -> Any:
    """The response with ``content``, written as JSON beside the event loop: vectors and log-probabilities are many."""
    from fastapi import Response

    written = await asyncio.to_thread(lambda: json.dumps(content, ensure_ascii=False).encode())
    return Response(written, media_type="application/json")


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
    raise RefusedError(
        "request",
        got="a client that disconnected",
        expected="one that waits for the answer",
        remedy="Ask again",
        status=499,
    )


async def _leaving(request: Any) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
