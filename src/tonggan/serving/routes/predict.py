"""``POST /v1/predict``: what a trained run says of rows, sent as JSON, or of one row sent as a form with its files."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from tonggan.serving.context import Context, unless_left
from tonggan.serving.failures import RefusedError
from tonggan.serving.requests import PredictRequest
from tonggan.serving.services import RowService

_MAX_FIELDS = 1000

if TYPE_CHECKING:
    from fastapi import FastAPI


def register(app: "FastAPI", context: Context) -> None:
    """Add the route to ``app``."""
    from fastapi import Request
    from fastapi.exceptions import RequestValidationError

    # The body is read by hand, as it comes in two formats; this is how the description of the API learns of them.
    body_schema = {
        "required": True,
        "content": {
            "application/json": {"schema": PredictRequest.model_json_schema()},
            "multipart/form-data": {"schema": {"type": "object", "properties": {"model": {"type": "string"}}}},
        },
    }

    @app.post("/v1/predict", openapi_extra={"requestBody": body_schema})
    async def predict(request: Request) -> Any:
        """Predict rows."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "multipart/form-data":
            name, cells = await _read_form(request)
            rows: Sequence[Mapping[str, Any]] = [cells]
        elif kind == "application/json":
            try:
                body = PredictRequest.model_validate_json(await request.body())
            except ValidationError as error:
                raise RequestValidationError(error.errors()) from error
            name, rows = body.model, body.rows
        else:
            raise RefusedError(
                "request",
                got=f"content of type '{kind}'",
                expected="application/json or multipart/form-data",
                remedy="Set the header Content-Type",
                status=415,
            )
        service = context.rows(name)
        read = await asyncio.to_thread(_read, service, rows)
        predictions = await unless_left(request, context.result(service.predictions.submit(read)))
        own = next(each.name for each in context.services.values() if each.rows is service)
        return {"object": "list", "model": own, "predictions": predictions}


def _read(service: RowService, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    return [service.model.read(row, param=f"rows[{index}]") for index, row in enumerate(rows)]


async def _read_form(request: Any) -> tuple[str | None, dict[str, Any]]:
    """The field ``model``, and all others as the cells of a row; a file is its bytes."""
    cells: dict[str, Any] = {}
    async with request.form(max_files=_MAX_FIELDS, max_fields=_MAX_FIELDS) as form:
        for name, value in form.multi_items():
            if name in cells:
                raise RefusedError(
                    "form", got=f"the field '{name}' twice", expected="one row", remedy="Send further rows apart"
                )
            cells[name] = value if isinstance(value, str) else await value.read()
    model = cells.pop("model", None)
    return (model if isinstance(model, str) else None), cells
