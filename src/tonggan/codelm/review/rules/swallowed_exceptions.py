"""Exceptions that are swallowed where callers wait for them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

from tonggan.codelm.review.finding import Evidence, Finding
from tonggan.codelm.review.module import Function, Module, dotted
from tonggan.codelm.review.registry import rule
from tonggan.codelm.review.repository import Repository

SWALLOWED = "exception-swallowed"

_MANY = 2  # callers that wait
_SHOWN = 4


class _Handler(NamedTuple):
    module: Module
    function: Function
    attempt: ast.Try | ast.TryStar
    node: ast.ExceptHandler
    name: str


@rule(SWALLOWED, ruff=("S110", "S112", "SIM105"), is_wide=True)
def swallowed_exceptions(repository: Repository) -> Iterator[Finding]:
    """An ``except`` does nothing, though callers of its function wait for that exception.

    Callers wait where two or more calls stand in a ``try`` that catches the same exception, and nothing but what is
    swallowed can raise it. Known false alarms: callers that wait for the same exception of something else.
    """
    for handler in _handlers(repository):
        waiting = _waiting(repository, handler) if _is_silent(handler.node) else []
        if len(waiting) >= _MANY:
            message = f"{handler.function.name} swallows {handler.name}, which {len(waiting)} of its callers catch"
            module, line = handler.module, handler.node.lineno
            column = module.column(line, handler.node.col_offset)
            shown = [Evidence(module.lines[line - 1].strip(), module.path, line)]
            shown += [Evidence(other.lines[place - 1].strip(), other.path, place) for other, place in waiting]
            end = max(column + 1, len(module.lines[line - 1].rstrip()) + 1)
            yield Finding(SWALLOWED, module.path, line, line, column, end, message, tuple(shown[:_SHOWN]), 0.7)


def _handlers(repository: Repository) -> Iterator[_Handler]:
    for module in repository.modules():
        functions: dict[ast.AST, Function] = {each.node: each for each in module.functions}
        inside: dict[ast.AST, Function | None] = {}
        for node, parent in module.nodes:
            function = inside[node] = functions.get(node) or (inside[parent] if parent is not None else None)
            if isinstance(node, ast.ExceptHandler) and isinstance(parent, ast.Try | ast.TryStar) and function:
                yield from (_Handler(module, function, parent, node, name) for name in _caught(node))


def _caught(node: ast.ExceptHandler) -> list[str]:
    types = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
    return [name for each in types if each is not None and (name := dotted(each).rpartition(".")[2])]


def _is_silent(node: ast.ExceptHandler) -> bool:
    return all(
        isinstance(each, ast.Pass)
        or (isinstance(each, ast.Return) and (each.value is None or _is_none(each.value)))
        or (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))
        for each in node.body
    )


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _waiting(repository: Repository, handler: _Handler) -> list[tuple[Module, int]]:
    """The calls of a handler's function that stand in a ``try`` for the same exception; none where it may come out."""
    function = handler.function
    tried = {node for each in handler.attempt.body for node in ast.walk(each)}
    if any(isinstance(node, ast.Call | ast.Raise) and node not in tried for node in function.own_nodes):
        return []
    found = []
    for call in repository.calls.get(function, ()):
        guards = [
            node
            for node, _ in call.module.nodes
            if isinstance(node, ast.Try | ast.TryStar)
            and any(each.lineno <= call.node.lineno <= (each.end_lineno or 0) for each in node.body)
        ]
        if any(handler.name in _caught(each) for guard in guards for each in guard.handlers):
            found.append((call.module, call.node.lineno))
    return found
