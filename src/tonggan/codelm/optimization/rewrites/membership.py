"""Membership in a list that a loop asks for again and again becomes membership in a set."""

from __future__ import annotations

import ast
from collections.abc import Sequence

import libcst as cst

from tonggan.codelm.optimization.facts import is_unchanged, repeated, text
from tonggan.codelm.optimization.rewriting import Rewrite, Site, replaced, statements


class Membership(Rewrite):
    """``x in y`` inside of a loop that does not change ``y`` asks a set that is made before the loop."""

    name = "membership"

    def match(self, sites: Sequence[Site], start: int) -> tuple[int, list[cst.BaseStatement]] | None:
        loop = sites[start].tree
        asked = _asked(loop)
        node, before = sites[start].node, []
        for name in sorted(asked):
            if not is_unchanged(name, [loop]) or self.can_wait([name]) or not self.take():
                continue
            new = self.fresh(f"{name}_set")
            before += statements(f"{new} = set({name})\n")
            for test in asked[name]:
                changed = ast.Compare(test.left, test.ops, [ast.Name(new, ast.Load())])
                node = replaced(node, text(test), text(changed))
        return (1, [*before, node]) if before else None


def _asked(statement: ast.stmt) -> dict[str, list[ast.Compare]]:
    """The tests of membership in a name that are made again and again in ``statement``, by name."""
    found: dict[str, list[ast.Compare]] = {}
    for each in (inner for part in repeated(statement) for inner in ast.walk(part)):
        match each:
            case ast.Compare(ops=[ast.In() | ast.NotIn()], comparators=[ast.Name(name)]):
                found.setdefault(name, []).append(each)
    return found
