"""``POST /v1/predict``: what a trained run says of rows, sent as JSON, or of one row sent as a form with its files."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tonggan.serving.context import Context, json_response, unless_left
from tonggan.serving.description import operation
from tonggan.serving.forms import read_form
from tonggan.serving.media import MediaLimits
from tonggan.serving.requests import PredictRequest
from tonggan.serving.rows import Row
from tonggan.serving.services import RowService

if TYPE_CHECKING:
    from fastapi import FastAPI


def register(app: "FastAPI", context: Context) -> None:
    """Add the route to ``app``."""
    from fastapi import Request

    @app.post("/v1/predict", openapi_extra=operation(PredictRequest, "Predictions", takes_form=True))
    async def predict(request: Request) -> Any:
        """Predict rows."""
        if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
            name, cells = await asyncio.to_thread(_read_form, request.headers, await request.body())
            rows: Sequence[Mapping[str, Any]] = [cells]
        else:
            body = await context.body(request, PredictRequest)
            name, rows = body.model, body.rows
        own, service = context.rows(name)
        service.predictions.require_room(len(rows))
        read, findings = await context.decode(_read, service, rows, MediaLimits(context.config))
        predictions = await unless_left(request, context.result(service.predictions.submit(read)))
        answer = {"object": "list", "model": own, "predictions": predictions, "findings": findings}
        return await json_response(answer)


def _read(
    service: RowService, rows: Sequence[Mapping[str, Any]], media: MediaLimits
) -> tuple[list[Row], list[dict[str, Any]]]:
    """The rows as the model reads them, and what the doctor finds in them."""
    read = [service.model.read(row, param=f"rows[{index}]", media=media) for index, row in enumerate(rows)]
    findings = [finding.to_dict() for finding in service.model.compare(read)]
    return service.model.decode(read, param="rows"), findings


def _read_form(headers: Any, body: bytes) -> tuple[str | None, dict[str, Any]]:
    """The field ``model``, and all others as the cells of a row; a file is its bytes."""
    cells = read_form(headers, body)
    model = cells.pop("model", None)
    return (model if isinstance(model, str) else None), cells
