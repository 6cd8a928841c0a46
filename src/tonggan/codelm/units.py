"""What a repository is searched by: its functions, classes, files, sections of documents, comments and commits.

Units are cut by tree-sitter, so that code that is broken or half written has them too. It ranks and stores nothing.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from tonggan.codelm.git import run_git
from tonggan.codelm.source_file import SourceFile
from tonggan.grammars import PROSE, has_grammar, nodes_of, parse

if TYPE_CHECKING:
    import tree_sitter

UnitKind = Literal["function", "class", "file", "doc", "comment", "commit"]
UNIT_KINDS: tuple[UnitKind, ...] = get_args(UnitKind)

# Node types over all grammars.
_FUNCTIONS = {
    "function_definition", "function_declaration", "function_item", "method_definition", "method_declaration",
    "method", "generator_function_declaration", "constructor_declaration", "singleton_method", "create_function",
    "macro_definition",
}  # fmt: skip
_CLASSES = {
    "class_definition", "class_declaration", "class_specifier", "class", "struct_specifier", "struct_item",
    "struct_definition", "struct_declaration", "enum_declaration", "enum_item", "enum_specifier",
    "interface_declaration", "trait_item", "trait_definition", "trait_declaration", "record_declaration",
    "object_declaration", "object_definition", "protocol_declaration", "impl_item", "type_spec",
    "type_alias_declaration", "abstract_class_declaration", "create_table", "create_view",
}  # fmt: skip
_COMMENTS = {
    "comment", "line_comment", "block_comment", "multiline_comment",
}  # fmt: skip
_NAME_NODES = ("identifier", "object_reference")
# What stands around a definition and belongs to it.
_WRAPPERS = {
    "decorated_definition", "export_statement", "template_declaration", "type_declaration", "lexical_declaration",
    "variable_declaration", "statement",
}  # fmt: skip
# Functions that get their name from the variable they are bound to: const f = () => ..., f <- function(x) ...
_BOUND = {"variable_declarator": "value", "binary_operator": "rhs"}
_DEFINITIONS = _FUNCTIONS | _CLASSES | _BOUND.keys()
_BOUND_VALUES = {"arrow_function", "function_expression", "function_definition", "function"}
_MIN_COMMENT_WORDS = 5
_MAX_FILE_LINES = 120
_MAX_NESTED = 16  # definitions, one inside the other; what is deeper is found with what is around it
_HEADING = re.compile(r"#{1,6}[ \t]+(.*)")
_UNDERLINES = "=-~^"
_COMMENT_BEGIN = re.compile(r"\s*+(?:#+!?|//+!?|/\*+!?|\*+/?|--+|%+|;+)\s?")


@dataclass(frozen=True)
class Unit:
    """One thing that can be found.

    Attributes:
        kind: of what it is.
        name: the function's or class's own name, the file's, a section's heading, a commit's subject.
        qualified_name: with what encloses it in the file, e.g. ``Cache.get``; a commit's hash.
        path: of the file, relative to the root, with ``/``; empty for a commit.
        start_line: the first line, from 1; 0 for a commit.
        end_line: the last line, that one included.
        text: the code or the words; of a file its outline, that is, what stands outside of functions' bodies.
        docstring: what the author says of it, comment marks left out; empty if nothing.
        signature: its head up to the body, on one line; empty if it has none.
        language: as ``language_of`` names it; None for a commit.
    """

    kind: UnitKind
    name: str
    qualified_name: str
    path: str
    start_line: int
    end_line: int
    text: str
    docstring: str
    signature: str
    language: str | None


def units_of(source: SourceFile) -> list[Unit]:
    """The units of one file, in the order of their first lines; the file itself comes first.

    Raises:
        DataError: the file cannot be parsed within bounds.
        MissingExtraError: the file is code and tree-sitter is not installed.
    """
    if source.language in PROSE:
        return [_plain_file(source), *_sections(source)]
    if not has_grammar(source.language):
        return [_plain_file(source)]
    return _CodeFile(source).units()


def commits_of(root: Path, *, limit: int = 2000) -> list[Unit]:
    """The newest commits of the git work tree at ``root``, newest first; none where there is no git.

    Args:
        root: of the work tree.
        limit: how many at most.

    Raises:
        DataError: git did not answer within bounds, or does not trust the repository.
    """
    log = run_git(root, "log", f"--max-count={limit}", "--format=%H%x00%B%x01", "HEAD", "--")
    return list(_commits((log or b"").decode("utf-8", "replace")))


def _commits(log: str) -> Iterator[Unit]:
    for record in log.split("\x01"):
        digest, _, message = record.strip().partition("\x00")
        subject, _, rest = message.strip().partition("\n")
        if subject:
            yield Unit("commit", subject, digest, "", 0, 0, message.strip(), rest.strip(), "", None)


def _plain_file(source: SourceFile) -> Unit:
    lines = _lines(source)
    text = "\n".join(lines[:_MAX_FILE_LINES])
    return Unit("file", _stem(source), source.name, source.name, 1, len(lines), text, "", "", source.language)


def _sections(source: SourceFile) -> Iterator[Unit]:
    lines = source.text.replace("\r\n", "\n").split("\n")
    heads = list(_headings(lines))
    for (name, first, after), following in zip(heads, [*heads[1:], None], strict=False):
        end = following[1] if following else len(lines)
        body = "\n".join(lines[after:end]).strip()
        if body:
            whole = "\n".join(lines[first:end]).rstrip()
            end_line = first + 1 + whole.count("\n")
            yield Unit("doc", name, name, source.name, first + 1, end_line, whole, body, "", source.language)


def _headings(lines: list[str]) -> Iterator[tuple[str, int, int]]:
    """Each heading's text, its line from 0, and the line after it."""
    after = 0
    for number, line in enumerate(lines):
        if number < after:
            continue
        head = _HEADING.fullmatch(line)
        under = lines[number + 1] if number + 1 < len(lines) else ""
        if head is not None and (name := head[1].rstrip().rstrip("#").strip()):
            after = number + 1
            yield name, number, after
        elif line[:1].strip() and under and under[0] in _UNDERLINES and not under.strip(under[0]):
            after = number + 2
            yield line, number, after


