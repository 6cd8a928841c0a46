"""The search as tools of a Model Context Protocol server on standard input and output, for assistants that speak it.

It reads the repository and writes only its index; nothing is sent anywhere.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tonggan.codelm.review import review
from tonggan.codelm.search import CodeIndex, Hit
from tonggan.codelm.search.opening import open_index
from tonggan.codelm.units import Unit, UnitKind
from tonggan.errors import DataError, StoreBusyError, TongganError
from tonggan.tool_server import answer_on_stdio, tool_error, tool_server

if TYPE_CHECKING:
    from mcp.server import MCPServer

_MOST_LINES = 400  # of one unit that a tool hands out
_INSTRUCTIONS = (
    "Searches one repository on this machine. search_code finds code, documents and commits by meaning and words; "
    "find_symbol finds definitions by name; similar_code finds code like that at a place; read_unit shows one whole; "
    "review_code tells what is likely wrong in Python, and why."
)


def serve(root: Path, *, folder: Path | None = None) -> None:
    """Answer until the client closes standard input; then the process ends.

    The index is brought up to date before each answer. What a first indexing has not reached yet is found once it has;
    it goes on beside the answers.

    Raises:
        MissingExtraError: package mcp is not installed.
        Others: as ``open_index``.
    """
    index = open_index(root, folder=folder)
    server = mcp_server(index)
    threading.Thread(target=_refresh_beside, args=(index,), name="tonggan-index", daemon=True).start()
    answer_on_stdio(server)


def mcp_server(index: CodeIndex) -> MCPServer[Any]:
    """The server with its five tools, not yet running.

    Raises:
        MissingExtraError: package mcp is not installed.
    """
    tools = _Tools(index)
    offered = (tools.search_code, tools.find_symbol, tools.similar_code, tools.read_unit, tools.review_code)
    return tool_server("tonggan-code", offered, instructions=_INSTRUCTIONS)


class _Tools:
    """What the server offers. Signatures and docstrings are what a client's model reads."""

    def __init__(self, index: CodeIndex) -> None:
        self._index = index
        self._lock = threading.Lock()  # the server may call tools from several threads

    def search_code(
        self, query: str, limit: int = 10, language: str | None = None, kinds: list[UnitKind] | None = None
    ) -> dict[str, Any]:
        """Find functions, classes, files, documents, comments and commits of the repository.

        Args:
            query: what is sought, in plain words or by name.
            limit: how many results at most.
            language: only this language, e.g. python.
            kinds: only these kinds of units.
        """
        return self._answer(lambda: _hits(self._index.search(query, limit=limit, language=language, kinds=kinds)))

    def find_symbol(self, name: str, limit: int = 20) -> dict[str, Any]:
        """Find functions and classes whose names are `name`, begin with it or hold it."""
        return self._answer(lambda: {"units": [_brief(unit) for unit in self._index.symbols(name, limit=limit)]})

    def similar_code(self, path: str, line: int, limit: int = 10) -> dict[str, Any]:
        """Find code like the function, class or section around a line.

        Args:
            path: of the file, relative to the repository's root.
            line: from 1.
            limit: how many results at most.
        """
        return self._answer(lambda: _hits(self._index.similar(path, line, limit=limit)))

    def read_unit(self, path: str, line: int) -> dict[str, Any]:
        """The whole text of the innermost function, class or section around a line.

        Args:
            path: of the file, relative to the repository's root.
            line: from 1.
        """
        return self._answer(lambda: _whole(self._index.unit_at(path, line)))

    def review_code(self, path: str = ".", limit: int = 20) -> dict[str, Any]:
        """Find where code and its documents disagree, and where one place does not do what all others do.

        Args:
            path: of a file or folder, relative to the repository's root.
            limit: how many findings at most, those of the most evidence.
        """
        root = self._index.root.resolve()
        target = (root / path).resolve()
        try:
            if not target.is_relative_to(root):
                raise DataError(f"path {path}", got="a place outside", expected="one below the repository's root",
                                remedy="Name a file or folder of the repository")  # fmt: skip
            found = review([target], budget=limit)
        except TongganError as error:
            raise tool_error(error) from error
        return {
            "findings": [asdict(finding) for finding in found.findings],
            "problems": dict(found.problems),
            "failures": [asdict(failure) for failure in found.failures],
        }

    def _answer(self, ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What the index answers once it is up to date; what is wrong in words that a client's model can read."""
        with self._lock:
            try:
                _refresh(self._index)
                return ask()
            except TongganError as error:
                raise tool_error(error) from error


def _refresh(index: CodeIndex) -> Mapping[str, str]:
    """What was skipped."""
    try:
        return index.refresh().skipped
    except StoreBusyError:
        return {}  # somebody else is at it: the last state will do


def _refresh_beside(index: CodeIndex) -> None:
    with suppress(TongganError):  # the next tool that is called meets it too, and says so
        for name, reason in sorted(_refresh(index).items()):
            sys.stderr.write(f"Skipped {name}: {reason}\n")


def _hits(hits: Sequence[Hit]) -> dict[str, Any]:
    return {
        "hits": [
            {**_brief(hit.unit), "score": round(hit.score, 3), "reasons": [str(reason) for reason in hit.reasons]}
            for hit in hits
        ]
    }


def _whole(unit: Unit) -> dict[str, Any]:
    lines = unit.text.split("\n")
    return {**_brief(unit), "text": "\n".join(lines[:_MOST_LINES]), "num_lines": len(lines)}


def _brief(unit: Unit) -> dict[str, Any]:
    fields = asdict(unit)
    fields["docstring"] = unit.docstring.partition("\n\n")[0]
    return {name: value for name, value in fields.items() if name != "text" and value not in ("", None)}
