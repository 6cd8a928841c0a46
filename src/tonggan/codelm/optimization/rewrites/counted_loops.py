"""A loop that counts a position up by hand goes over a range."""

from __future__ import annotations

import ast
from collections.abc import Sequence

import libcst as cst

from tonggan.codelm.optimization.facts import bound_in, has, is_unchanged, names_in, text
from tonggan.codelm.optimization.rewriting import Rewrite, Site


class CountedLoops(Rewrite):
    """``i = 0`` and ``while i < len(a): …; i += 1`` become ``for i in range(len(a))``, if ``i`` ends there."""

    name = "range"

    def match(self, sites: Sequence[Site], start: int) -> tuple[int, list[cst.BaseStatement]] | None:
        if start + 1 >= len(sites):
            return None
        node = sites[start + 1].node
        match sites[start].tree, sites[start + 1].tree:
            case (
                ast.Assign([ast.Name(index)], ast.Constant(int() as first)),
                ast.While(
                    ast.Compare(ast.Name(other), [ast.Lt() | ast.NotEq() as sign], [bound]), [*body, last], []
                ) as loop,
            ) if index == other and body and isinstance(node, cst.While):
                pass
            case _:
                return None
        if text(last) not in (f"{index} += 1", f"{index} = {index} + 1") or index in bound_in(*body):
            return None
        if has(body, ast.Continue) or not all(is_unchanged(name, [loop]) for name in set(names_in(bound)) - {"len"}):
            return None
        if isinstance(sign, ast.NotEq) and first != 0:
            return None
        if self.occurs_outside(index, [sites[start].tree, loop]) or not isinstance(node.body, cst.IndentedBlock):
            return None
        if len(node.body.body) != len(body) + 1 or not self.take():
            return None
        limits = text(bound) if first == 0 else f"{first}, {text(bound)}"
        header = cst.parse_statement(f"for {index} in range({limits}):\n    pass\n")
        assert isinstance(header, cst.For)
        return 2, [header.with_changes(body=node.body.with_changes(body=node.body.body[:-1]))]
