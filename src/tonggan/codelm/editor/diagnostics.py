"""What a review finds, as an editor shows it: diagnostics after a pause, and actions that apply what is suggested."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from tonggan.codelm.editor.positions import utf16_length
from tonggan.codelm.review import Finding, Repository
from tonggan.codelm.review.applying import apply
from tonggan.codelm.review.hidden import is_ignored
from tonggan.codelm.review.registry import rules
from tonggan.codelm.review.reviewing import ranked, read_repository
from tonggan.codelm.workspace import Workspace
from tonggan.errors import TongganError
from tonggan.wording import translated

if TYPE_CHECKING:
    from lsprotocol import types
    from pygls.lsp.server import LanguageServer

_PAUSE = 0.6  # seconds without a change
_SUFFIXES = (".py", ".md", ".markdown", ".rst")


class Diagnostics:
    """Reviews the files that are open, each some time after it was changed last.

    Rules that look at one file alone are told first, and those that read the whole repository when they are done.

    Args:
        server: which publishes them.
        workspace: the repository and its buffers.
    """

    def __init__(self, server: LanguageServer, workspace: Workspace) -> None:
        self._server = server
        self._workspace = workspace
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="tonggan-review")
        self._waiting: dict[Path, asyncio.TimerHandle] = {}
        self._repository: Repository | None = None
        self._told: dict[str, list[tuple[Finding, types.Diagnostic]]] = {}

    def changed(self, path: Path, uri: str) -> None:
        """A buffer has another text, or was opened."""
        if path.suffix not in _SUFFIXES:
            return
        if (waiting := self._waiting.pop(path, None)) is not None:
            waiting.cancel()
        loop = asyncio.get_running_loop()
        self._waiting[path] = loop.call_later(_PAUSE, self._begin, loop, path, uri)

    def closed(self, path: Path, uri: str) -> None:
        """A buffer is gone, and what was told of it."""
        if (waiting := self._waiting.pop(path, None)) is not None:
            waiting.cancel()
        if self._told.pop(uri, None) is not None:
            self._publish(uri, [])

    def close(self) -> None:
        """Stop; what is waiting is not begun."""
        for waiting in self._waiting.values():
            waiting.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def actions(self, uri: str, within: types.Range) -> list[types.CodeAction]:
        """The suggested edits of what is told at a place."""
        from lsprotocol import types

        found = []
        for finding, diagnostic in self._told.get(uri, ()):
            edit = finding.edit
            if edit is None or not _touches(diagnostic.range, within):
                continue
            place = self._range(finding.path, edit.start_line, edit.start_column, edit.end_line, edit.end_column)
            change = types.WorkspaceEdit(changes={uri: [types.TextEdit(range=place, new_text=edit.text)]})
            title = translated(f"Write {edit.text}")
            kind = types.CodeActionKind.QuickFix
            found.append(types.CodeAction(title=title, kind=kind, diagnostics=[diagnostic], edit=change))
        return found

    def _begin(self, loop: asyncio.AbstractEventLoop, path: Path, uri: str) -> None:
        self._waiting.pop(path, None)
        self._pool.submit(self._review, loop, path, uri)

    def _review(self, loop: asyncio.AbstractEventLoop, path: Path, uri: str) -> None:
        try:
            overlays = self._workspace.overlays()
            repository = read_repository([path], former=self._repository, overlays=overlays)
        except TongganError:
            return  # the file is gone meanwhile
        self._repository = repository
        found: list[Finding] = []
        for is_wide in (False, True):
            for name, rule in rules().items():
                if rule.is_wide == is_wide:
                    found += apply(name, repository)[0]
            kept = ranked(finding for finding in found if not is_ignored(finding, repository))
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._tell, uri, kept)

    def _tell(self, uri: str, findings: Iterable[Finding]) -> None:
        self._told[uri] = [(finding, self._diagnostic(finding)) for finding in findings]
        self._publish(uri, [diagnostic for _, diagnostic in self._told[uri]])

    def _publish(self, uri: str, diagnostics: list[types.Diagnostic]) -> None:
        from lsprotocol import types

        self._server.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri=uri, diagnostics=diagnostics))

    def _diagnostic(self, finding: Finding) -> types.Diagnostic:
        from lsprotocol import types

        reasons = "".join(f"\n{each.path}:{each.line}: {each.text}" for each in finding.evidence)
        return types.Diagnostic(
            range=self._range(
                finding.path, finding.start_line, finding.start_column, finding.end_line, finding.end_column
            ),
            message=translated(finding.message) + reasons,
            severity=types.DiagnosticSeverity.Warning,
            code=finding.rule,
            source="tonggan",
        )

    def _range(self, path: str, start_line: int, start_column: int, end_line: int, end_column: int) -> types.Range:
        from lsprotocol import types

        assert self._repository is not None
        lines = self._repository.lines_of(path)
        start = types.Position(start_line - 1, utf16_length(lines[start_line - 1][: start_column - 1]))
        return types.Range(start, types.Position(end_line - 1, utf16_length(lines[end_line - 1][: end_column - 1])))


def _touches(one: types.Range, other: types.Range) -> bool:
    first, second = one.start, other.start
    return (first.line, first.character) <= (other.end.line, other.end.character) and (
        second.line,
        second.character,
    ) <= (one.end.line, one.end.character)
