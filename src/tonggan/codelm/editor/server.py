"""A language server (LSP 3.18) over standard input and output: inline completion, search, and why.

It only translates: positions, documents and cancellations to an ``Assistant`` and back. Nothing but protocol reaches
standard output; whatever a library prints goes to standard error.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast

from tonggan.codelm.editor.answers import completion_items, hit_of, hover_text, inline_items, symbol_of
from tonggan.codelm.editor.assistant import Assistant, Offer
from tonggan.codelm.editor.diagnostics import Diagnostics
from tonggan.codelm.editor.positions import offset_of, replace
from tonggan.errors import DataError, MissingExtraError
from tonggan.processes import end_process, end_with_input
from tonggan.progress import Progress
from tonggan.wording import translated

if TYPE_CHECKING:
    from lsprotocol import types
    from pygls.lsp.server import LanguageServer

ACCEPTED = "tonggan.accepted"
"""The command that an editor runs when its user has taken a suggestion; its argument is the suggestion's number."""
SEARCH = "tonggan/search"
"""A request of this server's own: ``{query, limit?, language?, kinds?}``, answered with a list of hits."""
_MOST_SYMBOLS = 100
_MOST_BYTES = 2**28  # of a message; an editor sends whole files
_HITS = 10
_ResultT = TypeVar("_ResultT")


class LogProgress(Progress):
    """Tells an editor's log; from any thread, in the loop of ``server`` once that runs."""

    def __init__(self) -> None:
        self._send: Callable[[str], None] | None = None
        self._early: list[str] = []

    def say(self, text: str) -> None:
        text = translated(text)
        if self._send is None:
            self._early.append(text)
        else:
            self._send(text)

    def connect(self, send: Callable[[str], None]) -> None:
        """From now on, and for what was said before."""
        self._send = send
        early, self._early = self._early, []
        for text in early:
            send(text)


def make_server(make_assistant: Callable[[Path], Assistant], *, progress: LogProgress) -> LanguageServer:
    """A server that is ready for ``start_io``.

    Args:
        make_assistant: for a repository's folder; called once, when the editor has named it.
        progress: given to the assistant, too.

    Raises:
        MissingExtraError: pygls is not installed.
    """
    try:
        from pygls.lsp.server import LanguageServer
    except ImportError as error:
        raise MissingExtraError.of("pygls", extra="code", purpose="the language server") from error
    from importlib.metadata import version

    class Server(LanguageServer):
        def shutdown(self) -> None:
            handlers.close()  # an editor that is gone has not said so
            super().shutdown()  # type: ignore[no-untyped-call]

    server = Server("tonggan", version("tonggan"))
    handlers = _Handlers(server, make_assistant, progress)
    handlers.register()
    return server


def serve(server: LanguageServer) -> None:
    """Answer until the editor says exit or closes standard input; then the process ends."""
    end_with_input()
    with _protocol_output() as output:
        server.start_io(stdin=cast("BinaryIO", _Input(sys.stdin.buffer)), stdout=output)
    end_process()


def _protocol_output() -> BinaryIO:
    """The real standard output, in whose place everybody else gets standard error."""
    output = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    sys.stdout.flush()
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return output


