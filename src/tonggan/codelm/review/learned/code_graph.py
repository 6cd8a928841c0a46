"""A function as a network reads it: its tokens, and edges between them from its syntax and its data flow."""

from __future__ import annotations

import ast
from bisect import bisect_left
from functools import cached_property
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tonggan.codelm.review.learned.data_flow import DataFlow, NameUse, Parameters
from tonggan.codelm.review.learned.tokens import lex, lines_of
from tonggan.codelm.review.module import children

EdgeKind = Literal["child", "next_sibling", "last_use", "last_write", "computed_from"]
EDGE_KINDS: tuple[EdgeKind, ...] = get_args(EdgeKind)


class CodeGraph:
    """Tokens of one function and the edges between them, in both directions known by kind.

    The edges are those of Hellendoorn et al. (Global Relational Models of Source Code, 2020), without calls between
    functions.

    Args:
        text: a function's source, from its decorators or ``def`` on, not indented.
        parameters: of functions that it may call.

    Attributes:
        text: the source.
        starts: offsets of the tokens.
        tree: of the function.
        nodes: of the tree, those inside of f-strings left out.
        flow: of its local names.
        tokens: in their order; comments are none.
        edges: int64 ``[E, 3]``: from, to (positions among the tokens), number of the kind in ``EDGE_KINDS``.

    Raises:
        SyntaxError: the text is no function.
    """

    def __init__(self, text: str, parameters: Parameters | None = None) -> None:
        self.text = text
        self._parameters = parameters or {}
        module = ast.parse(text)
        if len(module.body) != 1 or not isinstance(module.body[0], ast.FunctionDef | ast.AsyncFunctionDef):
            raise SyntaxError("one function is expected")
        self.tree = module.body[0]
        self._lines = _line_starts(text)
        self.tokens = lex(text)
        self.starts = [token.start for token in self.tokens]
        self._anchors: dict[ast.AST, int] = {}
        self.nodes: list[ast.AST] = []
        self._children: dict[ast.AST, list[ast.AST]] = {}
        waiting: list[ast.AST] = [self.tree]
        for node in waiting:
            self._children[node] = children(node)
            waiting += self._children[node]
            if node not in self._anchors:
                self.nodes.append(node)
            if isinstance(node, ast.JoinedStr):  # Python 3.11 does not know where in it its expressions are
                self._anchors.update(dict.fromkeys(ast.walk(node), self.token_at(self.span(node)[0])))
        self.flow = DataFlow(self.tree)
        found = {edge for kind in (self._syntax, self._uses, self._flow) for edge in kind()}
        ordered = sorted(edge for edge in found if edge[0] != edge[1])
        self.edges: NDArray[np.int64] = np.array(ordered, np.int64).reshape(-1, 3)

    @cached_property
    def use(self) -> NameUse:
        """What counting tells of its names."""
        return NameUse(self.nodes, self.flow, self._parameters)

    def without_tree(self) -> CodeGraph:
        """The same with its text, tokens and edges alone, which take a tenth of the memory."""
        kept = object.__new__(CodeGraph)
        kept.text, kept.tokens, kept.starts, kept.edges = self.text, self.tokens, self.starts, self.edges
        return kept

    def span(self, node: ast.AST) -> tuple[int, int]:
        """Offsets of a node's first character and of what follows its last."""
        place: tuple[int, int, int, int] = tuple(
            getattr(node, name) for name in ("lineno", "col_offset", "end_lineno", "end_col_offset")
        )
        return self._offset(*place[:2]), self._offset(*place[2:])

    def _offset(self, line: int, column: int) -> int:
        start, text = self._lines[line - 1]
        return start + (column if text.isascii() else len(text.encode()[:column].decode()))

    def token_at(self, offset: int) -> int:
        """The position of the first token that begins at or after ``offset``."""
        return min(bisect_left(self.starts, offset), len(self.tokens) - 1)

    def anchor(self, node: ast.AST) -> int:
        """The token that stands for a node: an operator for its expression, a bracket for its call, else its first."""
        if node not in self._anchors:
            self._anchors[node] = self._find_anchor(node)
        return self._anchors[node]

    def _find_anchor(self, node: ast.AST) -> int:
        match node:
            case ast.Attribute():
                return self.token_at(self.span(node)[1] - len(node.attr))
            case ast.Call():
                return self._next(self.span(node.func)[1], "(")
            case ast.Subscript():
                return self._next(self.span(node.value)[1], "[")
            case ast.BinOp() | ast.Compare():
                return self.operator_after(node.left)
            case ast.BoolOp():
                return self.operator_after(node.values[0])
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                return self._next(self.span(node)[0], node.name)
            case ast.Assign():
                return self._next(self.span(node.targets[-1])[1], "=")
            case ast.AugAssign():
                return self.operator_after(node.target)
        return self.token_at(self.span(node)[0])

    def operator_after(self, node: ast.AST) -> int:
        """The first token behind a node that closes no bracket."""
        position = self.token_at(self.span(node)[1])
        while self.tokens[position].text == ")":
            position += 1
        return position

    def _next(self, offset: int, text: str) -> int:
        position = self.token_at(offset)
        while self.tokens[position].text != text:
            position += 1
        return position

    def _syntax(self) -> set[tuple[int, int, int]]:
        edges: set[tuple[int, int, int]] = set()
        for node in self.nodes:
            children = [child for child in self._children[node] if hasattr(child, "lineno")]
            if hasattr(node, "lineno"):
                edges.update((self.anchor(node), self.anchor(child), 0) for child in children)
            edges.update((self.anchor(one), self.anchor(other), 1) for one, other in pairwise(children))
        return edges

    def _uses(self) -> set[tuple[int, int, int]]:
        edges, last = set(), dict[str, int]()
        for position, token in enumerate(self.tokens):
            if token.is_name:
                if token.text in last:
                    edges.add((position, last[token.text], 2))
                last[token.text] = position
        return edges

    def _flow(self) -> set[tuple[int, int, int]]:
        flow = self.flow
        edges = {
            (self.anchor(node), self.anchor(write), 3) for node, writes in flow.reaching.items() for write in writes
        }
        edges.update(
            (self.anchor(write), self.anchor(read), 4) for write, reads in flow.computed_from.items() for read in reads
        )
        return edges


def _line_starts(text: str) -> list[tuple[int, str]]:
    starts, offset = [], 0
    for line in lines_of(text):
        starts.append((offset, line))
        offset += len(line)
    return [*starts, (offset, "")]
