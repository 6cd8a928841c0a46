"""``GET /v1/models``, ``/health`` and ``/metrics``: what there is, whether it is well, and what it does."""

from typing import TYPE_CHECKING, Any

from tonggan.serving.context import Context
from tonggan.serving.description import answering
from tonggan.serving.services import Service

if TYPE_CHECKING:
    from fastapi import FastAPI


def register(app: "FastAPI", context: Context) -> None:
    """Add the routes to ``app``."""
    from fastapi import Response
    from fastapi.responses import PlainTextResponse

    @app.get("/v1/models", openapi_extra=answering("List"))
    async def models() -> Any:
        """All models."""
        return {"object": "list", "data": [_entry(service) for service in context.services.values()]}

    @app.get("/v1/models/{name:path}", openapi_extra=answering("Model"))
    async def model(name: str) -> Any:
        """One model."""
        return _entry(context.service(name))

    @app.get("/health", openapi_extra=answering("Health"))
    async def health() -> Any:
        """Whether the server answers."""
        return {"status": "ok"}

    @app.get("/metrics", response_class=PlainTextResponse, openapi_extra=answering(None))
    async def metrics() -> Response:
        """What the server measures, for Prometheus."""
        return Response(context.metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _entry(service: Service) -> dict[str, Any]:
    entry = {"id": service.name, "object": "model", "created": service.created, "owned_by": "tonggan"}
    if service.rows is not None:
        entry["columns"] = service.rows.model.columns
    return entry