class _Input:
    """Standard input of messages that can be held; pygls would try to hold any.

    Args:
        file: where they come from.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readline(self) -> bytes:
        return self._file.readline()

    def read(self, size: int) -> bytes:
        if size > _MOST_BYTES:
            raise DataError(
                "language server",
                got=f"a message of {size:,} bytes",
                expected=f"at most {_MOST_BYTES:,}",
                remedy="Let an editor start it, which writes the Language Server Protocol to its standard input",
            )
        return self._file.read(size)


class _Handlers:
    """What the server does for each message; all of it in the event loop but for the work itself."""

    def __init__(
        self, server: LanguageServer, make_assistant: Callable[[Path], Assistant], progress: LogProgress
    ) -> None:
        self._server = server
        self._make_assistant = make_assistant
        self._progress = progress
        self._assistant: Assistant | None = None
        self._diagnostics: Diagnostics | None = None
        self._is_closed = False
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="tonggan-completion")  # one after another: two cores
        self._searcher = ThreadPoolExecutor(1, thread_name_prefix="tonggan-search")

    @property
    def assistant(self) -> Assistant:
        assert self._assistant is not None, "no request comes before 'initialize'"
        return self._assistant

    def register(self) -> None:
        from lsprotocol import types

        feature = self._add
        # The library's own buffers break lines at form feeds and take a client's wish for other units than UTF-16.
        builtin = self._server.protocol.fm.builtin_features
        for name in (
            types.TEXT_DOCUMENT_DID_OPEN,
            types.TEXT_DOCUMENT_DID_CHANGE,
            types.TEXT_DOCUMENT_DID_CLOSE,
        ):
            builtin.pop(name)
        builtin[types.INITIALIZE] = self._with_utf16(builtin[types.INITIALIZE])
        feature(types.INITIALIZE, self.initialize)
        feature(types.INITIALIZED, self.initialized)
        feature(types.SHUTDOWN, self.shutdown)
        feature(types.TEXT_DOCUMENT_DID_OPEN, self.did_open)
        feature(types.TEXT_DOCUMENT_DID_CHANGE, self.did_change)
        feature(types.TEXT_DOCUMENT_DID_CLOSE, self.did_close)
        feature(types.TEXT_DOCUMENT_DID_SAVE, self.did_save)
        feature(types.WORKSPACE_DID_CHANGE_WATCHED_FILES, self.did_change_watched_files)
        feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, self.inline_completion, types.InlineCompletionOptions())
        feature(types.TEXT_DOCUMENT_HOVER, self.hover)
        feature(types.WORKSPACE_SYMBOL, self.workspace_symbol)
        kinds = [types.CodeActionKind.QuickFix]
        feature(types.TEXT_DOCUMENT_CODE_ACTION, self.code_action, types.CodeActionOptions(code_action_kinds=kinds))
        feature(SEARCH, self.search)
        self._server.command(ACCEPTED)(partial(self.accepted))

    def _add(self, name: str, handler: Callable[[Any], Any], options: Any = None) -> None:
        self._server.feature(name, options)(partial(handler))  # the library marks what it is given; methods refuse that

    @staticmethod
    def _with_utf16(initialize: Callable[..., Any]) -> Callable[..., Any]:
        """Every client can count in UTF-16; that is the only way this server counts."""

        def with_utf16(params: types.InitializeParams) -> Any:
            if params.capabilities.general is not None:
                params.capabilities.general.position_encodings = None
            return (yield initialize, (params,), None)

        return with_utf16

    def initialize(self, params: types.InitializeParams) -> None:
        from lsprotocol import types

        folders = params.workspace_folders or []
        uri = folders[0].uri if folders else params.root_uri
        root = Path.cwd() if uri is None else path_of(uri) or Path.cwd()
        self._assistant = self._make_assistant(root)
        self._diagnostics = Diagnostics(self._server, self._assistant.workspace, progress=self._progress)
        text_document = params.capabilities.text_document
        if text_document is None or text_document.inline_completion is None:
            # An editor that knows no inline completion gets the same suggestions among its ordinary ones.
            self._add(types.TEXT_DOCUMENT_COMPLETION, self.completion, types.CompletionOptions())

    def initialized(self, _: types.InitializedParams) -> None:
        from lsprotocol import types

        loop = asyncio.get_running_loop()

        def send(text: str) -> None:
            message = types.LogMessageParams(type=types.MessageType.Info, message=text)
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._server.window_log_message, message)

        self._progress.connect(send)
        self.assistant.start()

    def shutdown(self, _: None) -> None:
        self.close()

    def close(self) -> None:
        """Cancel what is at work; once is enough."""
        self._writer.shutdown(wait=False, cancel_futures=True)
        self._searcher.shutdown(wait=False, cancel_futures=True)
        if self._diagnostics is not None:
            self._diagnostics.close()
        if self._assistant is not None and not self._is_closed:
            self._is_closed = True
            self._assistant.close()

    def did_open(self, params: types.DidOpenTextDocumentParams) -> None:
        document = params.text_document
        if (path := path_of(document.uri)) is not None:
            self.assistant.workspace.open(path, document.text)
            self._changed(path, document.uri)

    def _changed(self, path: Path, uri: str) -> None:
        self.assistant.changed(path)
        if self._diagnostics is not None:
            self._diagnostics.changed(path, uri)

    def did_change(self, params: types.DidChangeTextDocumentParams) -> None:
        from lsprotocol import types

        path = path_of(params.text_document.uri)
        if path is None:
            return
        text = self.assistant.workspace.text_of(path) or ""
        for change in params.content_changes:
            if isinstance(change, types.TextDocumentContentChangePartial):
                start, end = change.range.start, change.range.end
                text = replace(
                    text, start=(start.line, start.character), end=(end.line, end.character), new=change.text
                )
            else:
                text = change.text
        self.assistant.workspace.change(path, text)
        self._changed(path, params.text_document.uri)

    def did_close(self, params: types.DidCloseTextDocumentParams) -> None:
        if (path := path_of(params.text_document.uri)) is not None:
            self.assistant.workspace.close(path)
            self.assistant.changed(path)
            if self._diagnostics is not None:
                self._diagnostics.closed(path, params.text_document.uri)

    def did_save(self, _: types.DidSaveTextDocumentParams) -> None:
        self.assistant.saved()

    def did_change_watched_files(self, _: types.DidChangeWatchedFilesParams) -> None:
        self.assistant.saved()

    async def inline_completion(self, params: types.InlineCompletionParams) -> types.InlineCompletionList:
        from lsprotocol import types

        context = params.context
        invoked = context.trigger_kind == types.InlineCompletionTriggerKind.Invoked
        info = context.selected_completion_info
        offers, before = await self._offers(params, invoked=invoked, selected=info)
        return types.InlineCompletionList(inline_items(offers, before=before, command=ACCEPTED))

    async def completion(self, params: types.CompletionParams) -> types.CompletionList:
        from lsprotocol import types

        context = params.context
        invoked = context is None or context.trigger_kind == types.CompletionTriggerKind.Invoked
        offers, _ = await self._offers(params, invoked=invoked, selected=None)
        return types.CompletionList(is_incomplete=True, items=completion_items(offers, command=ACCEPTED))

    async def _offers(
        self,
        params: types.InlineCompletionParams | types.CompletionParams,
        *,
        invoked: bool,
        selected: types.SelectedCompletionInfo | None,
    ) -> tuple[list[Offer], str]:
        """Suggestions, and the text before the cursor that the selected proposal takes back."""
        path = path_of(params.text_document.uri)
        text = None if path is None else self.assistant.workspace.text_of(path)
        if path is None or text is None:
            return [], ""
        request = self.assistant.begin(path, text, _offset(text, params.position))
        before, rest = "", None
        if selected is not None:
            before = request.text[_offset(request.text, selected.range.start) : request.offset]
            if not selected.text.startswith(before):
                return [], ""  # a proposal that does not begin with what is typed: nothing can go on from both
            rest = selected.text[len(before) :]
        try:
            offers = await self._run(
                self._writer, lambda: self.assistant.complete(request, invoked=invoked, selected=rest)
            )
            return offers, before
        except asyncio.CancelledError:
            request.cancel()
            raise

    async def hover(self, params: types.HoverParams) -> types.Hover | None:
        from lsprotocol import types

        path = path_of(params.text_document.uri)
        text = None if path is None else self.assistant.workspace.text_of(path)
        if path is None or text is None:
            return None
        offer = self.assistant.why(path, _offset(text, params.position))
        if offer is None:
            return None
        content = hover_text(offer, name_of=self.assistant.workspace.name_of)
        return types.Hover(types.MarkupContent(types.MarkupKind.Markdown, content))

    def code_action(self, params: types.CodeActionParams) -> list[types.CodeAction]:
        return [] if self._diagnostics is None else self._diagnostics.actions(params.text_document.uri, params.range)

    async def workspace_symbol(self, params: types.WorkspaceSymbolParams) -> list[types.WorkspaceSymbol]:
        def find() -> list[types.WorkspaceSymbol]:
            index = self.assistant.index()
            units = [] if index is None else index.symbols(params.query, limit=_MOST_SYMBOLS)
            return [symbol_of(unit, root=self.assistant.workspace.root) for unit in units]

        return await self._run(self._searcher, find)

    async def search(self, params: Any) -> list[dict[str, Any]]:
        from pygls.exceptions import JsonRpcInvalidParams

        query: Any = getattr(params, "query", None)
        limit, language, kinds = (getattr(params, name, None) for name in ("limit", "language", "kinds"))
        is_right = {
            "'query' must be a text that is not empty": isinstance(query, str) and query.strip(),
            "'limit' must be a whole number": limit is None or isinstance(limit, int),
            "'language' must be a text": language is None or isinstance(language, str),
            "'kinds' must be a list of texts": kinds is None
            or (isinstance(kinds, list) and all(isinstance(kind, str) for kind in kinds)),
        }
        for message in (message for message, holds in is_right.items() if not holds):
            raise JsonRpcInvalidParams(f"{SEARCH}: {message}")

        def find() -> list[dict[str, Any]]:
            index = self.assistant.index()
            if index is None:
                return []
            hits = index.search(query, limit=limit or _HITS, language=language, kinds=kinds)
            return [hit_of(hit, root=self.assistant.workspace.root) for hit in hits]

        return await self._run(self._searcher, find)

    def accepted(self, number: int) -> None:
        self.assistant.accept(number)

    @staticmethod
    async def _run(pool: ThreadPoolExecutor, function: Callable[[], _ResultT]) -> _ResultT:
        return await asyncio.get_running_loop().run_in_executor(pool, function)


def path_of(uri: str) -> Path | None:
    """The file that ``uri`` names, with spaces, Chinese and emoji as they are; None for what is no file."""
    from pygls.uris import to_fs_path

    path = to_fs_path(uri)
    return None if path is None or "\0" in path else Path(os.path.realpath(path))


def _offset(text: str, position: types.Position) -> int:
    return offset_of(text, line=position.line, character=position.character)
