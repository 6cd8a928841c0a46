"""What an editor asks for, whatever it speaks: suggestions, why they were made, what became of them, search.

It knows no protocol. Model and index come when they are ready; until then there is silence instead of waiting.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tonggan.codelm.completion.confidence import calibrate
from tonggan.codelm.completion.document import Document, Suggestion
from tonggan.codelm.editor.history import History
from tonggan.codelm.editor.indexing import Indexing
from tonggan.codelm.workspace import Workspace
from tonggan.errors import TongganError
from tonggan.grammars import language_of
from tonggan.progress import Progress

if TYPE_CHECKING:
    from tonggan.codelm.completion.completer import Completer
    from tonggan.codelm.search.code_index import CodeIndex

_KEPT_OFFERS = 200
_TYPED_ALONG = 8  # last offers that a new one may be the rest of
_CALIBRATED_EVERY = 30  # seconds
_PLAIN = "text"  # the language of a file that none is known for


@dataclass(frozen=True)
class Offer:
    """A suggestion as it reached the editor.

    Attributes:
        number: in the history.
        path: of the document.
        document: its text then.
        suggestion: what was suggested.
    """

    number: int
    path: Path
    document: str
    suggestion: Suggestion


class Request:
    """One wish for suggestions; an edit of its document, a newer wish there, or the client cancels it."""

    def __init__(self, path: Path, text: str, offset: int) -> None:
        self.path = path
        self.text = text
        self.offset = offset
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Nobody waits any more."""
        self._cancelled.set()

    def is_cancelled(self) -> bool:
        """Whether nobody waits."""
        return self._cancelled.is_set()


