"""``POST /v1/search``: rows of an index that are found by words, pictures, sounds and cells."""

from typing import TYPE_CHECKING, Any

from tonggan.serving.context import Context, unless_left
from tonggan.serving.description import operation
from tonggan.serving.search_body import SearchRequest
from tonggan.serving.services import SearchService

if TYPE_CHECKING:
    from fastapi import FastAPI


def register(app: "FastAPI", context: Context, rows: SearchService) -> None:
    """Add the route to ``app``."""
    from fastapi import Request

    @app.post("/v1/search", openapi_extra=operation(SearchRequest, "List"))
    async def search(request: Request) -> Any:
        """Search rows."""
        body = await context.body(request, SearchRequest)
        found = await unless_left(request, context.result(rows.search(body)))
        return {"object": "list", "data": found}
