"""A list that gives its first element away again and again becomes a double-ended queue."""

from __future__ import annotations

import ast
from collections.abc import Sequence

import libcst as cst

from tonggan.codelm.optimization.facts import text
from tonggan.codelm.optimization.rewriting import Rewrite, Site, code_of, statements

_KEPT = {"append", "extend", "remove", "index", "count", "clear", "reverse"}  # methods that both have


class Queues(Rewrite):
    """``q.pop(0)`` becomes ``popleft`` where ``q`` is made as a list by the function and used as a queue only.

    An empty queue raises IndexError as a list does, with another message.
    """

    name = "deque"

    def match(self, sites: Sequence[Site], start: int) -> tuple[int, list[cst.BaseStatement]] | None:
        match sites[start].tree:
            case ast.Assign([ast.Name(name)], ast.List() | ast.ListComp() as made):
                content = text(made)
            case ast.Assign([ast.Name(name)], ast.Call(ast.Name("list" | "sorted"), [_, *_], _) as made):
                content = (
                    text(made.args[0]) if isinstance(made.func, ast.Name) and made.func.id == "list" else text(made)
                )
            case _:
                return None
        rest = [site.tree for site in sites[start + 1 :]]
        uses = [_use(each, _parents(tree)) for tree in rest for each in ast.walk(tree)
                if isinstance(each, ast.Name) and each.id == name]  # fmt: skip
        if "pop" not in uses or None in uses or self.occurs_outside(name, [sites[start].tree, *rest]):
            return None
        if not self.take():
            return None
        queue = self.need("collections", "deque")
        changed = [_popped(site.node, name) for site in sites[start + 1 :]]
        content = "" if content == "[]" else content
        return len(sites) - start, [*statements(f"{name} = {queue}({content})\n"), *changed]


def _parents(tree: ast.AST) -> dict[ast.AST, ast.AST]:
    return {child: parent for parent in ast.walk(tree) for child in ast.iter_child_nodes(parent)}


def _use(node: ast.Name, parents: dict[ast.AST, ast.AST]) -> str | None:
    """How the list is used: pop, or kept where a queue does the same; None for anything else."""
    parent = parents.get(node)
    match parent:
        case ast.Attribute(attr="pop"):
            match parents.get(parent):
                case ast.Call(args=[ast.Constant(0)], keywords=[]):
                    return "pop"
                case ast.Call(args=[], keywords=[]):
                    return "kept"
        case ast.Attribute(attr=attr) if attr in _KEPT and isinstance(parents.get(parent), ast.Call):
            return "kept"
        case ast.While() | ast.If() | ast.UnaryOp(op=ast.Not()) | ast.BoolOp() | ast.For():
            return "kept"
        case ast.Call(func=ast.Name("len" | "bool" | "sum" | "max" | "min" | "sorted" | "set")):
            return "kept"
        case ast.Subscript(value=value, slice=ast.Constant(int())) if value is node:
            return "kept"
        case ast.Compare(ops=[ast.In() | ast.NotIn()]):
            return "kept"
    return None


class _Popped(cst.CSTTransformer):
    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.BaseExpression:  # noqa: N802
        if code_of(updated_node).replace(" ", "") == f"{self._name}.pop(0)":
            return cst.parse_expression(f"{self._name}.popleft()")
        return updated_node


def _popped(node: cst.BaseStatement, name: str) -> cst.BaseStatement:
    made = node.visit(_Popped(name))
    assert isinstance(made, cst.BaseStatement)
    return made