class Assistant:
    """Serves one repository to one editor. Threads may use it at the same time.

    Args:
        workspace: the repository and its buffers.
        history: where the fate of suggestions is kept.
        open_completer: gives what completes; called once, in a thread.
        indexing: keeps the index; None for an editor without search.
        progress: told what becomes ready, from any thread.
    """

    def __init__(
        self,
        workspace: Workspace,
        *,
        history: History,
        open_completer: Callable[[], Completer],
        indexing: Indexing | None,
        progress: Progress,
    ) -> None:
        self.workspace = workspace
        self.history = history
        self._open_completer = open_completer
        self._indexing = indexing
        self._progress = progress
        self._completer: Completer | None = None
        self._running: dict[Path, Request] = {}
        self._offers: OrderedDict[int, Offer] = OrderedDict()
        self._visible: dict[Path, int] = {}  # the number of the suggestion that each buffer shows
        self._threshold = 0.0
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._watching = threading.Thread(target=self._watch, name="tonggan-survival", daemon=True)

    def start(self) -> None:
        """Begin to load model and index; returns at once."""
        threading.Thread(target=self._load, name="tonggan-model", daemon=True).start()
        self._watching.start()
        if self._indexing is not None:
            self._indexing.start(self._take_index)

    def changed(self, path: Path) -> None:
        """A buffer has another text, or is gone: what is shown or being written for the old one is of no use."""
        with self._lock:
            request = self._running.pop(path, None)
            number = self._visible.pop(path, None)
        if request is not None:
            request.cancel()
        if number is not None:
            self.history.withdraw(number)

    def saved(self) -> None:
        """Files have changed on disk."""
        if self._indexing is not None:
            self._indexing.request()

    def begin(self, path: Path, text: str, offset: int) -> Request:
        """A wish for suggestions at ``offset`` of a buffer with this text; an older one there is cancelled."""
        self.changed(path)
        request = Request(path, text, offset)
        with self._lock:
            self._running[path] = request
        return request

    def complete(self, request: Request, *, invoked: bool, selected: str | None = None) -> list[Offer]:
        """Suggestions for ``request``, the best first; none while the model loads, or once it is cancelled.

        Args:
            request: from ``begin``.
            invoked: whether the user asked, who then gets all there are; typing gets the best one that is sure enough.
            selected: what the selected proposal of an open list would still write at the cursor.
        """
        completer = self._completer
        if completer is None or request.is_cancelled():
            return []
        start = time.perf_counter()
        document = Document(request.path, request.text, language_of(request.path) or _PLAIN)
        found = completer.complete(document, request.offset, cancelled=request.is_cancelled, selected=selected)
        milliseconds = 1000 * (time.perf_counter() - start)
        if not invoked:
            found = [each for each in found if each.confidence >= self._threshold][:1]
        if request.is_cancelled():
            return []
        offers = [self._offer(request, each, invoked=invoked, milliseconds=milliseconds) for each in found]
        if offers:
            with self._lock:
                self._visible[request.path] = offers[0].number
        return offers

    def accept(self, number: int) -> None:
        """The user took the suggestion of this number; one that nobody knows any more is ignored."""
        with self._lock:
            offer = self._offers.get(number)
        if offer is not None:
            self.history.accept(number, path=offer.path, text=offer.suggestion.text)

    def why(self, path: Path, offset: int) -> Offer | None:
        """The last suggestion for the line at ``offset``: one that begins or began there, or that wrote it."""
        text = self.workspace.text_of(path)
        if text is None:
            return None
        start = text.rfind("\n", 0, offset) + 1
        line = text[start:].partition("\n")[0].strip()
        with self._lock:
            offers = [offer for offer in reversed(self._offers.values()) if offer.path == path]
        return next((offer for offer in offers if line and line in map(str.strip, _lines_after(offer))), None)

    def index(self) -> CodeIndex | None:
        """The index with unsaved texts in it, so far as nobody else is writing it; None while there is none."""
        return None if self._indexing is None else self._indexing.current(self.workspace.overlays())

    def close(self) -> None:
        """Cancel everything and close the history."""
        self._closing.set()
        with self._lock:
            running, self._running = self._running, {}
        for request in running.values():
            request.cancel()
        if self._indexing is not None:
            self._indexing.close()
        if self._watching.is_alive():
            self._watching.join()
        self.history.close()

    def _load(self) -> None:
        start = time.perf_counter()
        try:
            completer = self._open_completer()
        except TongganError as error:
            self._progress.say(f"No completion: {error}")
            return
        completer.threshold = 0.0  # it is applied here, and not to what the user asks for
        try:
            self._calibrate(completer)
        except sqlite3.ProgrammingError:
            return  # the editor has gone, and the history is closed
        self._completer = completer
        self._progress.say(f"Completion is ready after {time.perf_counter() - start:.1f} s, by {completer.model.name}.")

    def _calibrate(self, completer: Completer) -> None:
        """Show what this user keeps often enough."""
        past = [(outcome.confidence, outcome.kept) for outcome in self.history.outcomes()]
        self._threshold = calibrate(past, default=completer.config.threshold)

    def _watch(self) -> None:
        seconds = 0
        while not self._closing.wait(1):
            seconds += 1
            self.history.look()
            if seconds % _CALIBRATED_EVERY == 0 and self._completer is not None:
                self._calibrate(self._completer)

    def _take_index(self, index: CodeIndex) -> None:
        self.workspace.index = index

    def _offer(self, request: Request, suggestion: Suggestion, *, invoked: bool, milliseconds: float) -> Offer:
        number = self._number_of_the_same(request, suggestion)
        if number is None:
            number = self.history.offer(
                request.path,
                language=language_of(request.path) or _PLAIN,
                invoked=invoked,
                confidence=suggestion.confidence,
                characters=len(suggestion.text),
                milliseconds=milliseconds,
            )
        offer = Offer(number, request.path, request.text, suggestion)
        with self._lock:
            self._offers[number] = offer
            self._offers.move_to_end(number)
            while len(self._offers) > _KEPT_OFFERS:
                self._offers.popitem(last=False)
        return offer

    def _number_of_the_same(self, request: Request, suggestion: Suggestion) -> int | None:
        """That of an earlier offer which the user is typing along: it is the same suggestion, offered once."""
        whole = _applied(request.text, suggestion)
        with self._lock:
            offers = list(self._offers.values())[: -_TYPED_ALONG - 1 : -1]
        near = (each for each in offers if each.path == request.path)
        return next((each.number for each in near if _applied(each.document, each.suggestion) == whole), None)


def _applied(text: str, suggestion: Suggestion) -> str:
    return text[: suggestion.start] + suggestion.text + text[suggestion.end :]


def _lines_after(offer: Offer) -> list[str]:
    """The lines that the suggestion writes, or wrote, the first one with what stood before it."""
    suggestion = offer.suggestion
    start = offer.document.rfind("\n", 0, suggestion.start) + 1
    whole = _applied(offer.document, suggestion)
    end = whole.find("\n", suggestion.start + len(suggestion.text))
    lines = whole[start : len(whole) if end < 0 else end].split("\n")
    before = offer.document[start:].partition("\n")[0]
    return [before, *lines]
