"""``GET /v1/models``, ``/health`` and ``/metrics``: what there is, whether it is well, and what it does."""

from typing import TYPE_CHECKING, Any

from tonggan.serving.context import Context
from tonggan.serving.services import Service

if TYPE_CHECKING:
    from fastapi import FastAPI


def register(app: "FastAPI", context: Context) -> None:
    """Add the routes to ``app``."""
    from fastapi import Response

    @app.get("/v1/models")
    async def models() -> Any:
        """All models."""
        return {"object": "list", "data": [_entry(service) for service in context.services.values()]}

    @app.get("/v1/models/{name:path}")
    async def model(name: str) -> Any:
        """One model."""
        return _entry(context.service(name))

    @app.get("/health")
    async def health() -> Any:
        """Whether the server answers."""
        return {"status": "ok"}

    @app.get("/metrics")
    async def metrics() -> Response:
        """What the server measures, for Prometheus."""
        return Response(context.metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _entry(service: Service) -> dict[str, Any]:
    entry = {"id": service.name, "object": "model", "created": service.created, "owned_by": "tonggan"}
    if service.rows is not None:
        entry["columns"] = service.rows.model.columns
    return entry
