"""A call that is made twice with nothing changed between is made once."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Sequence

import libcst as cst

from tonggan.codelm.optimization.facts import PURE_CALLS, is_pure, is_unchanged, names_in, text
from tonggan.codelm.optimization.rewriting import Rewrite, Site, replaced, statements

_WISHES = {"max": "largest", "min": "smallest", "len": "num", "sum": "total", "sorted": "in_order"}


class RepeatedCalls(Rewrite):
    """``a.append(max(b))`` and ``b.remove(max(b))`` next to each other ask for ``max(b)`` once.

    The second statement may change what the call reads, once it has the result.
    """

    name = "once"

    def match(self, sites: Sequence[Site], start: int) -> tuple[int, list[cst.BaseStatement]] | None:
        if not isinstance(sites[start].tree, ast.Expr | ast.Assign | ast.AugAssign | ast.Return | ast.If):
            return None
        for source, call in _calls(sites[start].tree).items():
            end = _end(sites, start, source, call)
            count = sum(_calls_all(_head(site.tree))[source] for site in sites[start:end])
            if count < 2 or not self.take():
                continue
            name = self.fresh(_wish(call))
            made = [_with_head(site.node, source, name) for site in sites[start:end]]
            return end - start, [*statements(f"{name} = {source}\n"), *made]
        return None


def _head(statement: ast.stmt) -> ast.AST:
    """What of a statement is computed first, and always."""
    return statement.test if isinstance(statement, ast.If) else statement


def _with_head(node: cst.BaseStatement, source: str, name: str) -> cst.BaseStatement:
    if not isinstance(node, cst.If):
        return replaced(node, source, name)
    line = cst.SimpleStatementLine([cst.Expr(node.test)])
    made = replaced(line, source, name)
    assert isinstance(made, cst.SimpleStatementLine)
    assert isinstance(made.body[0], cst.Expr)
    return node.with_changes(test=made.body[0].value)


def _end(sites: Sequence[Site], start: int, source: str, call: ast.Call) -> int:
    """The first statement that comes after one which may change what the call reads."""
    names = set(names_in(call)) - PURE_CALLS
    for index in range(start, len(sites)):
        tree = sites[index].tree
        if isinstance(tree, ast.If) and index > start:
            return index if not _calls_all(tree.test)[source] else index + 1
        if not isinstance(tree, ast.Expr | ast.Assign | ast.AugAssign | ast.Return | ast.If):
            return index
        if not all(is_unchanged(name, [_without(tree, source)]) for name in names):
            return index + 1
        if isinstance(tree, ast.If):
            return index + 1
    return len(sites)


def _without(tree: ast.stmt, source: str) -> ast.stmt:
    """``tree`` without the call itself."""
    return ast.parse(text(tree).replace(source, "_")).body[0]


def _calls(statement: ast.stmt) -> dict[str, ast.Call]:
    found = {}
    for each in ast.walk(_head(statement)):
        if isinstance(each, ast.Call) and isinstance(each.func, ast.Name) and each.func.id in _CALLS and is_pure(each):
            found[text(each)] = each
    return found


def _calls_all(node: ast.AST) -> Counter[str]:
    return Counter(text(each) for each in ast.walk(node) if isinstance(each, ast.Call))


_CALLS = {"max", "min", "sum", "len", "sorted", "tuple", "abs", "round", "str", "int", "float"}


def _wish(call: ast.Call) -> str:
    assert isinstance(call.func, ast.Name)
    name = _WISHES.get(call.func.id, f"{call.func.id}_of")
    return f"{name}_{call.args[0].id}" if call.args and isinstance(call.args[0], ast.Name) else name
