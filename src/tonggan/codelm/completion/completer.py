"""Completion at a cursor: from a document to suggestions. It knows no editor and keeps no history of acceptance.

Suggestions survive typing: whoever types what was suggested is shown the rest of it, and no model is asked.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tonggan.codelm.completion.candidates import CandidateWriter, Place
from tonggan.codelm.completion.config import CompletionConfig
from tonggan.codelm.completion.context import ContextFinder
from tonggan.codelm.completion.document import Document, Snippet, Suggestion
from tonggan.codelm.completion.modules import Modules
from tonggan.codelm.completion.prompt import PromptWriter
from tonggan.codelm.completion.stops import extent_of
from tonggan.codelm.completion.syntax import Syntax
from tonggan.codelm.source_file import MAX_BYTES
from tonggan.codelm.workspace import Workspace
from tonggan.errors import DataError
from tonggan.grammars import has_grammar
from tonggan.language.infill import InfillTokens
from tonggan.language.model import LanguageModel

_MOST_TYPED = 400  # characters

_Key = tuple[Path, int]
_MAX_DEPTH = 200  # nodes around the cursor; each question to them takes as long as they are many
_SAME_PLACE = 6  # lines that the cursor may move until other snippets are looked for


class SuggestionCache:
    """The last answers. Threads may use it at the same time.

    Args:
        size: how many are kept.
    """

    def __init__(self, *, size: int = 32) -> None:
        self._size = size
        self._entries: OrderedDict[_Key, tuple[str, str, list[Suggestion]]] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, path: Path, *, before: str, after: str, suggestions: list[Suggestion]) -> None:
        """Keep what was answered between two texts; nothing is an answer, too."""
        with self._lock:
            self._entries[path, len(before)] = (before, after, suggestions)
            self._entries.move_to_end((path, len(before)))
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)

    def get(self, path: Path, *, before: str, after: str) -> list[Suggestion] | None:
        """What is left of an answer after it was typed in part; None where nothing is known."""
        with self._lock:
            entries = list(reversed(self._entries.items()))
        for (place, _), (start, end, suggestions) in entries:
            if place != path or end != after or not before.startswith(start):
                continue
            typed = before[len(start) :]
            if not typed:
                return suggestions
            if len(typed) > _MOST_TYPED:
                continue
            left = [
                replace(each, text=each.text[len(typed) :], start=each.start + len(typed), end=each.end + len(typed))
                for each in suggestions
                if each.text.startswith(typed) and len(each.text) > len(typed)
            ]
            if left:
                return left
        return None


class Completer:
    """Suggests what comes at a cursor. Threads may use it at the same time; they take turns.

    Args:
        model: writes code.
        workspace: the files around.
        config: how.
        infill: control tokens of a model that was trained to fill in; None for one that only continues.

    Attributes:
        threshold: suggestions of less confidence are not shown; the config's until it is set.
    """

    def __init__(
        self,
        model: LanguageModel,
        *,
        workspace: Workspace,
        config: CompletionConfig | None = None,
        infill: InfillTokens | None = None,
    ) -> None:
        self.model = model
        self.workspace = workspace
        self.config = config or CompletionConfig()
        self.threshold = self.config.threshold
        modules = Modules(workspace)
        self._context = ContextFinder(workspace, modules)
        self._prompts = PromptWriter(
            model.tokenizer, infill=infill, budget=self._budget(), show_following=self.config.show_following
        )
        self._candidates = CandidateWriter(model, config=self.config, modules=modules, can_infill=infill is not None)
        self._cache = SuggestionCache()
        self._syntax: Syntax | None = None
        self._found: tuple[Path, int, list[Snippet]] | None = None  # snippets, and the place that they are for
        self._turn = threading.Lock()

    def complete(
        self,
        document: Document,
        offset: int,
        *,
        cancelled: Callable[[], bool] = lambda: False,
        selected: str | None = None,
    ) -> list[Suggestion]:
        """Suggestions, the best first; none where nothing is sure, or once ``cancelled`` answers True.

        Nor are there any in a text that nobody wrote: of more than ``MAX_BYTES`` characters, or nested without end.

        Args:
            document: what is edited.
            offset: of the cursor, in characters.
            cancelled: asked before every token.
            selected: what an open list of proposals would write at the cursor; a suggestion begins with it.

        Raises:
            MissingExtraError: tree-sitter is not installed.
        """
        if len(document.text) > MAX_BYTES:
            return []
        document = replace(document, path=document.path.resolve())
        selected = selected or ""
        before, after = document.text[:offset] + selected, document.text[offset:]
        known = self._cache.get(document.path, before=before, after=after)
        if known is None:
            with self._turn:
                if cancelled():
                    return []
                known = self._suggest(document, before, after, cancelled)
            if known is None:
                return []
            self._cache.put(document.path, before=before, after=after, suggestions=known)
        shown = [each for each in known if each.confidence >= self.threshold]
        if not selected:
            return shown
        moved = len(selected)
        return [
            replace(each, text=selected + each.text, start=each.start - moved, end=each.end - moved) for each in shown
        ]

    def _suggest(
        self, document: Document, before: str, after: str, cancelled: Callable[[], bool]
    ) -> list[Suggestion] | None:
        """All that was written and passed, whatever its confidence; None once ``cancelled`` answers True."""
        newline = "\r\n" if "\r\n" in document.text else "\n"
        plain_before, plain_after = _plain(before), _plain(after)
        text, offset = plain_before + plain_after, len(plain_before)
        plain = replace(document, text=text)
        try:
            known = has_grammar(document.language)
            self._syntax = Syntax.of(text, document.language, former=self._syntax) if known else None
        except DataError:  # as with a text that is too long: nobody wrote it
            return []
        if self._syntax is not None and self._syntax.depth_at(offset) > _MAX_DEPTH:
            return []
        extent = extent_of(
            text, offset, language=document.language, multiline=self.config.multiline, syntax=self._syntax
        )
        snippets = self._snippets(plain, offset)
        prompt = self._prompts.write(
            plain,
            offset,
            name=self.workspace.name_of(document.path),
            snippets=snippets,
            names=[self.workspace.name_of(snippet.path) for snippet in snippets],
        )
        place = Place(plain, plain_before, plain_after, extent, self._syntax)
        candidates = self._candidates.write(prompt, place, cancelled=cancelled)
        if candidates is None:
            return None
        return [
            Suggestion(
                candidate.text.replace("\n", newline),
                len(before),
                len(before) + candidate.eaten,
                candidate.confidence,
                prompt.snippets,
                candidate.notes,
            )
            for candidate in candidates
        ]

    def _snippets(self, document: Document, offset: int) -> list[Snippet]:
        """Those found before while the cursor stays near: what the model has read of them is read."""
        if not self.config.use_retrieval:
            return []
        line = document.text.count("\n", 0, offset)
        if self._found is not None:
            known_path, known_line, snippets = self._found
            if known_path == document.path and abs(known_line - line) < _SAME_PLACE:
                return snippets
        snippets = self._context.find(document, offset, syntax=self._syntax)
        self._found = (document.path, line, snippets)
        return snippets

    def _budget(self) -> int:
        """Tokens to read; the context has to have room for what is written."""
        room = max(self.config.max_line_tokens, self.config.max_block_tokens) + 32
        return max(16, min(self.config.context_tokens, self.model.max_length - room))


def _plain(text: str) -> str:
    r"""``text`` with ``\n`` at its line ends, without unpaired surrogates, which no encoding has."""
    return text.replace("\r\n", "\n").encode("utf-8", "replace").decode("utf-8")