class _CodeFile:
    """One file's syntax tree on its way to units."""

    def __init__(self, source: SourceFile) -> None:
        assert source.language is not None
        self._source = source
        self._language = source.language
        self._bytes = source.text.encode("utf-8", "replace")
        self._tree = parse(source.text, self._language)
        self._root = self._tree.root_node
        self._parents: dict[int, tree_sitter.Node] = {}

    def units(self) -> list[Unit]:
        definitions, comments = self._captures()
        self._comments = comments
        self._comment_ends = [comment.end_byte for comment in comments]
        units = list(self._definitions(definitions))
        documented = {unit.docstring for unit in units if unit.docstring}
        units += [unit for unit in self._comment_blocks(comments) if unit.docstring not in documented]
        units.sort(key=lambda unit: (unit.start_line, -unit.end_line))
        return [self._outline(definitions), *units]

    def _captures(self) -> tuple[list[tree_sitter.Node], list[tree_sitter.Node]]:
        """Definitions and comments, in the order of their beginnings, outer before inner."""
        definitions, comments = [], []
        for node, parent in nodes_of(self._tree):
            kind = node.type
            if kind in _COMMENTS:
                comments.append(node)
            elif kind in _DEFINITIONS or kind in _WRAPPERS:
                if parent is not None and (parent.type in _WRAPPERS or parent.type in _BOUND):
                    self._parents[node.id] = parent
                if kind in _DEFINITIONS and self._is_definition(node):
                    definitions.append(node)
        return definitions, comments

    def _is_definition(self, node: tree_sitter.Node) -> bool:
        if node.type in _BOUND:
            value = node.child_by_field_name(_BOUND[node.type])
            return value is not None and value.type in _BOUND_VALUES
        if node.type in ("struct_specifier", "enum_specifier", "class_specifier"):
            return node.child_by_field_name("body") is not None  # else only a type that is named in passing
        parent = self._parents.get(node.id)
        return parent is None or parent.type not in _BOUND

    def _definitions(self, nodes: list[tree_sitter.Node]) -> Iterator[Unit]:
        enclosing: list[tuple[int, str]] = []
        for node in nodes:
            path = self._name(node).replace("::", ".")
            if not path:
                continue
            while enclosing and enclosing[-1][0] <= node.start_byte:
                enclosing.pop()
            if len(enclosing) >= _MAX_NESTED:
                continue
            qualified = ".".join([*(outer for _, outer in enclosing), path])
            enclosing.append((node.end_byte, path))
            name = path.rsplit(".", 1)[-1]
            whole = node
            while (parent := self._parents.get(whole.id)) is not None and parent.type in _WRAPPERS:
                whole = parent
            kind: UnitKind = "class" if node.type in _CLASSES else "function"
            yield self._unit(kind, name, qualified, node=node, whole=whole)

    def _unit(
        self, kind: UnitKind, name: str, qualified: str, *, node: tree_sitter.Node, whole: tree_sitter.Node
    ) -> Unit:
        body = _body(node)
        head = self._bytes[node.start_byte : body.start_byte if body else node.end_byte]
        signature = " ".join(head.decode("utf-8", "replace").split()).rstrip("{=: ")
        start, end = whole.start_point[0] + 1, whole.end_point[0] + 1
        text = self._text(whole)
        docstring = self._docstring(whole, body)
        return Unit(
            kind, name, qualified, self._source.name, start, end, text, docstring, signature[:400], self._language
        )

    def _name(self, node: tree_sitter.Node) -> str:
        """The name that a definition binds; C and C++ hide it in declarators."""
        found = node.child_by_field_name("name") or node.child_by_field_name("lhs")
        if found is None and node.type == "impl_item":
            found = node.child_by_field_name("type")
        inner = node.child_by_field_name("declarator")
        while found is None and inner is not None:
            deeper = inner.child_by_field_name("declarator")
            found = inner if deeper is None else None
            inner = deeper
        if found is None:
            found = next((child for child in node.named_children if child.type.endswith(_NAME_NODES)), None)
        return self._text(found) if found is not None else ""

    def _text(self, node: tree_sitter.Node) -> str:
        return self._bytes[node.start_byte : node.end_byte].decode("utf-8", "replace")

    def _docstring(self, whole: tree_sitter.Node, body: tree_sitter.Node | None) -> str:
        """The string that opens a Python body; elsewhere the comments right above the definition."""
        if self._language == "python":
            first = body.named_children[0] if body is not None and body.named_children else None
            return self._string_statement(first)
        blocks: list[str] = []
        line, place = whole.start_point[0], whole.start_byte
        last = bisect_right(self._comment_ends, place) - 1
        while last >= 0 and self._comments[last].end_point[0] >= line - 1:
            comment = self._comments[last]
            if self._bytes[comment.end_byte : place].strip():
                break
            blocks.append(self._text(comment))
            line, place, last = comment.start_point[0], comment.start_byte, last - 1
        return _bare("\n".join(reversed(blocks)))

    def _string_statement(self, node: tree_sitter.Node | None) -> str:
        if node is not None and node.type == "expression_statement" and node.named_child_count:
            node = node.named_children[0]
        if node is None or node.type != "string":
            return ""
        content = "".join(self._text(part) for part in node.named_children if part.type == "string_content")
        return _dedent(content)

    def _comment_blocks(self, nodes: list[tree_sitter.Node]) -> Iterator[Unit]:
        """Comments of neighboring lines as one unit, where they say something."""
        block: list[tree_sitter.Node] = []
        for node in [*nodes, None]:
            if block and (node is None or node.start_point[0] > block[-1].end_point[0] + 1):
                yield from self._comment(block)
                block = []
            if node is not None:
                block.append(node)

    def _comment(self, block: list[tree_sitter.Node]) -> Iterator[Unit]:
        text = "\n".join(self._text(node) for node in block)
        words = _bare(text)
        wide = any(ord(character) > 0x2E80 for character in words)  # Chinese has no spaces to count words by
        if len(words.split()) < _MIN_COMMENT_WORDS and not wide:
            return
        name = words.split("\n", 1)[0][:80]
        start, end = block[0].start_point[0] + 1, block[-1].end_point[0] + 1
        yield Unit("comment", name, name, self._source.name, start, end, text, words, "", self._language)

    def _outline(self, definitions: list[tree_sitter.Node]) -> Unit:
        """The file with the bodies of its outermost functions left out."""
        lines = _lines(self._source)
        hidden: set[int] = set()
        end = 0
        for node in definitions:
            body = _body(node) if node.start_byte >= end else None  # what is inside a body is hidden already
            if node.type not in _CLASSES and body is not None:
                end = body.end_byte
                hidden.update(range(max(body.start_point[0], node.start_point[0] + 1), body.end_point[0] + 1))
        kept = [line for number, line in enumerate(lines) if number not in hidden and line.strip()]
        first = self._root.named_children[0] if self._root.named_children else None
        docstring = ""
        if self._language == "python":
            docstring = self._string_statement(first)
        elif first is not None and first.type in _COMMENTS:
            docstring = _bare(self._text(first))
        name, path = _stem(self._source), self._source.name
        text = "\n".join(kept[:_MAX_FILE_LINES])
        return Unit("file", name, path, path, 1, len(lines), text, docstring, "", self._language)


def _body(node: tree_sitter.Node) -> tree_sitter.Node | None:
    if node.type in _BOUND:
        value = node.child_by_field_name(_BOUND[node.type])
        return value.child_by_field_name("body") if value is not None else None
    body = node.child_by_field_name("body")
    if body is not None:
        return body
    return next((child for child in node.named_children if child.type.endswith(("_body", "block"))), None)


def _lines(source: SourceFile) -> list[str]:
    """As editors and tree-sitter count them: a form feed, where ``str.splitlines`` breaks too, ends none."""
    return source.text.removesuffix("\n").split("\n")


def _stem(source: SourceFile) -> str:
    return source.name.rsplit("/", 1)[-1]


def _bare(comment: str) -> str:
    """A comment without its marks."""
    return "\n".join(map(_bare_line, comment.replace("\r\n", "\n").split("\n"))).strip()


def _bare_line(line: str) -> str:
    begin = _COMMENT_BEGIN.match(line)
    line = line[begin.end() :] if begin else line
    end = line.rstrip()
    return end[:-1].rstrip("*").rstrip() if end.endswith("*/") else line


def _dedent(docstring: str) -> str:
    return "\n".join(line.strip() for line in docstring.strip().splitlines())
