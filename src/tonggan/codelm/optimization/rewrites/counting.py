"""Elements that are counted one after the other, each time through the whole list, are counted all at once."""

from __future__ import annotations

import ast
from collections.abc import Sequence

import libcst as cst

from tonggan.codelm.optimization.facts import is_unchanged, text
from tonggan.codelm.optimization.rewriting import Rewrite, Site, replaced, statements


class Counting(Rewrite):
    """``a.count(x)`` in a loop or a comprehension that does not change ``a`` asks a ``Counter``; hashable elements."""

    name = "counter"

    def match(self, sites: Sequence[Site], start: int) -> tuple[int, list[cst.BaseStatement]] | None:
        tree, node = sites[start].tree, sites[start].node
        before: list[cst.BaseStatement] = []
        for name, calls in _counted(tree).items():
            if not is_unchanged(name, [tree]) or self.can_wait([name]) or not self.take():
                continue
            counter = self.need("collections", "Counter")
            counts = self.fresh(f"{name}_counts")
            before += statements(f"{counts} = {counter}({name})\n")
            for call in calls:
                node = replaced(node, text(call), f"{counts}[{text(call.args[0])}]")
        return (1, [*before, node]) if before else None


def _counted(statement: ast.stmt) -> dict[str, list[ast.Call]]:
    """Calls of ``count`` that are made again and again, by the name of the list."""
    if not isinstance(statement, ast.For | ast.While | ast.Assign | ast.Return | ast.Expr | ast.AugAssign):
        return {}
    repeated: list[ast.AST] = []
    if isinstance(statement, ast.For | ast.While):
        repeated += statement.body
    else:
        for each in ast.walk(statement):
            if isinstance(each, ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) or (
                isinstance(each, ast.keyword) and isinstance(each.value, ast.Attribute | ast.Lambda)
            ):
                repeated.append(each)
    found: dict[str, list[ast.Call]] = {}
    for each in (inner for part in repeated for inner in ast.walk(part)):
        match each:
            case ast.Call(func=ast.Attribute(ast.Name(name), "count"), args=[_], keywords=[]):
                found.setdefault(name, []).append(each)
    return found
