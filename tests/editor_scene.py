"""A real ``tonggan code lsp`` over standard input and output, and a real client of the protocol that drives it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from lsprotocol import types
from pygls.lsp.client import LanguageClient

_ResultT = TypeVar("_ResultT")
INLINE = types.ClientCapabilities(
    general=types.GeneralClientCapabilities(position_encodings=["utf-8", "utf-16"]),
    text_document=types.TextDocumentClientCapabilities(inline_completion=types.InlineCompletionClientCapabilities()),
)


class Editor:
    """An editor with one repository open. Its methods block; what the server says by itself is in ``log``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.log: list[str] = []
        self.capabilities: types.ServerCapabilities | None = None
        self._loop = asyncio.new_event_loop()
        self.client = LanguageClient("editor", "1")
        self.last_request = 0
        self._versions: dict[str, int] = {}
        self.diagnostics: dict[str, list[types.Diagnostic]] = {}

        @self.client.feature(types.WINDOW_LOG_MESSAGE)
        def _(params: types.LogMessageParams) -> None:
            self.log.append(params.message)

        @self.client.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
        def _(params: types.PublishDiagnosticsParams) -> None:
            self.diagnostics[params.uri] = list(params.diagnostics)

    def wait(self, work: Awaitable[_ResultT], *, seconds: float = 60.0) -> _ResultT:
        return self._loop.run_until_complete(asyncio.wait_for(work, seconds))

    def run(self, *arguments: str, capabilities: types.ClientCapabilities = INLINE) -> None:
        command = [sys.executable, "-m", "tonggan", "code", "lsp", *arguments]
        self.wait(self.client.start_io(*command, env=dict(os.environ)))
        params = types.InitializeParams(
            capabilities=capabilities,
            process_id=os.getpid(),
            workspace_folders=[types.WorkspaceFolder(self.root.as_uri(), self.root.name)],
        )
        self.capabilities = self.wait(self.client.initialize_async(params)).capabilities
        self.client.initialized(types.InitializedParams())

    def until(self, condition: Any, *, seconds: float = 60.0) -> None:
        async def poll() -> None:
            while not condition():
                await asyncio.sleep(0.01)

        self.wait(poll(), seconds=seconds)

    def until_said(self, text: str) -> None:
        self.until(lambda: any(text in line for line in self.log))

    def uri(self, name: str) -> str:
        return (self.root / name).as_uri()

    def open(self, name: str, text: str, *, language: str = "python") -> None:
        self._versions[name] = 1
        document = types.TextDocumentItem(self.uri(name), language, 1, text)
        self.client.text_document_did_open(types.DidOpenTextDocumentParams(document))

    def edit(self, name: str, start: tuple[int, int], end: tuple[int, int], new: str) -> None:
        self._versions[name] += 1
        document = types.VersionedTextDocumentIdentifier(self._versions[name], self.uri(name))
        change = types.TextDocumentContentChangePartial(
            range=types.Range(types.Position(*start), types.Position(*end)), text=new
        )
        self.client.text_document_did_change(types.DidChangeTextDocumentParams(document, [change]))

    def ask(
        self, name: str, position: tuple[int, int], *, invoked: bool = False, selected: Any = None
    ) -> asyncio.Future[types.InlineCompletionList]:
        """Sent at once; the answer comes later. Its number is in ``last_request``."""
        kind = types.InlineCompletionTriggerKind.Invoked if invoked else types.InlineCompletionTriggerKind.Automatic
        params = types.InlineCompletionParams(
            context=types.InlineCompletionContext(trigger_kind=kind, selected_completion_info=selected),
            text_document=types.TextDocumentIdentifier(self.uri(name)),
            position=types.Position(*position),
        )
        self.last_request += 1
        name = types.TEXT_DOCUMENT_INLINE_COMPLETION
        answer = self.client.protocol.send_request(name, params, msg_id=self.last_request)
        return asyncio.wrap_future(answer, loop=self._loop)

    def together(self, asks: list[Awaitable[_ResultT]]) -> list[_ResultT]:
        async def gather() -> list[_ResultT]:
            return await asyncio.gather(*asks)

        return self.wait(gather())

    def request(self, method: str, params: Any) -> Any:
        """The answer to a request that the protocol does not know."""
        return self.wait(asyncio.wrap_future(self.client.protocol.send_request(method, params), loop=self._loop))

    def items(self, name: str, position: tuple[int, int], **options: Any) -> list[types.InlineCompletionItem]:
        return list(self.wait(self.ask(name, position, **options)).items)

    def close(self) -> int:
        """Exit as an editor does; the exit code of the server."""
        self.wait(self.client.shutdown_async(None))
        self.client.exit(None)
        server = self.client._server
        assert server is not None
        code = self.wait(server.wait())
        self._end()
        return code

    def _end(self) -> None:
        self.wait(self.client.stop())
        self._loop.close()


@contextmanager
def editing(root: Path, *arguments: str, **options: Any) -> Iterator[Editor]:
    """An editor that has ``root`` open."""
    editor = Editor(root)
    editor.run(*arguments, **options)
    try:
        yield editor
    finally:
        if not editor._loop.is_closed():
            assert editor.close() == 0
