"""The syntax tree of a text that is being typed: parsed again in part, asked by characters. It judges nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tonggan.codelm.languages import parse

if TYPE_CHECKING:
    import tree_sitter

_SECONDS = 1.0  # of processor time: somebody is typing


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
