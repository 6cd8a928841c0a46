"""The syntax tree of a text that is being typed: parsed again in part, asked by characters.

``breaks`` says whether a suggestion breaks code that was sound; what is merely unfinished does not count as broken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tonggan.grammars import parse

if TYPE_CHECKING:
    import tree_sitter

_SECONDS = 1.0  # of processor time: somebody is typing
_MOST_CHARACTERS = 6000  # before the cursor
_CLOSERS = {"(": ")", "[": "]", "{": "}"}
_JOINING = re.compile(r"(?:[=+\-*/%.&|<>]|\b(?:and|or|not|in|is|if|else|await|from))$")  # something has to follow
_STRINGS = re.compile(
    r"(?P<triple>'{3}|\"{3})(?:[^\\]|\\.)*?(?P<end>(?P=triple)|\Z)"
    r"|\"[^\"\n\\]*(?:\\.[^\"\n\\]*)*\"|'[^'\n\\]*(?:\\.[^'\n\\]*)*'|#[^\n]*",
    re.DOTALL,
)


@dataclass(frozen=True, eq=False)
class Syntax:
    """A text and its tree, whose nodes count bytes.

    Attributes:
        text: what was parsed.
        language: as tree-sitter names it.
        content: the text in UTF-8.
        tree: its tree; broken code has one, too.
    """

    text: str
    language: str
    content: bytes
    tree: tree_sitter.Tree

    @classmethod
    def of(cls, text: str, language: str, *, former: Syntax | None = None) -> Syntax:
        """Parse ``text``; where it differs little from a former one, most of the work is saved.

        Raises:
            DataError: it takes too long.
            MissingExtraError: tree-sitter is not installed.
        """
        content = text.encode("utf-8", "replace")
        if former is None or former.language != language:
            return cls(text, language, content, parse(text, language, seconds=_SECONDS))
        if former.content == content:
            return former
        start, end = _differing(former.content, content)
        old = former.tree.copy()
        last = len(former.content) - (len(content) - end)
        old.edit(
            start_byte=start,
            old_end_byte=last,
            new_end_byte=end,
            start_point=_point(former.content, start),
            old_end_point=_point(former.content, last),
            new_end_point=_point(content, end),
        )
        return cls(text, language, content, parse(text, language, old=old, seconds=_SECONDS))

    def depth_at(self, offset: int) -> int:
        """How many nodes lie around the character at ``offset``."""
        cursor, place, depth = self.tree.walk(), self.byte_of(offset), 0
        while cursor.goto_first_child_for_byte(place) is not None:
            depth += 1
        return depth

    def byte_of(self, offset: int) -> int:
        """Where the character at ``offset`` begins."""
        return offset if len(self.content) == len(self.text) else len(self.text[:offset].encode("utf-8", "replace"))

    def text_of(self, node: tree_sitter.Node) -> str:
        """The text of a node."""
        return self.content[node.start_byte : node.end_byte].decode("utf-8", "replace")

    def errors(self, start: int, end: int) -> int:
        """How many error and missing nodes touch the bytes from ``start`` to ``end``."""
        return sum(1 for node in self.nodes(start, end) if node.is_error or node.is_missing)

    def nodes(self, start: int, end: int) -> Iterator[tree_sitter.Node]:
        """All nodes that touch the bytes from ``start`` to ``end``, outer before inner, left before right."""
        stack = [self.tree.root_node]
        while stack:
            node = stack.pop()
            yield node
            children = node.children
            stack += [child for child in reversed(children) if child.end_byte >= start and child.start_byte <= end]


def _differing(before: bytes, after: bytes) -> tuple[int, int]:
    """Where ``after`` begins and ends to differ."""
    start = _common(before, after)
    rest = min(len(before), len(after)) - start
    same = _common(before[::-1][:rest], after[::-1][:rest])
    return start, len(after) - same


def _common(one: bytes, other: bytes) -> int:
    """How long the beginning is that both share, by halving: comparing slices is fast."""
    low, high = 0, min(len(one), len(other))
    if one[:high] == other[:high]:
        return high
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _point(content: bytes, offset: int) -> tuple[int, int]:
    return content.count(b"\n", 0, offset), offset - 1 - content.rfind(b"\n", 0, offset)


def breaks(text: str, *, before: str, after: str, language: str) -> bool:
    """Whether ``text`` between ``before`` and ``after`` brings an error into code that parses without it.

    Only the statement around is parsed, with what it leaves open closed. Where that has errors anyway, nothing is said.

    Args:
        text: of the suggestion.
        before: the document before it.
        after: the document after it.
        language: one that has a grammar.

    Raises:
        MissingExtraError: tree-sitter is not installed.
    """
    opening = _statement(before, language)
    rest = after.partition("\n")[0]
    line = opening.rfind("\n") + 1
    if _errors(opening[:line], 0, language):
        return False
    if text.endswith("\\"):
        return False
    if language == "python" and _open_string(before[-_MOST_CHARACTERS:]):
        return False
    return _errors(opening + text + rest, line, language) > 0


def _statement(before: str, language: str) -> str:
    """From where the outermost statement begins that the cursor stands in."""
    part = before[-_MOST_CHARACTERS:]
    if language != "python":
        return part if len(part) == len(before) else part[part.find("\n") + 1 :]
    starts = [
        found.start()
        for found in re.finditer(r"^(?!(?:else|elif|except|finally)\b)[^\s)\]}#@\"']", part, re.MULTILINE)
        if part.rfind("\n", 0, found.start()) >= 0 or len(part) == len(before)
    ]
    return part[starts[-1] :] if starts else part


def _open_string(text: str) -> str:
    """The three quotes of a string that goes on at the end of ``text``; empty if there is none."""
    last = next(iter([*_STRINGS.finditer(text)][-1:]), None)
    return last["triple"] if last and last["triple"] and not last["end"] else ""


def _errors(text: str, start: int, language: str) -> int:
    """Errors from the character ``start`` on, after what is open was closed."""
    fewest = 0
    for header in ("", ":") if language == "python" else ("",):
        syntax = Syntax.of(_close(text, language, header=header), language)
        errors = syntax.errors(syntax.byte_of(start), len(syntax.content))
        fewest = min(fewest or errors, errors)
        if not fewest:
            break
    return fewest


def _close(text: str, language: str, *, header: str) -> str:
    """``text`` with its brackets closed and its last block filled, so that what is unfinished parses.

    Args:
        text: some statements.
        language: theirs.
        header: what the last one may still lack before its block.
    """
    stack: list[str] = []
    for character in _STRINGS.sub("", text):
        if character in _CLOSERS:
            stack.append(_CLOSERS[character])
        elif stack and character == stack[-1]:
            stack.pop()
    kept = text.rstrip()
    if language == "python" and _open_string(kept):
        kept += _open_string(kept)
        stack = []
    if language != "python":
        kept += " x" if stack and (kept.endswith(",") or _JOINING.search(kept)) else ""
        for closer in reversed(stack):
            kept += ";" + closer if closer == "}" and kept[-1] not in "{};" else closer
        return kept + (";" if kept and kept[-1] not in "{};" else "") + "\n"
    kept += (" x" if stack and _JOINING.search(kept) else "") + "".join(reversed(stack)) + (header if stack else "")
    last = kept.rpartition("\n")[2]
    indent = last[: len(last) - len(last.lstrip())]
    if last.strip().startswith("@"):
        return f"{kept}\n{indent}def x():\n{indent}    pass\n"
    if last.rstrip().endswith(":"):
        return f"{kept} pass\n{_handler(text, indent)}"
    return f"{kept}\n{_handler(text, indent[:-1])}"


def _handler(text: str, indent: str) -> str:
    """What the last ``try`` still lacks that the code is in."""
    for line in reversed(text.split("\n")):
        body = line.lstrip()
        own = line[: len(line) - len(body)]
        if body.startswith(("except", "finally")) and len(own) <= len(indent):
            return ""
        if re.match(r"try\s*:", body) and len(own) <= len(indent):
            return f"{own}finally:\n{own}    pass\n"
        if body and len(own) < len(indent):
            indent = own
    return ""
