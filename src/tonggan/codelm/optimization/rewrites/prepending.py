"""Elements that are put before all others, one by one, are appended and the list is reversed once."""

from __future__ import annotations

import ast
from collections.abc import Sequence

import libcst as cst

from tonggan.codelm.optimization.facts import changes_all, names_in, starts_empty, text
from tonggan.codelm.optimization.rewriting import Rewrite, Site, next_use, replaced_statements, statements


class Prepending(Rewrite):
    """``a.insert(0, x)`` or ``a = [x] + a`` in a loop that does nothing else with ``a``."""

    name = "reverse"

    def match(self, sites: Sequence[Site], start: int) -> tuple[int, list[cst.BaseStatement]] | None:
        name = starts_empty(sites[start].tree)
        if name is None:
            return None
        end = next_use(sites, start, name)
        if end is None or not isinstance(sites[end].tree, ast.For | ast.While):
            return None
        loop = sites[end]
        if not changes_all(loop.tree, name, lambda each: _first(each, name) is not None) or not self.take():
            return None
        made = replaced_statements(
            loop.node, lambda each: None if (found := _first(each, name)) is None else f"{name}.append({text(found)})"
        )
        before = [site.node for site in sites[start:end]]
        return end - start + 1, [*before, made, *statements(f"{name}.reverse()\n")]


def _first(statement: ast.AST, name: str) -> ast.expr | None:
    match statement:
        case ast.Expr(ast.Call(ast.Attribute(ast.Name(target), "insert"), [ast.Constant(0), element], [])):
            pass
        case ast.Assign([ast.Name(target)], ast.BinOp(ast.List([element]), ast.Add(), ast.Name(other))) if (
            other == target
        ):
            pass
        case _:
            return None
    return (
        element if target == name and name not in names_in(element) and not isinstance(element, ast.Starred) else None
    )
