"""``tonggan mcp``: rows of an index as tools for assistants, on standard input and output."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import typer

from tonggan.cli.space import Index

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from mcp.server import MCPServer

    from tonggan.space.index import Hit, SpaceIndex

EXAMPLES = """
[bold]Examples[/]

  tonggan index starter photos/ --out indexes/photos

  tonggan mcp indexes/photos

An assistant starts it itself, e.g. with {"command": "tonggan", "args": ["mcp", "/path/to/indexes/photos"]}.
"""
_INSTRUCTIONS = (
    "Searches the rows of one table on this machine by meaning and by words: {count} rows with {columns}. "
    "search_rows finds rows by words, by a picture or a recording, or by cells; similar_rows finds rows like one found "
    "before, named by its key."
)


def register(app: typer.Typer) -> None:
    """Add the command of this file to ``app``."""
    app.command(epilog=EXAMPLES)(mcp)


def mcp(folder: Index) -> None:
    """Serve an index of rows to assistants that speak the Model Context Protocol, on standard input and output."""
    from tonggan.tool_server import answer_on_stdio

    answer_on_stdio(mcp_server(folder))


def mcp_server(folder: Path) -> MCPServer[Any]:
    """The server with its two tools, not yet running.

    Raises:
        MissingExtraError: package mcp is not installed.
        BundleError: ``folder`` holds no index, or a damaged one.
    """
    from tonggan.space.index import SpaceIndex
    from tonggan.tool_server import tool_server

    index = SpaceIndex.open(folder)
    tools = _Tools(index)
    told = _INSTRUCTIONS.format(count=len(index), columns=", ".join(index.info.fields))
    return tool_server("tonggan-rows", (tools.search_rows, tools.similar_rows), instructions=told)


class _Tools:
    """What the server offers. Signatures and docstrings are what a client's model reads."""

    def __init__(self, index: SpaceIndex) -> None:
        self._index = index
        self._lock = threading.Lock()  # the server may call tools from several threads

    def search_rows(
        self,
        text: str | None = None,
        image: str | None = None,
        audio: str | None = None,
        video: str | None = None,
        row: dict[str, Any] | None = None,
        where: list[str] | None = None,
        columns: list[str] | None = None,
        limit: int = 10,
        exact: bool = False,
    ) -> dict[str, Any]:
        """Find the rows that are most like what is asked for, best first.

        Args:
            text: what is sought, in words.
            image: path of a picture on this machine, to find rows like it.
            audio: path of a recording on this machine, to find rows like it.
            video: path of a clip on this machine, to find rows like it.
            row: cells by column, to find rows like them.
            where: conditions on columns, e.g. ["year > 2020"].
            columns: compare with these columns alone.
            limit: how many rows at most.
            exact: compare with every row, which takes longer where there are over 20,000.
        """
        from tonggan.space.conditions import conditions
        from tonggan.space.index import bytes_of

        return self._answer(
            lambda: self._index.search(
                text,
                image=None if image is None else bytes_of(image, ""),
                audio=None if audio is None else bytes_of(audio, ""),
                video=None if video is None else bytes_of(video, ""),
                row=row,
                where=conditions(where or [], self._index.info.fields),
                inputs=columns,
                limit=limit,
                exact=exact,
            )
        )

    def similar_rows(self, key: str, where: list[str] | None = None, limit: int = 10) -> dict[str, Any]:
        """Find the rows that are most like another one.

        Args:
            key: of that row, as search_rows tells it.
            where: conditions on columns, e.g. ["year > 2020"].
            limit: how many rows at most.
        """
        from tonggan.space.conditions import conditions

        return self._answer(
            lambda: self._index.similar(key, where=conditions(where or [], self._index.info.fields), limit=limit)
        )

    def _answer(self, ask: Callable[[], Sequence[Hit]]) -> dict[str, Any]:
        """The rows found; what is wrong in words that a client's model can read."""
        from tonggan.errors import TongganError
        from tonggan.tool_server import tool_error

        with self._lock:
            try:
                return {"hits": [hit.to_dict() for hit in ask()]}
            except TongganError as error:
                raise tool_error(error) from error
