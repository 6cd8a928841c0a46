"""What the model reads: snippets, what stands before the cursor, what stands after it, packed within a budget.

The beginning stays the same while one types, so that the key-value cache of the key before still holds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tonggan.codelm.completion.document import Document, Snippet
from tonggan.grammars import title_line
from tonggan.language.infill import InfillTokens
from tonggan.language.tokenizer import Tokenizer

# The last piece of a text, as tokenizers cut it, joins with what will be typed next: a word, a number, signs, space.
_TYPED = re.compile(r"(?: ?[^\W\d_]{1,24}| ?(?:[^\w\s]|_){1,4}|\d|\s{1,64})\Z")  # not $, which ends before a line feed
_MOST_TYPED = 64  # characters
_SUFFIX_SHARE = 0.2  # of the budget
_FOLLOWING_LINES = 10
_SNIPPET_SHARE = 0.4
_KEPT_SHARE = 0.6  # of what precedes the cursor, where the window is cut anew


@dataclass(frozen=True)
class CodePrompt:
    """A prompt in tokens.

    Attributes:
        ids: not empty.
        typed: what follows them up to the cursor; what the model writes begins with it.
        snippets: those that found room, the best first.
    """

    ids: list[int]
    typed: str
    snippets: tuple[Snippet, ...]


class PromptWriter:
    """Writes prompts for one document after another.

    Args:
        tokenizer: of the model.
        infill: control tokens of a model that was trained to fill in; None for one that only continues.
        budget: tokens at most, those of what was typed included.
        show_following: let a model that cannot fill in read the next lines before those that it continues.
    """

    def __init__(self, tokenizer: Tokenizer, *, infill: InfillTokens | None, budget: int, show_following: bool) -> None:
        self._tokenizer = tokenizer
        self._infill = infill
        self._budget = budget
        self._show_following = show_following and infill is None
        self._head = ""  # what the window leaves out of the last document, so that it is left out again

    def write(
        self, document: Document, offset: int, *, name: str, snippets: Sequence[Snippet], names: Sequence[str]
    ) -> CodePrompt:
        r"""The prompt for a cursor.

        Args:
            document: with ``\\n`` at its line ends.
            offset: of the cursor.
            name: of the document.
            snippets: the best first; those that find no room are left out.
            names: of the snippets' files.
        """
        before = document.text[:offset]
        found = _TYPED.search(before, max(0, len(before) - _MOST_TYPED))
        typed = found[0] if found else ""
        suffix = self._suffix(document.text[offset:]) if self._infill else []
        budget = self._budget - len(suffix) - 4
        limit = int(budget * _SNIPPET_SHARE) if snippets else 0
        head, used = self._pack(snippets, names, document.language, limit)
        if self._show_following:
            head += self._following(document.text[offset:], name, document.language)
        title = title_line(name, document.language)
        window = self._window(before[: len(before) - len(typed)], budget - len(self._ids(head + title)))
        ids = self._ids(head + title + window)
        if self._infill:
            ids = self._infill.spm(ids, suffix)
        return CodePrompt(ids, typed, used)

    def _ids(self, text: str) -> list[int]:
        return self._tokenizer.encode(text.encode("utf-8", "replace").decode("utf-8"))

    def _suffix(self, text: str) -> list[int]:
        limit = int(self._budget * _SUFFIX_SHARE)
        return self._ids(text[: limit * 8])[:limit]

    def _following(self, text: str, name: str, language: str) -> str:
        """The next lines as a snippet of their own; that of the cursor changes too often to be among them."""
        lines = text.partition("\n")[2].split("\n")[:_FOLLOWING_LINES]
        below = "\n".join(lines).strip("\n")
        if not below.strip() or len(self._ids(below)) > int(self._budget * _SUFFIX_SHARE):
            return ""
        return f"{title_line(f'{name}, further down', language)}{below}\n\n"

    def _pack(
        self, snippets: Sequence[Snippet], names: Sequence[str], language: str, limit: int
    ) -> tuple[str, tuple[Snippet, ...]]:
        """The best snippets that fit; the better one stands nearer to the cursor."""
        texts: list[str] = []
        used: list[Snippet] = []
        for snippet, name in zip(snippets, names, strict=True):
            text = title_line(name, language) + snippet.text.rstrip() + "\n\n"
            length = len(self._ids(text))
            if length <= limit:
                limit -= length
                texts.insert(0, text)
                used.append(snippet)
        return "".join(texts), tuple(used)

    def _window(self, before: str, limit: int) -> str:
        """The end of ``before`` that fits; where it begins moves seldom, and then by much."""
        if before.startswith(self._head) and len(self._ids(before[len(self._head) :])) <= limit:
            return before[len(self._head) :]
        encoding = self._tokenizer.library.encode(before[-limit * 8 :], add_special_tokens=False)
        start = max(0, len(before) - limit * 8)
        if len(encoding.ids) > limit or start:
            kept = encoding.offsets[-min(len(encoding.ids), max(1, int(limit * _KEPT_SHARE)))][0]
            start = _line_start(before, start + kept)
        self._head = before[:start]
        return before[start:]


def _line_start(text: str, offset: int) -> int:
    """Where a line begins at or after ``offset``, best one that is not indented; ``offset`` if there is none."""
    found = re.compile(r"\n(?=\S)").search(text, offset, offset + (len(text) - offset) // 3)
    found = found or re.compile("\n").search(text, offset)
    return found.end() if found else offset
