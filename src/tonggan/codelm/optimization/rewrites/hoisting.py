"""What a loop computes anew in each turn, though it stays the same, is computed once before it."""

from __future__ import annotations

import ast
from collections.abc import Sequence

import libcst as cst

from tonggan.codelm.optimization.facts import bound_in, is_pure, is_unchanged, keeps_length, names_in, repeated, text
from tonggan.codelm.optimization.rewriting import Rewrite, Site, replaced, statements

_NAMES = {"len": "num", "sum": "total", "max": "largest", "min": "smallest", "sorted": "in_order", "set": "unique"}
_COSTLY = {*_NAMES, "abs", "list", "tuple", "frozenset", "dict", "str", "int", "float", "round", "repr", "range"}


class Hoisting(Rewrite):
    """Calls of builtins, methods of text, and ``re.compile`` whose arguments the loop does not change.

    What would raise is raised before the loop, and also where the loop has no turn.
    """

    name = "hoist"

    def match(self, sites: Sequence[Site], start: int) -> tuple[int, list[cst.BaseStatement]] | None:
        loop = sites[start].tree
        if not isinstance(loop, ast.For | ast.While | ast.Assign | ast.Return | ast.AugAssign | ast.Expr):
            return None
        node, before = sites[start].node, []
        for source, made in _invariants(loop).items():
            if self.can_wait(names_in(made)) or not self.take():
                continue
            name = self.fresh(_wish(made))
            before += statements(f"{name} = {source}\n")
            node = replaced(node, source, name)
        return (1, [*before, node]) if before else None


def _invariants(loop: ast.stmt) -> dict[str, ast.expr]:
    """The largest expressions that are worth it, by their source."""
    inside = repeated(loop)
    bound = bound_in(loop)
    found: dict[str, ast.expr] = {}
    waiting = inside
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.expr) and _is_costly(node):
            names = set(names_in(node))
            if not names & bound and all(_stays(name, node, loop) for name in names - _COSTLY - {"re"}):
                found.setdefault(text(node), node)
                continue
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            waiting += ast.iter_child_nodes(node)
    return found


def _stays(name: str, node: ast.expr, loop: ast.stmt) -> bool:
    """Whether the loop leaves what ``node`` reads of ``name``: of a list that is measured, the length alone."""
    match node:
        case ast.Call(ast.Name("len"), [ast.Name()], []):
            return keeps_length(name, [loop])
    return is_unchanged(name, [loop])


def _is_costly(node: ast.expr) -> bool:
    match node:
        case ast.Call(func=ast.Name(name), args=[_, *_]) if name in _COSTLY:
            # What is made anew each time may be changed each time; what is only read stays.
            return is_pure(node) and name not in ("list", "dict", "set", "sorted")
        case ast.Call(func=ast.Attribute(ast.Name("re"), "compile"), args=args):
            return all(isinstance(each, ast.Constant | ast.Attribute) for each in args)
        case ast.Call(func=ast.Attribute(value=ast.Name(), attr="lower" | "upper" | "strip" | "keys"), args=[]):
            return True
        case ast.BinOp(op=ast.Pow() | ast.Mult() | ast.Div() | ast.FloorDiv() | ast.Mod(), left=left, right=right):
            return is_pure(node) and not (isinstance(left, ast.Constant) and isinstance(right, ast.Constant))
    return False


def _wish(node: ast.expr) -> str:
    match node:
        case ast.Call(func=ast.Name(name), args=[ast.Name(of), *_]):
            return f"{_NAMES.get(name, name)}_{of}"
        case ast.Call(func=ast.Attribute(ast.Name(of), attr)):
            return "pattern" if of == "re" else f"{of}_{attr}"
    return "product"
