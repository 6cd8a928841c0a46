"""``GET /docs``: a page that describes the server and tries it, from ``/openapi.json``; it loads nothing else."""

from importlib.resources import files
from typing import TYPE_CHECKING

from tonggan.serving.context import Context

if TYPE_CHECKING:
    from fastapi import FastAPI

_HEADERS = {
    # Scripts and styles of the page itself, and this server: a browser refuses everything else.
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


def register(app: "FastAPI", _: Context) -> None:
    """Add the route to ``app``."""
    from fastapi.responses import HTMLResponse

    page = files("tonggan.serving").joinpath("docs.html").read_text(encoding="utf-8")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        """The page."""
        return HTMLResponse(page, headers=_HEADERS)
