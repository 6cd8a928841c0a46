"""A loop that looks through a whole list for what is equal to each element of another looks in a dictionary."""

from __future__ import annotations

import ast
from collections.abc import Sequence

import libcst as cst

from tonggan.codelm.optimization.facts import bound_in, is_pure, is_unchanged, names_in, text
from tonggan.codelm.optimization.rewriting import Rewrite, Site, statements


class Indexes(Rewrite):
    """``for a in x: for b in y: if a.k == b.k: …`` goes through ``y`` once, and keeps its order; keys are hashable."""

    name = "index"

    def match(self, sites: Sequence[Site], start: int) -> tuple[int, list[cst.BaseStatement]] | None:
        outer, node = sites[start].tree, sites[start].node
        if (
            not isinstance(outer, ast.For)
            or not isinstance(node, cst.For)
            or not isinstance(node.body, cst.IndentedBlock)
        ):
            return None
        for place, inner in enumerate(outer.body):
            found = _inner(inner, outer)
            if found is None:
                continue
            values, item, key, wanted = found
            if not self.take():
                continue
            name = self.fresh(f"{values}_by_key")
            before = statements(
                f"{name} = {{}}\nfor {item} in {values}:\n    {name}.setdefault({text(key)}, []).append({item})\n"
            )
            loop = node.body.body[place]
            assert isinstance(loop, cst.For)
            assert isinstance(loop.body, cst.IndentedBlock)
            test = loop.body.body[0]
            assert isinstance(test, cst.If)
            if test.orelse is not None:
                return None
            made = loop.with_changes(iter=cst.parse_expression(f"{name}.get({text(wanted)}, ())"), body=test.body)
            body = [*node.body.body[:place], made, *node.body.body[place + 1 :]]
            return 1, [*before, node.with_changes(body=node.body.with_changes(body=body))]
        return None


def _inner(loop: ast.stmt, outer: ast.For) -> tuple[str, str, ast.expr, ast.expr] | None:
    """The list, its element, the element's key, and the key that is sought."""
    match loop:
        case ast.For(ast.Name(item), ast.Name(values), [ast.If(ast.Compare(left, [ast.Eq()], [right]), _, [])], []) if (
            is_unchanged(values, [outer])
        ):
            pass
        case _:
            return None
    for key, wanted in ((left, right), (right, left)):
        if item in names_in(key) and item not in names_in(wanted) and is_pure(key) and is_pure(wanted):
            if (set(names_in(key)) - {item}) & bound_in(outer):
                return None
            return values, item, key, wanted
    return None
