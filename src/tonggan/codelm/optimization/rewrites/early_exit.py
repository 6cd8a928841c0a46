"""A loop that has found what it sought goes on no more."""

from __future__ import annotations

import ast
from collections.abc import Sequence

import libcst as cst

from tonggan.codelm.optimization.facts import is_pure, names_in
from tonggan.codelm.optimization.rewriting import Rewrite, Site


class EarlyExit(Rewrite):
    """``found = False`` and ``for x in a: if …: found = True`` get a ``break``; later elements are not looked at."""

    name = "break"

    def match(self, sites: Sequence[Site], start: int) -> tuple[int, list[cst.BaseStatement]] | None:
        if start + 1 >= len(sites):
            return None
        match sites[start].tree, sites[start + 1].tree:
            case (
                ast.Assign([ast.Name(name)], ast.Constant(before)),
                ast.For(
                    body=[ast.If(test, [ast.Assign([ast.Name(other)], ast.Constant(after))], [])], orelse=[]
                ) as loop,
            ) if name == other and before is not after and is_pure(test) and name not in names_in(test):
                pass
            case _:
                return None
        if any(self.occurs_outside(each, [loop]) for each in names_in(loop.target)) or not self.take():
            return None
        node = sites[start + 1].node
        assert isinstance(node, cst.For)
        assert isinstance(node.body, cst.IndentedBlock)
        condition = node.body.body[0]
        assert isinstance(condition, cst.If)
        if not isinstance(condition.body, cst.IndentedBlock) or condition.orelse is not None:
            return None
        body = condition.body.with_changes(body=[*condition.body.body, cst.parse_statement("break")])
        made = node.with_changes(body=node.body.with_changes(body=[condition.with_changes(body=body)]))
        return 2, [sites[start].node, made]
