"""Which pieces of other places help at a cursor: definitions of what is imported, recent edits, alike lines, the index.

It packs nothing: the prompt takes what finds room.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tonggan.codelm.completion.document import Document, Snippet
from tonggan.codelm.completion.modules import Modules
from tonggan.codelm.completion.resolve import Resolver, Thing
from tonggan.codelm.completion.syntax import Syntax
from tonggan.codelm.workspace import Workspace
from tonggan.grammars import language_of

_QUERY_LINES = 12  # around the cursor, that others are compared with
_WINDOW_LINES = 16
_STRIDE = 8
_MOST_FILES = 12
_MOST_LINES = 4000  # of a file that is compared
_EDIT_LINES = 6  # before and after a recent edit
_LEAST_ALIKE = 0.12  # Jaccard similarity
_DEFINITION_LINES = 14
_MOST_SNIPPETS = 8
_WORD = re.compile(r"[^\W\d]\w+")
# Keywords and such, which say nothing of what code is about.
_COMMON = frozenset(
    _WORD.findall("""
    and as assert async await break case class const continue def del do elif else except export extends
    false final finally for from func function global if import in int is lambda let list new none
    nonlocal not null or pass private public raise return self static str super switch this throw true
    try type var void while with yield
    """)
)


class ContextFinder:
    """Finds snippets for cursors in a workspace.

    Args:
        workspace: open files, recent edits, and the index where there is one.
        modules: where imports lead.
    """

    def __init__(self, workspace: Workspace, modules: Modules) -> None:
        self._workspace = workspace
        self._modules = modules
        self._windows: OrderedDict[Path, tuple[str, list[tuple[int, int, frozenset[str]]]]] = OrderedDict()

    def find(self, document: Document, offset: int, *, syntax: Syntax | None) -> list[Snippet]:
        r"""Snippets, the best first, none that overlap; lines near the cursor are left out.

        Args:
            document: with ``\\n`` at its line ends.
            offset: of the cursor.
            syntax: of the document, where its language has a grammar.
        """
        line = document.text.count("\n", 0, offset)
        around = _around(document.text, line)
        query = _words(around)
        found: list[Snippet] = []
        if syntax is not None and document.language == "python":
            found += self._definitions(document, syntax, offset)
        found += self._edits(document, line)
        found += self._alike(document, query, line)
        found += self._indexed(document, around)
        # Texts of other files keep their line ends; a model that reads carriage returns writes them.
        found = [replace(snippet, text=snippet.text.replace("\r", "")) for snippet in found]
        found.sort(key=lambda snippet: -snippet.score)
        chosen: list[Snippet] = []
        for snippet in found:
            if not any(_overlap(snippet, other) for other in chosen):
                chosen.append(snippet)
        return chosen[:_MOST_SNIPPETS]

    def _definitions(self, document: Document, syntax: Syntax, offset: int) -> Iterator[Snippet]:
        """What names near the cursor stand for that come from other files of the repository."""
        resolver = Resolver(self._modules, path=document.path, syntax=syntax)
        start = document.text.rfind("\n", 0, max(0, document.text.rfind("\n", 0, offset) - 400)) + 1
        seen = set()
        first, last = syntax.byte_of(start), syntax.byte_of(offset)
        for node in syntax.nodes(first, last):
            name = syntax.text_of(node)
            if node.type != "identifier" or node.start_byte < first or node.end_byte > last or name in seen:
                continue
            seen.add(name)
            thing = resolver.thing(node)
            if thing is None or thing.path == document.path:
                continue
            snippet = self._definition(name, thing)
            if snippet is not None:
                yield snippet

    def _definition(self, name: str, thing: Thing) -> Snippet | None:
        if thing.node is None or thing.syntax is None or thing.path is None:
            return None
        if not thing.path.is_relative_to(self._workspace.root):
            return None
        first = thing.node.start_point[0]
        lines = thing.syntax.text.split("\n")[first : thing.node.end_point[0] + 1]
        is_class = thing.kind in ("class", "instance")
        shown = _outline(lines) if is_class else lines[:_DEFINITION_LINES]
        own = thing.node.child_by_field_name("name")
        defined = thing.syntax.text_of(own) if own is not None else name
        reason = f"{'outline' if is_class else 'definition'} of {defined}, which is used near the cursor"
        reason += f" as {name}" if name != defined else ""
        last = first + (len(lines) if is_class else len(shown))
        return Snippet(thing.path, first + 1, last, "\n".join(shown), reason, 0.9)

    def _edits(self, document: Document, line: int) -> Iterator[Snippet]:
        for age, edit in enumerate(self._workspace.recent_edits):
            text = self._workspace.text_of(edit.path)
            here = edit.path == document.path.resolve()
            if text is None or (here and abs(edit.line - line) < _WINDOW_LINES):
                continue
            lines = text.split("\n")
            first, last = max(0, edit.line - _EDIT_LINES), min(len(lines), edit.line + _EDIT_LINES)
            if first >= last:
                continue  # the lines are gone
            score = 0.5 / (1 + age)
            yield Snippet(edit.path, first + 1, last, "\n".join(lines[first:last]), "edited recently", score)

    def _alike(self, document: Document, query: frozenset[str], line: int) -> Iterator[Snippet]:
        """The window most like the lines at the cursor, of each open file and of this one."""
        own = document.path.resolve()
        others = [path for path in self._workspace.open_files if path != own][: _MOST_FILES - 1]
        for path in [own, *others]:
            if path != own and language_of(path) != document.language:
                continue
            text = document.text if path == own else self._workspace.text_of(path)
            best = (0.0, 0, 0)
            for first, last, words in self._windows_of(path, text) if text is not None and query else ():
                near = path == own and first - _WINDOW_LINES <= line <= last + _WINDOW_LINES
                alike = len(words & query) / len(words | query)
                if not near and alike > best[0]:
                    best = (alike, first, last)
            score, first, last = best
            if score >= _LEAST_ALIKE and text is not None:
                place = "in this file" if path == own else "in a file that is open"
                reason = f"like the lines at the cursor (Jaccard {score:.2f}), {place}"
                yield Snippet(path, first + 1, last, "\n".join(text.split("\n")[first:last]), reason, score)

    def _indexed(self, document: Document, around: str) -> Iterator[Snippet]:
        index, query = self._workspace.index, _words(around)
        if index is None or not query:
            return
        name = self._workspace.name_of(document.path)
        for hit in index.similar_text(around, limit=4, exclude=name):
            unit = hit.unit
            if unit.kind not in ("function", "class"):
                continue
            words = _words(unit.text)
            alike = len(words & query) / max(1, len(words | query))
            if alike >= _LEAST_ALIKE / 2:
                text = "\n".join(unit.text.split("\n")[: 2 * _WINDOW_LINES])
                reason = f"{unit.qualified_name} is similar, found in the index"
                last = unit.start_line + text.count("\n")
                yield Snippet(self._workspace.root / unit.path, unit.start_line, last, text, reason, alike)

    def _windows_of(self, path: Path, text: str) -> list[tuple[int, int, frozenset[str]]]:
        """Overlapping windows of a file: first line from 0, the line after the last, words."""
        known = self._windows.get(path)
        if known is None or known[0] != text:
            lines = text.split("\n")[:_MOST_LINES]
            steps = range(0, max(1, len(lines) - _STRIDE), _STRIDE)
            windows = [
                (first, min(len(lines), first + _WINDOW_LINES), _words("\n".join(lines[first : first + _WINDOW_LINES])))
                for first in steps
            ]
            known = (text, [window for window in windows if window[2]])
        self._windows[path] = known
        self._windows.move_to_end(path)
        while len(self._windows) > 2 * _MOST_FILES:
            self._windows.popitem(last=False)
        return known[1]


def _around(text: str, line: int) -> str:
    """The lines at the cursor."""
    lines = text.split("\n")
    return "\n".join(lines[max(0, line - _QUERY_LINES + 2) : line + 2])


def _words(text: str) -> frozenset[str]:
    return frozenset(word for word in _WORD.findall(text) if word.lower() not in _COMMON)


def _outline(lines: list[str]) -> list[str]:
    """A class's head and the heads of its methods."""
    heads = [line for line in lines if re.match(r"\s*(?:async )?(?:def|class)\b|    \w+\s*:", line)]
    return heads[:_DEFINITION_LINES]


def _overlap(one: Snippet, other: Snippet) -> bool:
    is_same = one.path == other.path and one.start_line <= other.end_line and other.start_line <= one.end_line
    return is_same or one.text.strip() == other.text.strip()
