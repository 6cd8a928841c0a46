"""Arithmetic on the elements of NumPy arrays, one by one, becomes arithmetic on the arrays."""

from __future__ import annotations

import ast
from collections.abc import Sequence

import libcst as cst

from tonggan.codelm.optimization.facts import names_in, text
from tonggan.codelm.optimization.rewriting import Rewrite, Site, statements

_SAME = (
    ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.UnaryOp, ast.USub, ast.Constant, ast.Name, ast.Load,
)  # fmt: skip


class Arrays(Rewrite):
    """``for i in range(len(a)): r[i] = a[i] * 2 + b[i]`` becomes ``r[:] = a * 2 + b``, for arrays of one length.

    Only what rounds the same for one element and for all.
    """

    name = "array"

    def match(self, sites: Sequence[Site], start: int) -> tuple[int, list[cst.BaseStatement]] | None:
        match sites[start].tree:
            case ast.For(
                ast.Name(index), ast.Call(ast.Name("range"), [bound], []),
                [ast.Assign([ast.Subscript(ast.Name(result), ast.Name(place))], value)], [],
            ) as loop if place == index:  # fmt: skip
                pass
            case _:
                return None
        made = _whole(value, index)
        if made is None or self.occurs_outside(index, [loop]) or index in names_in(bound) or not self.take():
            return None
        length = f"[:{text(bound)}]"
        match bound:
            case ast.Call(ast.Name("len"), [ast.Name()], []):
                length = "[:]"
        return 1, statements(f"{result}{length} = {made}\n")


def _whole(value: ast.expr, index: str) -> str | None:
    """The expression on arrays; None where it is more than arithmetic on their elements."""

    class Whole(ast.NodeTransformer):
        def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
            if isinstance(node.value, ast.Name) and isinstance(node.slice, ast.Name) and node.slice.id == index:
                return node.value
            return node

    before = text(value)
    made = Whole().visit(ast.parse(before, mode="eval").body)
    if text(made) == before or index in names_in(made):
        return None
    return text(made) if all(isinstance(each, _SAME) for each in ast.walk(made)) else None
