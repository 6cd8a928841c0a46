"""Small changes of a function, each of which may be a bug, and each of which may repair one: they undo one another."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from tonggan.codelm.review.learned.code_graph import CodeGraph
from tonggan.codelm.review.learned.data_flow import ATTRIBUTE_LABELS, NAME_LABELS, SWAP_LABELS, all_arguments

RewriteKind = Literal["variable", "attribute", "comparison", "operator", "constant", "arguments", "negation"]
REWRITE_KINDS: tuple[RewriteKind, ...] = get_args(RewriteKind)

_COMPARISONS: dict[type[ast.cmpop], tuple[str, tuple[str, ...]]] = {
    ast.Lt: ("<", ("<=", ">", ">=")),
    ast.LtE: ("<=", ("<", ">", ">=")),
    ast.Gt: (">", (">=", "<", "<=")),
    ast.GtE: (">=", (">", "<", "<=")),
    ast.Eq: ("==", ("!=", "is")),
    ast.NotEq: ("!=", ("==", "is not")),
    ast.Is: ("is", ("is not", "==")),
    ast.IsNot: ("is not", ("is", "!=")),
    ast.In: ("in", ("not in",)),
    ast.NotIn: ("not in", ("in",)),
}
_OPERATORS = {
    "+": ("-", "*"), "-": ("+",), "*": ("/", "+", "**"), "/": ("*", "//"), "//": ("/", "%"), "%": ("//",), "**": ("*",),
    "&": ("|",), "|": ("&",), "<<": (">>",), ">>": ("<<",), "and": ("or",), "or": ("and",),
    "+=": ("-=", "="), "-=": ("+=",), "*=": ("/=",), "/=": ("*=",), "|=": ("&=",), "&=": ("|=",),
}  # fmt: skip
_SIMPLE = (ast.Name, ast.Attribute, ast.Constant, ast.Subscript)
_NEEDS_BRACKETS = (ast.BoolOp, ast.IfExp, ast.Lambda, ast.NamedExpr, ast.Compare)
_LARGEST_CONSTANT = 10  # that is taken for a count one may be off by
_MOST_NAMES = 12  # that may stand in place of another, those used nearest first

LABELS = tuple(
    dict.fromkeys(
        [
            *NAME_LABELS,
            *ATTRIBUTE_LABELS,
            *(each for _, others in _COMPARISONS.values() for each in others),
            *(each for others in _OPERATORS.values() for each in others),
            *(str(number) for number in range(_LARGEST_CONSTANT + 2)),
            *("True", "False", *SWAP_LABELS, "not added", "not removed"),
        ]
    )
)
"""What comes in place of what stands there; of names, how both are used."""


@dataclass(frozen=True)
class Rewrite:
    """One change of a function's text.

    Attributes:
        kind: of change.
        token: position of the token that it is told at.
        edits: offsets from, to, and the new text between; in their order.
        label: one of ``LABELS``.
        sources: positions of tokens that say what comes in its place; empty where the label says it.
    """

    kind: RewriteKind
    token: int
    edits: tuple[tuple[int, int, str], ...]
    label: str
    sources: tuple[int, ...] = ()

    def apply(self, text: str) -> str:
        """The function's text after it."""
        return apply_all([self], text)[0]


def apply_all(rewrites: Sequence[Rewrite], text: str) -> tuple[str, list[tuple[tuple[int, int, str], ...]]]:
    """A function's text after rewrites that do not touch one another, and the edits of it that undo each of them."""
    edits = sorted((edit, number) for number, rewrite in enumerate(rewrites) for edit in rewrite.edits)
    undone: list[list[tuple[int, int, str]]] = [[] for _ in rewrites]
    parts: list[str] = []
    end = length = 0
    for (start, stop, new), number in edits:
        length += start - end
        undone[number].append((length, length + len(new), text[start:stop]))
        parts += [text[end:start], new]
        length += len(new)
        end = stop
    return "".join([*parts, text[end:]]), [tuple(each) for each in undone]


def rewrites_of(graph: CodeGraph, attributes: Mapping[str, Sequence[str]] | None = None) -> list[Rewrite]:
    """Every change of ``graph`` that leaves a function that can be parsed, in the order of their places.

    Args:
        graph: of the function.
        attributes: that a name has elsewhere, and that may stand in place of those that it has in the function.
    """
    found = [*_names(graph), *_attributes(graph, attributes or {}), *_symbols(graph)]
    return sorted(found, key=lambda rewrite: (rewrite.token, rewrite.edits))


def _names(graph: CodeGraph) -> Iterator[Rewrite]:
    """Local variables and parameters that are read, by others of the function."""
    places: dict[str, list[int]] = defaultdict(list)
    reads: list[ast.Name] = []
    for node in graph.nodes:
        if isinstance(node, ast.arguments):
            for argument in all_arguments(node):
                places[argument.arg].append(graph.anchor(argument))
        elif isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Store):
                places[node.id].append(graph.anchor(node))
            elif isinstance(node.ctx, ast.Load):
                reads.append(node)
    for read in reads:
        if read.id in places:
            places[read.id].append(graph.anchor(read))
    for read in reads:
        here = graph.anchor(read)
        before = {name: min(found) for name, found in places.items() if name != read.id and min(found) < here}
        nearest = sorted(before, key=lambda name: min(abs(place - here) for place in places[name]))
        if read.id in places:
            start, end = graph.span(read)
            for name in nearest[:_MOST_NAMES]:
                sources = (before[name], min(places[name], key=lambda place: abs(place - here)))
                yield Rewrite("variable", here, ((start, end, name),), graph.use.label(read, name), sources)


