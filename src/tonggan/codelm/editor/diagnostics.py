"""What a review finds, as an editor shows it: diagnostics after a pause, and actions that apply what is suggested."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tonggan.codelm.editor.positions import utf16_length
from tonggan.codelm.review import Finding, Repository
from tonggan.codelm.review.applying import apply
from tonggan.codelm.review.hidden import is_ignored
from tonggan.codelm.review.registry import rules
from tonggan.codelm.review.reviewing import ranked, read_repository, trees_kept
from tonggan.codelm.workspace import Workspace
from tonggan.errors import TongganError
from tonggan.progress import Progress
from tonggan.wording import translated

if TYPE_CHECKING:
    from lsprotocol import types
    from pygls.lsp.server import LanguageServer

_PAUSE = 0.6  # seconds without a change
_SUFFIXES = (".py", ".md", ".markdown", ".rst")


class Diagnostics:
    """Reviews the files that are open, each some time after it was changed last.

    Rules that look at one file alone are told first. Those that read the whole repository are told when they are done,
    in a thread of their own, unless the file was changed meanwhile: then they are applied to what it is now.

    Args:
        server: which publishes them.
        workspace: the repository and its buffers.
        progress: told of each rule that raises, once.
    """

    def __init__(self, server: LanguageServer, workspace: Workspace, *, progress: Progress) -> None:
        self._server = server
        self._workspace = workspace
        self._progress = progress
        self._failed: set[str] = set()  # rules that were named
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="tonggan-review")
        self._wide_pool = ThreadPoolExecutor(1, thread_name_prefix="tonggan-review-wide")
        self._latest: dict[str, object] = {}  # by address, what marks the review of the text as it is now
        self._waiting: dict[Path, asyncio.TimerHandle] = {}
        self._repository: Repository | None = None
        self._told: dict[str, list[tuple[types.Diagnostic, types.TextEdit | None]]] = {}

    def changed(self, path: Path, uri: str) -> None:
        """A buffer has another text, or was opened."""
        if path.suffix not in _SUFFIXES:
            return
        if (waiting := self._waiting.pop(path, None)) is not None:
            waiting.cancel()
        self._latest.pop(uri, None)  # a review of the text before would point at other lines
        loop = asyncio.get_running_loop()
        self._waiting[path] = loop.call_later(_PAUSE, self._begin, loop, path, uri)

    def closed(self, path: Path, uri: str) -> None:
        """A buffer is gone, and what was told of it."""
        if (waiting := self._waiting.pop(path, None)) is not None:
            waiting.cancel()
        self._latest.pop(uri, None)
        if self._told.pop(uri, None) is not None:
            self._publish(uri, [])

    def close(self) -> None:
        """Stop; what is waiting is not begun."""
        for waiting in self._waiting.values():
            waiting.cancel()
        for pool in (self._pool, self._wide_pool):
            pool.shutdown(wait=False, cancel_futures=True)

    def actions(self, uri: str, within: types.Range) -> list[types.CodeAction]:
        """The suggested edits of what is told at a place."""
        from lsprotocol import types

        found = []
        for diagnostic, edit in self._told.get(uri, ()):
            if edit is not None and _touches(diagnostic.range, within):
                title = translated(f"Write {edit.new_text}")
                kind = types.CodeActionKind.QuickFix
                change = types.WorkspaceEdit(changes={uri: [edit]})
                found.append(types.CodeAction(title=title, kind=kind, diagnostics=[diagnostic], edit=change))
        return found

    def _begin(self, loop: asyncio.AbstractEventLoop, path: Path, uri: str) -> None:
        self._waiting.pop(path, None)
        self._latest[uri] = mark = object()
        self._pool.submit(self._review, loop, path, uri, mark)

    @trees_kept()
    def _review(self, loop: asyncio.AbstractEventLoop, path: Path, uri: str, mark: object) -> None:
        try:
            overlays = self._workspace.overlays()
            repository = read_repository([path], former=self._repository, overlays=overlays)
        except TongganError:
            return  # the file is gone meanwhile
        self._repository = repository
        found = [each for name, rule in rules().items() if not rule.is_wide for each in self._apply(name, repository)]
        self._tell_soon(loop, uri, mark, repository, found)
        with suppress(RuntimeError):  # closed meanwhile
            self._wide_pool.submit(self._review_widely, loop, uri, mark, repository, found)

    @trees_kept()
    def _review_widely(
        self, loop: asyncio.AbstractEventLoop, uri: str, mark: object, repository: Repository, found: list[Finding]
    ) -> None:
        for name, rule in rules().items():
            if self._latest.get(uri) is not mark:
                return
            if rule.is_wide:
                found = found + self._apply(name, repository)
        self._tell_soon(loop, uri, mark, repository, found)

    def _apply(self, name: str, repository: Repository) -> list[Finding]:
        """What one rule finds; where it raises for the first time, that is said."""
        found, failures = apply(name, repository)
        if failures and name not in self._failed:
            self._failed.add(name)
            where = failures[0].path or "the files that were left"
            self._progress.say(f"Not applied to {where}: {name}: {failures[0].error}")
        return found

    def _tell_soon(
        self,
        loop: asyncio.AbstractEventLoop,
        uri: str,
        mark: object,
        repository: Repository,
        found: Iterable[Finding],
    ) -> None:
        kept = ranked(finding for finding in found if not is_ignored(finding, repository))
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._tell, uri, mark, repository, kept)

    def _tell(self, uri: str, mark: object, repository: Repository, findings: Iterable[Finding]) -> None:
        if self._latest.get(uri) is mark:
            self._told[uri] = [(_diagnostic(each, repository), _edit(each, repository)) for each in findings]
            self._publish(uri, [diagnostic for diagnostic, _ in self._told[uri]])

    def _publish(self, uri: str, diagnostics: list[types.Diagnostic]) -> None:
        from lsprotocol import types

        self._server.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri=uri, diagnostics=diagnostics))


def _diagnostic(finding: Finding, repository: Repository) -> types.Diagnostic:
    from lsprotocol import types

    reasons = "".join(f"\n{each.path}:{each.line}: {each.text}" for each in finding.evidence)
    place = finding.start_line, finding.start_column, finding.end_line, finding.end_column
    return types.Diagnostic(
        range=_range(repository, finding.path, *place),
        message=translated(finding.message) + reasons,
        severity=types.DiagnosticSeverity.Warning,
        code=finding.rule,
        source="tonggan",
    )


def _edit(finding: Finding, repository: Repository) -> types.TextEdit | None:
    from lsprotocol import types

    if (edit := finding.edit) is None:
        return None
    place = edit.start_line, edit.start_column, edit.end_line, edit.end_column
    return types.TextEdit(range=_range(repository, finding.path, *place), new_text=edit.text)


def _range(
    repository: Repository, path: str, start_line: int, start_column: int, end_line: int, end_column: int
) -> types.Range:
    from lsprotocol import types

    lines = repository.lines_of(path)
    start = types.Position(start_line - 1, utf16_length(lines[start_line - 1][: start_column - 1]))
    return types.Range(start, types.Position(end_line - 1, utf16_length(lines[end_line - 1][: end_column - 1])))


def _touches(one: types.Range, other: types.Range) -> bool:
    first, second = one.start, other.start
    return (first.line, first.character) <= (other.end.line, other.end.character) and (
        second.line,
        second.character,
    ) <= (one.end.line, one.end.character)
