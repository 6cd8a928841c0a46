"""Functions as tools of a Model Context Protocol server on standard input and output, for assistants that speak it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tonggan.errors import MissingExtraError, TongganError
from tonggan.processes import end_process, end_with_input
from tonggan.wording import in_words

if TYPE_CHECKING:
    from mcp.server import MCPServer


def tool_server(name: str, tools: Sequence[Callable[..., Any]], *, instructions: str) -> MCPServer[Any]:
    """A server of ``tools``, not yet running: none writes anything, and none asks anything outside this machine.

    Raises:
        MissingExtraError: package mcp is not installed.
    """
    try:
        from mcp.server import MCPServer
        from mcp.types import ToolAnnotations
    except ImportError as error:
        raise MissingExtraError.of("mcp", extra="code", purpose="the Model Context Protocol") from error
    server: MCPServer[Any] = MCPServer(name, instructions=instructions, log_level="WARNING")
    for tool in tools:
        server.tool(annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False))(tool)
    return server


def answer_on_stdio(server: MCPServer[Any]) -> None:
    """Answer until the client closes standard input; then the process ends."""
    end_with_input()
    with suppress(BrokenPipeError):  # the client is gone
        server.run("stdio")
    end_process()


def tool_error(error: TongganError) -> Exception:
    """What is wrong, in words that a client's model can read."""
    from mcp.server.mcpserver.exceptions import ToolError

    return ToolError(in_words(error))