def _attributes(graph: CodeGraph, elsewhere: Mapping[str, Sequence[str]]) -> Iterator[Rewrite]:
    """Attributes that are read of a name, by others of the same name, here or elsewhere."""
    places: dict[str, dict[str, list[ast.Attribute]]] = defaultdict(lambda: defaultdict(list))
    for node in graph.nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            places[node.value.id][node.attr].append(node)
    for owner, attributes in places.items():
        for name, nodes in attributes.items():
            for node in nodes:
                if isinstance(node.ctx, ast.Load):
                    here, end = graph.anchor(node), graph.span(node)[1]
                    near = {
                        other: min((graph.anchor(each) for each in found), key=lambda place: abs(place - here))
                        for other, found in attributes.items()
                        if other != name
                    }
                    nearest = sorted(near, key=lambda other: abs(near[other] - here))
                    for other in nearest[:_MOST_NAMES]:
                        label = graph.use.attribute_label(node, other)
                        yield Rewrite("attribute", here, ((end - len(name), end, other),), label, (near[other],))
                    for other in elsewhere.get(owner, ()):
                        if other not in attributes:
                            label = graph.use.attribute_label(node, other)
                            yield Rewrite("attribute", here, ((end - len(name), end, other),), label)


def _symbols(graph: CodeGraph) -> Iterator[Rewrite]:
    """Comparisons, operators, constants, the order of arguments, and ``not``."""
    for node in graph.nodes:
        match node:
            case ast.Compare():
                yield from _comparisons(graph, node)
            case ast.BinOp():
                yield from _operator(graph, graph.operator_after(node.left))
            case ast.AugAssign():
                yield from _operator(graph, graph.operator_after(node.target))
            case ast.BoolOp():
                for value in node.values[:-1]:
                    yield from _operator(graph, graph.operator_after(value))
            case ast.Constant():
                yield from _constant(graph, node)
            case ast.Call():
                yield from _arguments(graph, node)
        if isinstance(node, ast.If | ast.While | ast.IfExp):
            yield from _negation(graph, node.test)
        elif isinstance(node, ast.BoolOp):
            for value in node.values:
                yield from _negation(graph, value)


def _comparisons(graph: CodeGraph, node: ast.Compare) -> Iterator[Rewrite]:
    for before, operator in zip([node.left, *node.comparators], node.ops, strict=False):
        here = graph.operator_after(before)
        text, others = _COMPARISONS[type(operator)]
        start = graph.tokens[here].start
        end = graph.tokens[here + text.count(" ")].end
        for other in others:
            yield Rewrite("comparison", here, ((start, end, other),), other)


def _operator(graph: CodeGraph, here: int) -> Iterator[Rewrite]:
    token = graph.tokens[here]
    for other in _OPERATORS.get(token.text, ()):
        yield Rewrite("operator", here, ((token.start, token.end, other),), other)


def _constant(graph: CodeGraph, node: ast.Constant) -> Iterator[Rewrite]:
    start, end = graph.span(node)
    if isinstance(node.value, bool):
        others = [str(not node.value)]
    elif isinstance(node.value, int) and graph.text[start:end] == str(node.value) and node.value <= _LARGEST_CONSTANT:
        others = [str(number) for number in (node.value - 1, node.value + 1) if number >= 0]
    else:
        return
    for other in others:
        yield Rewrite("constant", graph.anchor(node), ((start, end, other),), other)


def _arguments(graph: CodeGraph, node: ast.Call) -> Iterator[Rewrite]:
    for one, other in zip(node.args, node.args[1:], strict=False):
        (start, middle), (after, end) = graph.span(one), graph.span(other)
        first, second = graph.text[start:middle], graph.text[after:end]
        simple = isinstance(one, _SIMPLE) and isinstance(other, _SIMPLE)
        if simple and first != second and isinstance(one, ast.Constant) + isinstance(other, ast.Constant) < 2:
            edits = ((start, middle, second), (after, end, first))
            label = graph.use.swap_label(one, other)
            yield Rewrite("arguments", graph.anchor(one), edits, label, (graph.anchor(other),))


def _negation(graph: CodeGraph, test: ast.expr) -> Iterator[Rewrite]:
    start, _ = graph.span(test)
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        inner, _ = graph.span(test.operand)
        if graph.text[start:inner] == "not ":
            yield Rewrite("negation", graph.token_at(start), ((start, inner, ""),), "not removed")
    elif not isinstance(test, _NEEDS_BRACKETS):
        edits = ((start, start, "not "),)
        yield Rewrite("negation", graph.token_at(start), edits, "not added", (graph.anchor(test),))
