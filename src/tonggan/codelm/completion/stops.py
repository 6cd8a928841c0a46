"""Where a suggestion ends: with its line, or with the block that the syntax tree has room for at the cursor."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tonggan.codelm.completion.syntax import Syntax

if TYPE_CHECKING:
    import tree_sitter

_CLOSING = re.compile(r"[\s)\]}\"'`,;:]*$")  # what editors write by themselves after the cursor
_BODY = re.compile(r"block|body|compound_statement|declaration_list|do_group|statement_list")
_NO_CODE = ("comment", "line_comment", "block_comment", "{", "}", ";", "do", "done", "end")
_INDENTED = ("python",)  # languages whose blocks end with their indentation
_PLACEHOLDER = "x"
_ENDED = "x;"  # where a statement needs an end


@dataclass(frozen=True)
class Extent:
    """How far a suggestion may go.

    Attributes:
        kind: to the end of the line, or of a block.
        indent: what the block's lines begin with, where that is known.
        by_indent: the block ends where lines are indented less; else with its closing bracket.
    """

    kind: Literal["line", "block"]
    indent: str = ""
    by_indent: bool = False

    def end(self, text: str) -> int | None:
        """After how many characters a suggestion that reads ``text`` so far ends; None while it goes on."""
        if self.kind == "line":
            place = text.find("\n")
            return place if place >= 0 else None
        return self._dedent(text) if self.by_indent else _closing(text)

    def _dedent(self, text: str) -> int | None:
        place, indent = text.find("\n"), self.indent
        while place >= 0:
            line = text[place + 1 :].partition("\n")[0]
            body = line.lstrip(" \t")
            if body:
                own = line[: len(line) - len(body)]
                indent = indent or own
                if len(own) < len(indent) or not own:
                    return len(text[:place].rstrip())
            elif text.startswith("\n\n\n", place):
                return len(text[:place].rstrip())
            place = text.find("\n", place + 1)
        return None


def extent_of(
    text: str,
    offset: int,
    *,
    language: str,
    multiline: Literal["auto", "never", "always"],
    syntax: Syntax | None,
) -> Extent:
    r"""How far a suggestion at ``offset`` may go.

    Args:
        text: of the document, with ``\\n`` at its line ends.
        offset: of the cursor.
        language: as tree-sitter names it.
        multiline: auto asks the syntax tree whether a body has yet to be written here.
        syntax: of ``text``; None where the language has no grammar.
    """
    before = text[text.rfind("\n", 0, offset) + 1 : offset]
    after = text[offset:].partition("\n")[0]
    if multiline == "never" or not _CLOSING.match(after):
        return Extent("line")
    by_indent = language in _INDENTED
    indent = before[: len(before) - len(before.lstrip())]
    is_blank = not before.strip()
    if multiline == "always":
        opens = before.rstrip().endswith((":", "{"))
        return Extent("block", indent="" if opens else indent, by_indent=by_indent)
    if syntax is None or (after.strip() and not is_blank):
        return Extent("line")
    placeholder = _PLACEHOLDER if by_indent else _ENDED
    if is_blank:
        written = placeholder
    elif before.rstrip().endswith(":" if by_indent else "{"):
        written = f"\n{indent}{_unit(text)}{placeholder}"
    else:
        return Extent("line")
    tried = Syntax.of(text[:offset] + written + text[offset:], language, former=syntax)
    if _begins_body(tried, offset + len(written) - len(placeholder)):
        return Extent("block", indent=indent if is_blank else "", by_indent=by_indent)
    return Extent("line")


def _begins_body(syntax: Syntax, offset: int) -> bool:
    """Whether the placeholder that stands there is all that a body holds."""
    first = syntax.byte_of(offset)
    node: tree_sitter.Node | None = syntax.tree.root_node.descendant_for_byte_range(first, first + 1)
    while node is not None and not (_BODY.search(node.type) and node.parent is not None):
        if node.is_error:
            return False
        node = node.parent
    if node is None:
        return False
    statements = [child for child in node.children if child.type not in _NO_CODE and not _is_docstring(child)]
    return len(statements) == 1 and statements[0].start_byte == first


def _is_docstring(node: tree_sitter.Node) -> bool:
    return node.type == "string" or (node.type == "expression_statement" and node.child_count == 1 and (
        node.children[0].type == "string"
    ))  # fmt: skip


def _unit(text: str) -> str:
    """One step of indentation, as the text has it."""
    found = re.search(r"^(\t| {2,8})(?=\S)", text, re.MULTILINE)
    return found[1] if found else "    "


def _closing(text: str) -> int | None:
    """Where a bracket closes that ``text`` did not open; strings with brackets in them are rare enough."""
    depth = 0
    for place, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if depth < 0 or text.startswith("\n\n\n", place):
            return len(text[:place].rstrip())
    return None
