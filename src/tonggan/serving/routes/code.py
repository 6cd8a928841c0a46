"""``POST /v1/code/search``: functions, classes, documents and more of a repository that answer a question."""

from typing import TYPE_CHECKING, Any

from tonggan.serving.context import Context, unless_left
from tonggan.serving.description import operation
from tonggan.serving.requests import CodeSearchRequest
from tonggan.serving.services import CodeService

if TYPE_CHECKING:
    from fastapi import FastAPI


def register(app: "FastAPI", context: Context, code: CodeService) -> None:
    """Add the route to ``app``."""
    from fastapi import Request

    @app.post("/v1/code/search", openapi_extra=operation(CodeSearchRequest, "List"))
    async def search(request: Request) -> Any:
        """Search code."""
        body = await context.body(request, CodeSearchRequest)
        future = code.search(body.query, limit=body.limit, language=body.language, kinds=body.kinds)
        return {"object": "list", "data": await unless_left(request, context.result(future))}
