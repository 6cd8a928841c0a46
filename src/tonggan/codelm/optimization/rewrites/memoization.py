"""A recursive function that asks for the same arguments again and again remembers its results during one call."""

from __future__ import annotations

import ast
from collections.abc import Sequence

import libcst as cst

from tonggan.codelm.optimization.facts import PURE_CALLS, PURE_METHODS, has
from tonggan.codelm.optimization.rewriting import Rewrite, Site, code_of


class Memoization(Rewrite):
    """A function of arguments alone that calls itself twice or more gets a cache that lives as long as the call.

    Arguments must be hashable; each type has results of its own. Nothing is kept from one call to the next.
    """

    name = "cache"

    def match(self, sites: Sequence[Site], start: int) -> tuple[int, list[cst.BaseStatement]] | None:
        return None

    def changed(self) -> cst.FunctionDef | None:
        function, tree = self.function, self.tree
        if isinstance(tree, ast.AsyncFunctionDef) or not _fits(tree) or not self.take():
            return None
        name = tree.name
        cache = self.need("functools", "lru_cache")
        body = function.body
        assert isinstance(body, cst.IndentedBlock)
        documentation = list(body.body[:1]) if ast.get_docstring(tree) is not None else []
        inner = cst.parse_module(
            code_of(function.with_changes(body=body.with_changes(body=body.body[len(documentation) :]), decorators=[]))
        ).body[0]
        assert isinstance(inner, cst.FunctionDef)
        decorator = cst.Decorator(cst.parse_expression(f"{cache}(maxsize=None, typed=True)"))
        arguments = ", ".join(arg.arg for arg in (*tree.args.posonlyargs, *tree.args.args))
        made = inner.with_changes(decorators=[decorator], leading_lines=[], returns=None)
        last = cst.parse_statement(f"return {name}({arguments})")
        return function.with_changes(body=body.with_changes(body=[*documentation, made, last]))


def _fits(tree: ast.FunctionDef) -> bool:
    calls = [each for each in ast.walk(tree) if isinstance(each, ast.Call)]
    own = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == tree.name]
    if len(own) < 2 or tree.decorator_list or tree.args.vararg or tree.args.kwarg or tree.args.kwonlyargs:
        return False
    if has(tree.body, ast.Yield, ast.YieldFrom, ast.Nonlocal, ast.Delete, ast.FunctionDef, ast.ClassDef):
        return False
    for call in calls:
        match call.func:
            case ast.Name(name) if name in PURE_CALLS or name == tree.name:
                continue
            case ast.Attribute(attr=attr) if attr in PURE_METHODS or attr in ("append", "extend"):
                continue
        return False
    return not any(isinstance(each, ast.Attribute | ast.Subscript) and not isinstance(each.ctx, ast.Load)
                   for each in ast.walk(tree))  # fmt: skip
