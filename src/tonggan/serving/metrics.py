"""What a server measures of itself, in Prometheus' text format, in a registry of its own."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import partial
from typing import Any

from tonggan.serving.services import Service

CANCEL = "tonggan.cancel"
"""Key of a request's scope: called when the request is over, however it ended."""


class Metrics:
    """Counters, histograms and gauges.

    Args:
        services: whose work is told, by name.
    """

    def __init__(self, services: Mapping[str, Service]) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self._registry = CollectorRegistry()
        self._requests = Counter("tonggan_requests", "Requests answered.", ["route", "status"], registry=self._registry)
        self._seconds = Histogram(
            "tonggan_request_seconds",
            "From a request's arrival to the end of its answer.",
            ["route"],
            buckets=(0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300),
            registry=self._registry,
        )
        self._tokens = Counter("tonggan_tokens", "Tokens read and written.", ["model", "kind"], registry=self._registry)
        active = Gauge("tonggan_texts_active", "Texts being written.", ["model"], registry=self._registry)
        waiting = Gauge("tonggan_texts_waiting", "Texts waiting for a slot.", ["model"], registry=self._registry)
        rows = Gauge("tonggan_rows_held", "Rows in prediction or waiting.", ["model"], registry=self._registry)
        recordings = Gauge(
            "tonggan_recordings_held", "Recordings in work or waiting.", ["model"], registry=self._registry
        )
        spoken = Gauge("tonggan_speeches_held", "Texts being spoken or waiting.", ["model"], registry=self._registry)
        for name, service in services.items():
            if service.speech is not None:
                recordings.labels(name).set_function(partial(getattr, service.speech.jobs, "held"))
            if service.voice is not None:
                spoken.labels(name).set_function(partial(getattr, service.voice.jobs, "held"))
            if service.texts is not None:
                active.labels(name).set_function(partial(getattr, service.texts.writer, "active"))
                waiting.labels(name).set_function(partial(getattr, service.texts.writer, "waiting"))
            if service.rows is not None:
                rows.labels(name).set_function(partial(getattr, service.rows.predictions, "held"))

    def count_request(self, route: str, *, status: int, seconds: float) -> None:
        """One request is over."""
        self._requests.labels(route, status).inc()
        self._seconds.labels(route).observe(seconds)

    def count_tokens(self, model: str, *, prompt: int, completion: int) -> None:
        """One answer is complete."""
        self._tokens.labels(model, "prompt").inc(prompt)
        self._tokens.labels(model, "completion").inc(completion)

    def render(self) -> bytes:
        """All of it as text."""
        from prometheus_client import generate_latest

        return generate_latest(self._registry)


class Meter:
    """An ASGI middleware that measures each request, and lets go of what it still holds when it is over.

    Args:
        app: what answers.
        metrics: told of every request.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.monotonic(), 499  # as web servers log a client that left before its answer

        async def watch(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception:
            status = 500
            raise
        finally:
            scope.get(CANCEL, lambda: None)()
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.count_request(route, status=status, seconds=time.monotonic() - start)
